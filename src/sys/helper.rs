//! Starting a helper program: with a few descriptors of ours, output of its own, and an end that
//! is bound to ours.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal};

use super::fork;
use super::image::Image;
use super::signal::OriginalMask;
use crate::base::explain::exit;

/// A helper about to be started.
#[derive(Debug)]
pub struct Helper<'a> {
    /// The executable.
    pub program: &'a Path,
    /// Its words, with its name.
    pub argv: &'a [OsString],
    pub env: &'a [OsString],
    /// Its descriptors 3, 4, …
    pub descriptors: &'a [BorrowedFd<'a>],
    /// Its standard input; /dev/null otherwise.
    pub input: Option<BorrowedFd<'a>>,
    /// Its standard output and error; /dev/null otherwise.
    pub output: Option<BorrowedFd<'a>>,
    /// Whether it may gain rights by executing others.
    pub privileges: Privileges,
}

/// Rights of a helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privileges {
    /// Set-user-ID bits and file capabilities count, as `newuidmap` needs.
    MayGain,
    /// `no_new_privs`.
    NoNew,
}

/// Starts the helper; it gets `SIGKILL` when we end. A program that cannot be executed ends
/// with 127.
///
/// # Errors
/// A NUL byte in a word, or what the kernel says to fork and fcntl.
#[expect(clippy::disallowed_methods, reason = "a device of the kernel")]
pub fn start(helper: &Helper<'_>) -> io::Result<Pid> {
    let image =
        Image::new(helper.program, helper.argv, helper.env).ok_or(io::ErrorKind::InvalidInput)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    // Copies above every number that the child gets, so that dup2 never hits a source.
    let floor = 3 + i32::try_from(helper.descriptors.len()).unwrap_or(0);
    let sources = helper
        .descriptors
        .iter()
        .map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, floor))
        .collect::<Result<Vec<_>, _>>()?;
    let parent = rustix::process::getpid();
    fork::child(|| {
        if prepare(helper, parent, null.as_raw_fd(), &sources).is_ok() {
            image.execute();
        }
        exit::NOT_FOUND
    })
}

/// Everything between fork and exec, in the child, by system calls alone.
fn prepare(
    helper: &Helper<'_>,
    parent: Pid,
    null: i32,
    sources: &[rustix::fd::OwnedFd],
) -> io::Result<()> {
    // A group of its own: Ctrl-C on our terminal is for us.
    let _ = rustix::process::setpgid(None, None);
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // As PID 1 of a namespace we cannot see a parent that is outside; here it is always ours.
    if rustix::process::getppid() != Some(parent) {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    if helper.privileges == Privileges::NoNew {
        rustix::thread::set_no_new_privs(true)?;
    }
    let or_null = |stream: Option<BorrowedFd<'_>>| stream.map_or(null, |fd| fd.as_raw_fd());
    let (input, output) = (or_null(helper.input), or_null(helper.output));
    let standard = [(input, 0), (output, 1), (output, 2)];
    let passed = sources.iter().map(AsRawFd::as_raw_fd).zip(3..);
    for (source, target) in standard.into_iter().chain(passed) {
        // SAFETY: `source` is open; `target` is a standard stream, which has no owner in this
        // crate, or a descriptor of ours that nothing in this process uses before execve.
        if unsafe { libc::dup2(source, target) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    OriginalMask::empty().restore()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Seek as _};
    use std::os::fd::AsFd as _;

    #[test]
    fn a_helper_gets_its_descriptors_and_keeps_its_words_to_itself() {
        let mut output = tempfile::tempfile().unwrap();
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let script = "echo to >&3; echo said; grep NoNewPrivs /proc/self/status; exit 5";
        let pid = start(&Helper {
            program: Path::new("/bin/sh"),
            argv: &["sh", "-c", script].map(OsString::from),
            env: &["PATH=/bin:/usr/bin".into()],
            descriptors: &[writer.as_fd()],
            input: None,
            output: Some(output.as_fd()),
            privileges: Privileges::NoNew,
        })
        .unwrap();
        let (_, status) =
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
                .unwrap()
                .unwrap();
        assert_eq!(status.exit_status(), Some(5));
        let mut buffer = [0; 8];
        assert_eq!(rustix::io::read(&reader, &mut buffer).unwrap(), 3);
        let mut text = String::new();
        output.rewind().unwrap();
        output.read_to_string(&mut text).unwrap();
        assert_eq!(text, "said\nNoNewPrivs:\t1\n");
    }
}
