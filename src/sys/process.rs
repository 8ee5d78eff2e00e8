//! The only place from which a signal is sent, and how a child of ours ends.
//!
//! A process id is a number that the kernel gives to somebody else once its process was reaped. So
//! there is no way here to signal a number: a [`Child`] is asked for with `waitid(2)` first, since a
//! child that we have not reaped keeps its id; everybody else is behind a [`Pidfd`], which
//! `crate::process` opens and compares. Signals are numbers: the real-time ones have no name in any
//! type of ours.

use super::time::timespec;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitOptions, WaitStatus};

/// A process id out of a number: above 0, since 0 and what is below mean groups, or everybody, to
/// `kill(2)`, and 0 nobody who can be named to `unix(7)`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the number is looked at here")]
pub fn id(number: i32) -> Option<Pid> {
    Pid::from_raw(number.max(0))
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

/// How often a child is looked for where it has no pidfd.
const LOOK: Duration = Duration::from_millis(10);

/// A child of ours. It cannot be mistaken: whether the id is still that of a child is asked before
/// every signal, and nobody but us, who have one thread, reaps in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child(pub Pid);

/// Why a child was not reaped.
#[derive(Debug, thiserror::Error)]
pub enum NotReaped {
    /// It lives on.
    #[error("process {} does not end, although it was killed", .0.as_raw_nonzero())]
    Alive(Pid),
    /// It could not be killed, or is no child of ours any more.
    #[error("process {} cannot be ended", .0.as_raw_nonzero())]
    Refused(Pid, #[source] io::Error),
}

impl Child {
    /// Sends it a signal; a child that is dead and not reaped yet takes it in silence.
    ///
    /// # Errors
    /// `ESRCH` when it is no child of ours (any more), `EPERM`, `EINVAL` for a number that is no
    /// signal.
    pub fn signal(self, signal: i32) -> io::Result<()> {
        self.check()?;
        kill(self.0.as_raw_nonzero().get(), signal)
    }

    /// Sends a signal to every process of the group that it leads, as `tini -g` does.
    ///
    /// # Errors
    /// As [`Child::signal`]; `EINVAL` for group 1, which would read as -1: everybody.
    pub fn signal_group(self, signal: i32) -> io::Result<()> {
        if self.0.is_init() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.check()?;
        kill(-self.0.as_raw_nonzero().get(), signal)
    }

    /// Whether it is a child of ours, alive or not reaped yet.
    fn check(self) -> io::Result<()> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        loop {
            match rustix::process::waitid(WaitId::Pid(self.0), look) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::CHILD) => return Err(Errno::SRCH.into()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Kills it and reaps it.
    ///
    /// # Errors
    /// It was not gone in time: a process that waits in the kernel outlives `SIGKILL` for as long.
    /// It stays a child of ours, for whoever reaps everything.
    pub fn end(self, deadline: Duration) -> Result<WaitStatus, NotReaped> {
        self.signal(libc::SIGKILL)
            .map_err(|error| NotReaped::Refused(self.0, error))?;
        self.wait(Instant::now() + deadline)
    }

    /// Waits for its end and reaps it.
    ///
    /// # Errors
    /// As [`Child::end`].
    pub fn wait(self, until: Instant) -> Result<WaitStatus, NotReaped> {
        // Before 5.3, or hidden by a filter: then it is looked for.
        let pidfd = rustix::process::pidfd_open(self.0, PidfdFlags::empty()).ok();
        loop {
            match rustix::process::waitpid(Some(self.0), WaitOptions::NOHANG) {
                Ok(Some((_, status))) => return Ok(status),
                Ok(None) | Err(Errno::INTR) => {}
                Err(error) => return Err(NotReaped::Refused(self.0, error.into())),
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(NotReaped::Alive(self.0));
            }
            match &pidfd {
                Some(pidfd) => sleep(&mut [PollFd::new(pidfd, PollFlags::IN)], left),
                None => sleep(&mut [], left.min(LOOK)),
            }
        }
    }
}

fn sleep(fds: &mut [PollFd<'_>], time: Duration) {
    let _ = poll(fds, Some(&timespec(time)));
}

/// A process, whatever becomes of its id.
#[derive(Debug)]
pub struct Pidfd(OwnedFd);

impl Pidfd {
    /// Holds whoever has this id now: compare before anything else.
    ///
    /// # Errors
    /// `ESRCH` when nobody has it; `ENOSYS` before 5.3; `EMFILE`.
    pub fn open(pid: Pid) -> Result<Self, Errno> {
        rustix::process::pidfd_open(pid, PidfdFlags::empty()).map(Self)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// `ESRCH` when it was reaped, `EPERM`, `EINVAL` for a number that is no signal.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        let pidfd = self.0.as_raw_fd();
        // SAFETY: the descriptor is open; a null siginfo stands for kill(2)'s own.
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
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends a signal to whoever has this id now. For `crate::process` alone, which has compared in the
/// instant before, where no pidfd is to be had.
///
/// # Errors
/// What `kill(2)` says.
pub fn signal_without_pidfd(pid: Pid, signal: i32) -> io::Result<()> {
    kill(pid.as_raw_nonzero().get(), signal)
}

#[expect(clippy::disallowed_methods, reason = "this is that place")]
fn kill(id: i32, signal: i32) -> io::Result<()> {
    // SAFETY: plain numbers, no memory involved.
    if unsafe { libc::kill(id, signal) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
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

    const LONG: Duration = Duration::from_secs(30);

    fn child() -> Child {
        let words = ["sleep", "1000"].map(std::ffi::OsString::from);
        let program = std::path::Path::new("/bin/sleep");
        Child(crate::sys::program::start(program, &words, &[], [None, None]).unwrap())
    }

    fn errno(result: io::Result<()>) -> Option<i32> {
        result.unwrap_err().raw_os_error()
    }

    #[test]
    fn group_1_is_never_taken_for_everybody() {
        let error = Child(Pid::INIT).signal_group(0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_number_that_is_no_signal_is_refused() {
        let child = child();
        assert_eq!(errno(child.signal(65)), Some(libc::EINVAL));
        child.signal(0).unwrap();
        child.end(LONG).unwrap();
    }

    #[test]
    fn only_a_child_that_is_not_reaped_is_signalled() {
        // We may signal ourselves, and whoever started us: neither is a child.
        assert_eq!(
            errno(Child(rustix::process::getpid()).signal(0)),
            Some(libc::ESRCH)
        );
        let parent = Child(rustix::process::getppid().unwrap());
        assert_eq!(errno(parent.signal(0)), Some(libc::ESRCH));
        let child = child();
        assert_eq!(
            child.end(LONG).unwrap().terminating_signal(),
            Some(libc::SIGKILL)
        );
        assert_eq!(errno(child.signal(0)), Some(libc::ESRCH));
        assert!(matches!(child.end(LONG), Err(NotReaped::Refused(..))));
    }

    #[test]
    fn a_child_that_does_not_end_in_time_stays_and_is_told() {
        let child = child();
        let told = child.wait(Instant::now()).unwrap_err().to_string();
        assert!(
            told.ends_with("does not end, although it was killed"),
            "{told}"
        );
        child.end(LONG).unwrap();
    }

    /// Its first thread ends before the others: /proc calls it a zombie, and it works on.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a thread is what is tested")]
    fn a_process_whose_first_thread_ended_is_alive_and_can_be_killed() {
        let (pid, _) = crate::sys::fork::ask(|| {
            std::thread::spawn(|| while poll(&mut [], None).is_ok() {});
            // SAFETY: ends this thread alone; nothing of it is used by the other one.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
            Vec::new()
        })
        .unwrap();
        let proc = std::path::Path::new("/proc");
        let read = || crate::process::Process::read(proc, pid).unwrap().unwrap();
        while read().state != 'Z' {}
        let process = read();
        assert!(process.alive);
        let mut watch = crate::process::Watch::default();
        assert!(watch.signal(&process, libc::SIGKILL));
        Child(pid).wait(Instant::now() + LONG).unwrap();
        assert!(watch.is_over());
        assert_eq!(watch.gone(), 1);
    }
}
