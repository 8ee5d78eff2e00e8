//! A process of our own program for one task: forked, with no other descriptors than its own.

use std::io;
use std::os::fd::RawFd;

use rustix::process::{Pid, Signal};

use super::{fork, process};

/// Forks. The child keeps the standard streams and the named descriptors, does the work, and ends
/// with its code, or when we do; what the work owns must be among them, or be no descriptor.
///
/// # Errors
/// What `fork(2)` says.
pub fn fork(kept: &[RawFd], work: impl FnOnce() -> u8) -> io::Result<Pid> {
    fork::child(|| {
        process::set_name(process::HELPER);
        close_others(kept);
        // Until it gives its rights up, which sets it again. A parent that is gone already
        // has closed whatever the work would wait for.
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        work()
    })
}

/// Where `close_range(2)` is missing (before 5.9), descriptors stay open that nobody uses.
fn close_others(kept: &[RawFd]) {
    let kept = kept.iter().map(|fd| fd.unsigned_abs());
    let mut kept: Vec<u32> = kept.filter(|fd| *fd > 2).collect();
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept.into_iter().chain([u32::MAX]) {
        if first < fd {
            let last = if fd == u32::MAX { fd } else { fd - 1 };
            // SAFETY: the owners of these descriptors never run in this process: what owns them
            // was left behind in the parent's half of the fork, and the process ends by _exit.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
        first = fd.saturating_add(1).max(first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{WaitOptions, waitpid};
    use std::os::fd::AsRawFd as _;

    #[test]
    fn only_the_named_descriptors_are_left() {
        let (mine, other) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let (kept, closed) = (mine.as_raw_fd(), other.as_raw_fd());
        let open = |fd: RawFd| rustix::fs::stat(format!("/proc/self/fd/{fd}")).is_ok();
        let child = fork(&[kept], || {
            u8::from(open(kept)) + 2 * u8::from(open(closed))
        })
        .unwrap();
        let (_, status) = waitpid(Some(child), WaitOptions::empty()).unwrap().unwrap();
        assert_eq!(status.exit_status(), Some(1));
    }
}
