//! Messages in tini's format, and the one way out for bytes.
//!
//! Nothing here can fail, panic or raise a signal that ends us: a closed, broken or full stream
//! loses the message, never the init. Behind the border it does not block either: the reader of
//! our stderr may have stopped reading, and signals and orphans still have to be served.

use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::stdio::{stderr, stdout};

/// How grave a message is; the verbosity from which on it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Fatal = 0,
    Warn = 1,
    Info = 2,
    Debug = 3,
    Trace = 4,
}

/// What happens when the reader does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deadline {
    /// Wait for the reader.
    Block,
    /// Lose the message.
    Drop,
}

/// Where messages go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Log {
    pub(super) verbosity: u32,
    pub(super) deadline: Deadline,
}

impl Log {
    /// Tells something, if anybody wants to hear it; the text is only made then.
    pub(super) fn say(&self, level: Level, text: impl FnOnce() -> String) {
        if self.verbosity < level as u32 {
            return;
        }
        let line = line(level, rustix::process::getpid(), &text());
        let line = crate::base::printable::lines(line.as_bytes());
        // As tini has it, and as people's `2>/dev/null` expects it.
        let stream = match level {
            Level::Fatal | Level::Warn => stderr(),
            Level::Info | Level::Debug | Level::Trace => stdout(),
        };
        write(stream, &line, self.deadline);
    }
}

/// `[WARN  tini (1)] text`
fn line(level: Level, own: Pid, text: &str) -> String {
    let word = match level {
        Level::Fatal => "FATAL",
        Level::Warn => "WARN ",
        Level::Info => "INFO ",
        Level::Debug => "DEBUG",
        Level::Trace => "TRACE",
    };
    let own = own.as_raw_nonzero();
    format!("[{word} tini ({own})] {}\n", text.trim_end())
}

/// A pipe that is writable takes this much without blocking.
const PIPE_BUF: usize = 4096;

/// Writes what can be written.
pub(super) fn write(stream: BorrowedFd<'_>, bytes: &[u8], deadline: Deadline) {
    let mut rest = bytes;
    while !rest.is_empty() {
        if deadline == Deadline::Drop && !takes_bytes(stream) {
            return;
        }
        match rustix::io::write(stream, rest.get(..PIPE_BUF).unwrap_or(rest)) {
            Err(Errno::INTR) => {}
            // EPIPE raises SIGPIPE as well; it is blocked, and passed over by its sender: us.
            Ok(0) | Err(_) => return,
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
        }
    }
}

fn takes_bytes(stream: BorrowedFd<'_>) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut streams = [PollFd::new(&stream, PollFlags::OUT)];
    matches!(poll(&mut streams, Some(&now)), Ok(1..))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[test]
    fn lines_look_like_tinis() {
        let own = crate::sys::process::id(7).unwrap();
        assert_eq!(line(Level::Warn, own, "a"), "[WARN  tini (7)] a\n");
        assert_eq!(line(Level::Fatal, own, "a\n"), "[FATAL tini (7)] a\n");
        assert_eq!(line(Level::Info, own, "a\nb"), "[INFO  tini (7)] a\nb\n");
    }

    #[test]
    fn a_full_pipe_loses_the_message_and_a_broken_one_is_no_error() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let megabyte = vec![b'x'; 1 << 20];
        write(writer.as_fd(), &megabyte, Deadline::Drop);
        let mut buffer = vec![0; 1 << 20];
        let held = rustix::io::read(&reader, &mut buffer[..]).unwrap();
        assert!(held > 0 && held < megabyte.len());
        drop(reader);
        write(writer.as_fd(), b"x", Deadline::Block);
    }
}
