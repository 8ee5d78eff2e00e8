//! A process of this program for one task, which writes to the log as well.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};

use rustix::process::Pid;

use crate::log;
use crate::sys::service;

/// As [`service::fork`], with a log: lines that were waiting are the parent's to write.
///
/// # Errors
/// What `fork(2)` says.
pub fn fork(kept: &[RawFd], work: impl FnOnce() -> u8) -> io::Result<Pid> {
    let log = log::queue();
    // A number that was closed and given to another file would get our log lines.
    let descriptor = log.map(|queue| queue.as_fd().as_raw_fd());
    let kept: Vec<RawFd> = kept.iter().copied().chain(descriptor).collect();
    service::fork(&kept, || {
        if let Some(queue) = log {
            queue.forget();
        }
        work()
    })
}
