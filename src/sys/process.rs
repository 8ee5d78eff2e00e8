//! Signals to other processes, by number: the real-time ones have no name in any type of ours.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::process::Pid;

/// Who gets a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Every process of the group with this id.
    Group(Pid),
    /// One process.
    Process(Pid),
}

/// What `ps`, `pgrep` and `pidof` call us. A daemon's supervisor has the name that the official
/// image's PID 1 has, so that `pgrep dockerd` finds dockerd and nothing else: the kernel would make
/// `dockerd-entrypo` of ours.
pub const SUPERVISOR: &CStr = c"docker-init";

/// Our processes beside it: the forks that execute nothing.
pub const HELPER: &CStr = c"dind-init";

/// Takes a name; a program that is executed later has its own again.
pub fn set_name(name: &CStr) {
    // It can only fail for a pointer that is none.
    let _ = rustix::thread::set_name(name);
}

/// Sends a signal.
///
/// # Errors
/// `ESRCH` when nobody is there, `EPERM` when not one of them may be signalled, `EINVAL` for a
/// number that is no signal.
pub fn send(target: Target, signal: i32) -> io::Result<()> {
    // A `Pid` is above 0, so the id is never 0 (our own group). Group 1 would read as -1, which means
    // everybody, and no child of ours leads it.
    let id = match target {
        Target::Process(pid) => pid.as_raw_nonzero().get(),
        Target::Group(pid) if pid.is_init() => return Err(io::ErrorKind::InvalidInput.into()),
        Target::Group(pid) => -pid.as_raw_nonzero().get(),
    };
    // SAFETY: plain numbers, no memory involved.
    if unsafe { libc::kill(id, signal) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sends any signal to the process behind a pidfd.
///
/// # Errors
/// What `pidfd_send_signal(2)` says.
pub fn send_pidfd(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    let pidfd = pidfd.as_fd().as_raw_fd();
    // SAFETY: the descriptor is borrowed for the call; a null siginfo stands for kill(2)'s own.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd,
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    match sent {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Asks for a signal to this process when the thread that made it ends.
///
/// # Errors
/// `EINVAL` for a number that is no signal.
pub fn set_parent_death_signal(signal: i32) -> io::Result<()> {
    // prctl(2) reads its arguments as unsigned long.
    let signal = libc::c_ulong::from(signal.unsigned_abs());
    // SAFETY: a plain number, no memory involved.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_1_is_never_taken_for_everybody() {
        assert!(send(Target::Group(Pid::INIT), 0).is_err());
    }

    #[test]
    fn a_number_that_is_no_signal_is_refused() {
        let own = Target::Process(rustix::process::getpid());
        assert_eq!(
            send(own, 65).unwrap_err().raw_os_error(),
            Some(libc::EINVAL)
        );
        send(own, 0).unwrap();
    }
}
