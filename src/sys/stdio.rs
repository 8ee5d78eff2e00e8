//! Our standard error, written to without ever waiting.
//!
//! `O_NONBLOCK` belongs to the open file, which we share with whoever started us and with our
//! children: it must not be set there. A pipe or terminal can be opened once more by its name in
//! /proc, and that copy is ours alone.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};

/// What is behind standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file or a device that takes everything at once.
    File,
    /// A pipe: its reader may stop reading.
    Pipe,
    /// A socket, or nothing that we know.
    Other,
    Terminal,
}

/// Looks at standard error.
#[must_use]
pub fn kind() -> Kind {
    let stderr = rustix::stdio::stderr();
    if rustix::termios::isatty(stderr) {
        return Kind::Terminal;
    }
    match rustix::fs::fstat(stderr).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Ok(FileType::Fifo) => Kind::Pipe,
        Ok(FileType::RegularFile | FileType::CharacterDevice) => Kind::File,
        _ => Kind::Other,
    }
}

/// A non-blocking open file of our own, for a pipe or a terminal.
#[expect(clippy::disallowed_methods, reason = "our own descriptor once more")]
fn reopen() -> Option<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    matches!(kind(), Kind::Pipe | Kind::Terminal)
        .then(|| rustix::fs::open("/proc/self/fd/2", flags, Mode::empty()).ok())?
}

/// Standard error for code that may not wait.
#[derive(Debug)]
pub struct Stderr(Option<OwnedFd>);

impl Stderr {
    /// Opens it once more, if that is needed and possible.
    #[must_use]
    pub fn open() -> Self {
        Self(reopen())
    }

    /// Whether a write can wait for a reader.
    #[must_use]
    pub fn may_wait(&self) -> bool {
        self.0.is_none() && kind() != Kind::File
    }
}

impl AsFd for Stderr {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Some(fd) => fd.as_fd(),
            None => rustix::stdio::stderr(),
        }
    }
}
