//! Signal masks, dispositions and the signalfd.
//!
//! PID 1 blocks everything that can be blocked and reads a signalfd, so that no code of ours runs
//! in signal context. Children get back exactly the mask and dispositions that we were started
//! with: `std::process::Command` would hand our blocked mask on.

use std::io;
use std::os::fd::AsFd;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Signals whose delivery means that this very process is broken: they stay unblocked so that the
/// kernel's default action, and its core dump, apply.
pub const FAULTS: [Signal; 7] = [
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGABRT,
    Signal::SIGTRAP,
    Signal::SIGSYS,
];

/// The mask that was in force before [`block_all`], for handing on to children.
#[derive(Debug, Clone, Copy)]
pub struct OriginalMask(SigSet);

impl OriginalMask {
    /// The mask with which a process of ours normally starts: nothing blocked.
    #[must_use]
    pub fn empty() -> Self {
        Self(SigSet::empty())
    }

    /// Puts the mask back in force for the calling thread.
    ///
    /// # Errors
    /// Only what the kernel says; `EINVAL` cannot happen for a set made by the kernel itself.
    pub fn restore(&self) -> io::Result<()> {
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.0), None).map_err(io::Error::from)
    }
}

/// Blocks every signal that PID 1 wants to read from its signalfd: all but [`FAULTS`].
///
/// # Errors
/// What `pthread_sigmask(3)` says.
pub fn block_all() -> io::Result<OriginalMask> {
    let mut set = SigSet::all();
    for fault in FAULTS {
        set.remove(fault);
    }
    let mut old = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&set), Some(&mut old))?;
    Ok(OriginalMask(old))
}

/// A non-blocking, close-on-exec signalfd for everything that [`block_all`] blocks.
///
/// # Errors
/// What `signalfd(2)` says: `EMFILE`, `ENFILE`, `ENOMEM`, or `ENODEV` without anonymous inodes.
pub fn signal_fd() -> io::Result<SignalFd> {
    let mut set = SigSet::all();
    for fault in FAULTS {
        set.remove(fault);
    }
    Ok(SignalFd::with_flags(
        &set,
        SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC,
    )?)
}

/// Whether a descriptor refers to a terminal.
#[must_use]
pub fn is_terminal(fd: impl AsFd) -> bool {
    rustix::termios::isatty(fd)
}

/// Sends any signal, real-time ones included, to a process.
///
/// # Errors
/// What `kill(2)` says.
pub fn send(pid: rustix::process::Pid, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is involved; a bad number or pid is answered with an errno.
    match unsafe { libc::kill(pid.as_raw_nonzero().get(), signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
