//! dockerd's standard error: passed on untouched and in order, and its last lines kept, so that
//! its death can be told with its cause.
//!
//! dockerd writes to a pipe of ours, we write to our own standard error, without ever waiting.
//! - A reader of ours that stops reading stops dockerd's writes, as it does without us: first the
//!   pipe fills, then we stop taking more. Nothing is lost.
//! - While dockerd stops, we take on and drop what nobody reads: it must be able to save its state.
//! - On a terminal dockerd gets the terminal itself, and where standard error cannot be
//!   written to without waiting (a socket; a pipe that may not be opened again) it gets that. No
//!   lines are kept then.
//! - dockerd's standard output is not touched: it says nothing there while it runs.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::log::sink::Sink;
use crate::sys::stdio::{self, Kind};

/// Bytes of the last lines that are kept.
const RING: usize = 16 * 1024;
/// Bytes that wait for our reader before we stop taking more.
const WAITING: usize = 64 * 1024;
/// A line that is longer is passed on in parts.
const LONGEST_LINE: usize = 16 * 1024;

/// The way of dockerd's lines.
#[derive(Debug)]
pub struct Output {
    reader: OwnedFd,
    writer: OwnedFd,
    sink: &'static Sink,
    /// A line that is not whole yet.
    begun: Vec<u8>,
    ring: VecDeque<u8>,
    may_lose: bool,
}

impl Output {
    /// Makes the pipe; nothing where dockerd gets our own standard error.
    #[must_use]
    pub fn new(sink: &'static Sink) -> Option<Self> {
        if stdio::kind() == Kind::Terminal || sink.may_wait() {
            return None;
        }
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).ok()?;
        rustix::io::ioctl_fionbio(&reader, true).ok()?;
        Some(Self {
            reader,
            writer,
            sink,
            begun: Vec::new(),
            ring: VecDeque::new(),
            may_lose: false,
        })
    }

    /// What dockerd gets as its standard error.
    #[must_use]
    pub fn for_dockerd(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }

    /// What dockerd writes to, while we take more.
    #[must_use]
    pub fn reader(&self) -> Option<BorrowedFd<'_>> {
        self.takes_more().then(|| self.reader.as_fd())
    }

    /// From now on what nobody reads is lost, so that dockerd is not held up.
    pub fn allow_loss(&mut self) {
        self.may_lose = true;
    }

    /// Passes on what is there.
    pub fn pump(&mut self) {
        let mut buffer = [0u8; 8192];
        // Bounded: a dockerd that talks without end must not keep PID 1 from its other work.
        for _ in 0..64 {
            if !self.takes_more() {
                return;
            }
            let Ok(count @ 1..) = rustix::io::read(&self.reader, &mut buffer) else {
                return;
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            self.ring.extend(bytes);
            let excess = self.ring.len().saturating_sub(RING);
            self.ring.drain(..excess);
            self.begun.extend(bytes);
            let whole = self.begun.iter().rposition(|byte| *byte == b'\n');
            let length = match whole {
                Some(end) => end + 1,
                None if self.begun.len() > LONGEST_LINE => self.begun.len(),
                None => 0,
            };
            let lines: Vec<u8> = self.begun.drain(..length).collect();
            self.sink.put(&lines);
        }
    }

    /// Passes on the rest, half a line too, of a dockerd that is gone.
    pub fn finish(&mut self) {
        self.pump();
        let rest = std::mem::take(&mut self.begun);
        self.sink.put(&rest);
    }

    /// The lines that are kept.
    #[must_use]
    pub fn last_lines(&self) -> String {
        let bytes: Vec<u8> = self.ring.iter().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Forgets the lines of a dockerd that is gone.
    pub fn forget(&mut self) {
        self.ring.clear();
    }

    fn takes_more(&self) -> bool {
        self.may_lose || self.sink.waiting() < WAITING
    }
}
