//! Signal masks, dispositions and the signalfd.
//!
//! PID 1 blocks everything that can be blocked and reads a signalfd, so that no code of ours runs
//! in signal context. Children get back exactly the mask and dispositions that we were started
//! with: `std::process::Command` would hand our blocked mask on.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::signal::{SigHandler, SigSet, Signal};
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

/// Highest signal number of the kernel (`_NSIG`).
pub const LAST: i32 = 64;

/// The kernel's own signal set: bit n-1 stands for signal n.
///
/// The C library's functions cannot be used where a mask is taken over or handed on: they leave
/// out two or three real-time signals that they keep for themselves (32, 33, on musl also 34), so
/// a child would lose them from its mask, and nobody could pass them through us.
type KernelSet = u64;

/// What [`block_all`] changed, for handing on to children.
#[derive(Debug, Clone, Copy)]
pub struct OriginalMask {
    blocked: KernelSet,
    child_ignored: bool,
}

impl OriginalMask {
    /// The mask with which a process of ours normally starts: nothing blocked.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            blocked: 0,
            child_ignored: false,
        }
    }

    /// Puts the mask, and the disposition of `SIGCHLD`, back in force for the calling thread.
    ///
    /// # Errors
    /// Only what the kernel says; `EINVAL` cannot happen for a set made by the kernel itself.
    pub fn restore(&self) -> io::Result<()> {
        if self.child_ignored {
            set_child_disposition(SigHandler::SigIgn)?;
        }
        set_mask(self.blocked).map(drop)
    }
}

/// Blocks every signal that PID 1 wants to read from its signalfd: all but [`FAULTS`].
///
/// `SIGCHLD` gets its default disposition: somebody who ignores it (it survives execve) makes the
/// kernel discard exit codes, and no `SIGCHLD` would ever come.
///
/// # Errors
/// What `rt_sigprocmask(2)` says.
pub fn block_all() -> io::Result<OriginalMask> {
    let blocked = set_mask(readable())?;
    let before = set_child_disposition(SigHandler::SigDfl)?;
    Ok(OriginalMask {
        blocked,
        child_ignored: matches!(before, SigHandler::SigIgn),
    })
}

/// A non-blocking, close-on-exec signalfd for everything that [`block_all`] blocks.
///
/// # Errors
/// What `signalfd(2)` says: `EMFILE`, `ENFILE`, `ENOMEM`, or `ENODEV` without anonymous inodes.
pub fn signal_fd() -> io::Result<SignalFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: sigset_t begins with the kernel's set on every Linux C library, is at least as
    // large and as aligned, and `set` is ours.
    unsafe { set.as_mut_ptr().cast::<KernelSet>().write(readable()) };
    // SAFETY: an array of integers, of which all bytes are written (zeroed above).
    let set = unsafe { set.assume_init() };
    // SAFETY: the bits of the set are those that the kernel defines, as sigemptyset and sigaddset
    // would have made them.
    let set = unsafe { SigSet::from_sigset_t_unchecked(set) };
    Ok(SignalFd::with_flags(
        &set,
        SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC,
    )?)
}

/// A descriptor that can be read while we are asked to stop (`SIGTERM`, `SIGINT`). Nobody reads it:
/// the signal stays for whoever reads [`signal_fd`].
///
/// # Errors
/// As for [`signal_fd`].
pub fn stop_fd() -> io::Result<SignalFd> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    set.add(Signal::SIGINT);
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    Ok(SignalFd::with_flags(&set, flags)?)
}

/// A signal that was taken from the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number, from 1 to [`LAST`].
    pub number: i32,
    /// Pid of the sender as this pid namespace sees it; 0 for the kernel and for outsiders.
    /// A signal that a failed write raised counts as sent by the writer.
    pub sender: i32,
}

impl Received {
    /// Whether it is to be handed on: not what is about ourselves, as tini has it (`SIGTTIN` and
    /// `SIGTTOU` say that *we* are not the terminal's foreground group), and not what we sent
    /// ourselves, which is the `SIGPIPE` or `SIGXFSZ` of a line that found no reader or no room.
    #[must_use]
    pub fn is_forwardable(self) -> bool {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        ![libc::SIGCHLD, libc::SIGTTIN, libc::SIGTTOU].contains(&self.number) && self.sender != own
    }
}

/// Takes what is pending; the signals that are to be handed on.
pub fn forwardable(signals: &SignalFd) -> impl Iterator<Item = i32> {
    let pending = std::iter::from_fn(|| signals.read_signal().ok().flatten());
    let received = pending.map(|info| Received {
        number: i32::try_from(info.ssi_signo).unwrap_or(0),
        sender: i32::try_from(info.ssi_pid).unwrap_or(0),
    });
    let forwardable = received.filter(|received| received.is_forwardable());
    forwardable.map(|received| received.number)
}

/// Sleeps until one of the signals that [`block_all`] blocks is pending, and takes it. Needs no
/// descriptor: for an init that has nothing else to poll.
///
/// # Errors
/// What `rt_sigtimedwait(2)` says: only where a seccomp filter forbids the call.
pub fn wait() -> io::Result<Received> {
    loop {
        if let Some(received) = take(readable(), None)? {
            return Ok(received);
        }
    }
}

/// As [`wait`], but for this long at most, and leaving `SIGCHLD` pending. With no time at all it
/// takes what is pending already.
///
/// # Errors
/// As for [`wait`].
pub fn wait_but_for_children(limit: Duration) -> io::Result<Option<Received>> {
    take(readable() & !bit(libc::SIGCHLD), Some(limit))
}

fn take(set: KernelSet, deadline: Option<Duration>) -> io::Result<Option<Received>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let limit = deadline.map(|limit| libc::timespec {
        tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the set has the size that is passed, `info` is a place for one siginfo_t, and the
    // limit is null or points to a timespec that lives until the end of this function.
    let number = unsafe {
        libc::syscall(
            libc::SYS_rt_sigtimedwait,
            &raw const set,
            info.as_mut_ptr(),
            limit,
            size_of::<KernelSet>(),
        )
    };
    let Ok(number @ 1..) = i32::try_from(number) else {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            // EINTR: this process was stopped and continued.
            Some(libc::EAGAIN | libc::EINTR) => Ok(None),
            _ => Err(error),
        };
    };
    // SAFETY: zeroed above and filled by the kernel; every bit pattern is a siginfo_t.
    let info = unsafe { info.assume_init() };
    let sender = match info.si_code {
        // SAFETY: signals with these codes carry the pid of their sender.
        libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => unsafe { info.si_pid() },
        _ => 0,
    };
    Ok(Some(Received { number, sender }))
}

/// All signals but [`FAULTS`]; the kernel takes `SIGKILL` and `SIGSTOP` out by itself.
fn readable() -> KernelSet {
    FAULTS
        .iter()
        .fold(KernelSet::MAX, |set, fault| set & !bit(*fault as i32))
}

fn bit(number: i32) -> KernelSet {
    1 << (number - 1)
}

/// Replaces the mask of the calling thread and returns the one before.
fn set_mask(set: KernelSet) -> io::Result<KernelSet> {
    let mut before: KernelSet = 0;
    // SAFETY: both sets have the size that is passed, and live across the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const set,
            &raw mut before,
            size_of::<KernelSet>(),
        )
    };
    if result == 0 {
        Ok(before)
    } else {
        Err(io::Error::last_os_error())
    }
}

fn set_child_disposition(handler: SigHandler) -> io::Result<SigHandler> {
    // SAFETY: the callers pass SIG_DFL or SIG_IGN, so no code of ours can run in signal context.
    Ok(unsafe { nix::sys::signal::signal(Signal::SIGCHLD, handler) }?)
}

/// Whether a descriptor refers to a terminal.
#[must_use]
pub fn is_terminal(fd: impl AsFd) -> bool {
    rustix::termios::isatty(fd)
}

/// Whether somebody asked this process to stop while its signals are blocked.
#[must_use]
pub fn stop_is_pending() -> bool {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigpending writes one whole set to the place that we own.
    if unsafe { libc::sigpending(set.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: the call succeeded, so the set is written.
    let set = unsafe { set.assume_init() };
    [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT]
        .into_iter()
        // SAFETY: only reads the set, which is initialised, and takes any number.
        .any(|signal| unsafe { libc::sigismember(&raw const set, signal) } == 1)
}
