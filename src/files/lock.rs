//! `flock(2)`, asked for without blocking: a blocking one has no deadline.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A lock tells nobody when it is free.
const PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 5_000_000,
};

/// Who may hold the lock beside us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    Nobody,
    /// Others who ask for the same.
    Others,
}

/// Takes a lock, which the kernel drops with the descriptor; `false` when somebody else holds it.
///
/// # Errors
/// What `flock(2)` says of a file system that has no locks.
pub fn take(fd: impl AsFd, share: Share) -> io::Result<bool> {
    let operation = match share {
        Share::Nobody => FlockOperation::NonBlockingLockExclusive,
        Share::Others => FlockOperation::NonBlockingLockShared,
    };
    match rustix::io::retry_on_intr(|| flock(&fd, operation)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// As [`take`] for an exclusive lock, and waits for somebody else to let it go; asked between two
/// tries, `give_up` ends that before the time is over.
///
/// # Errors
/// As [`take`].
pub fn wait(
    fd: impl AsFd,
    deadline: Duration,
    mut give_up: impl FnMut() -> bool,
) -> io::Result<bool> {
    let begin = Instant::now();
    loop {
        if take(&fd, Share::Nobody)? {
            return Ok(true);
        }
        if begin.elapsed() >= deadline || give_up() {
            return Ok(false);
        }
        let _ = poll(&mut [], Some(&PAUSE));
    }
}
