//! A watchdog over our one thread: where it stands still, it says so, and in which call.
//!
//! A timer of the kernel fires when the loop has not come round for `TIMEOUT`. Its signal runs
//! a handler on top of whatever stands still, which writes one line to the log, and answers who
//! asks on the status socket meanwhile. It costs two calls a turn, no process and no memory; it is
//! never armed while the loop sleeps. What was interrupted is continued (`SA_RESTART`); a wait
//! that cannot be restarted returns `EINTR`, as it does for SIGCONT.
//!
//! The signal is SIGTRAP: it is one of the few that are never blocked here, and never passed on to
//! dockerd; every other number is somebody's. A SIGTRAP that is not the timer's does as before.

mod interrupted;
mod text;

use std::fmt::Write as _;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::interrupted::Interrupted;
use self::text::{Json, Now, Text};

/// How long a turn of the loop may take, in milliseconds.
static TIMEOUT: AtomicU64 = AtomicU64::new(10_000);
/// How often it looks again, so that a probe with a deadline of a second gets its answer.
const AGAIN: Duration = Duration::from_millis(400);
/// Who asks is answered, but not without end.
const ANSWERS: usize = 16;

/// What our thread is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Doing {
    /// Settings and the API sockets: what comes before anything else.
    Begin,
    /// Facts, and what follows from them.
    Plan,
    /// The steps of the plan, and the process of dockerd.
    Steps,
    /// dockerd's standard error, and ours.
    Output,
    /// What is kept of the memory for dockerd.
    Memory,
    /// Who asks for the status.
    Status,
    /// dockerd's notices.
    Notices,
    /// Signals, and what became of processes.
    Signals,
    /// The namespaces of a rootless dockerd.
    Namespaces,
    /// Nested containers and what they leave.
    Containers,
    /// What the table of states asks for.
    Actions,
    ReadyFile,
    StatusFile,
    CleanUp,
}

impl Doing {
    const ALL: [Self; 14] = [
        Self::Begin,
        Self::Plan,
        Self::Steps,
        Self::Output,
        Self::Memory,
        Self::Status,
        Self::Notices,
        Self::Signals,
        Self::Namespaces,
        Self::Containers,
        Self::Actions,
        Self::ReadyFile,
        Self::StatusFile,
        Self::CleanUp,
    ];

    fn words(self) -> &'static str {
        match self {
            Self::Begin => "reads its settings and binds the API sockets",
            Self::Plan => "looks at the machine",
            Self::Steps => "carries its plan out and starts dockerd",
            Self::Output => "passes output on",
            Self::Memory => "measures the memory that is kept for dockerd",
            Self::Status => "answers for its status",
            Self::Notices => "reads notices of dockerd",
            Self::Signals => "takes signals and dead processes in",
            Self::Namespaces => "works for the namespaces of dockerd",
            Self::Containers => "looks after nested containers",
            Self::Actions => "does what follows from events",
            Self::ReadyFile => "writes or removes the ready file",
            Self::StatusFile => "writes the status file",
            Self::CleanUp => "cleans up",
        }
    }
}

/// What a watchdog says of a thread that stands still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stall {
    pub doing: String,
    /// How long the turn lasts.
    pub seconds: u64,
    /// The number of the call that it waits in, where that can be told.
    pub call: Option<i64>,
    /// The path that this call was given.
    pub path: Option<String>,
}

// One thread and its own signal handler share these; each is one word, so none is ever torn.
static TIMER: AtomicPtr<libc::c_void> = AtomicPtr::new(null_mut());
static DOING: AtomicU8 = AtomicU8::new(0);
static SINCE: AtomicU64 = AtomicU64::new(0);
static TOLD: AtomicBool = AtomicBool::new(false);
static LOG: AtomicI32 = AtomicI32::new(2);
static JSON: AtomicBool = AtomicBool::new(false);
static LISTENER: AtomicI32 = AtomicI32::new(-1);
/// The process that made the timer: a forked one has none.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// Starts watching this thread where that is possible, and says so where it is not.
pub fn watch(json: bool) {
    if let Err(error) = start(json) {
        tracing::warn!("no watchdog: a call that hangs will not be named: {error}");
    }
}

/// The same for a forked process that goes on as we do: it has no timer, and nobody asks it.
pub fn watch_again() {
    answer_on(None);
    watch(JSON.load(Ordering::Relaxed));
}

/// The first turn begins.
///
/// # Errors
/// What `sigaction(2)` and `timer_create(2)` say: a sandbox may not know them.
fn start(json: bool) -> io::Result<()> {
    JSON.store(json, Ordering::Relaxed);
    // SAFETY: an integer type and pointers: all zeros are a value of it.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_timer;
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: the handler has the signature that SA_SIGINFO asks for, lives for ever, and keeps to
    // what is async-signal-safe (see `on_timer`).
    if unsafe { libc::sigaction(libc::SIGTRAP, &raw const action, null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above: integers, a union of integers and pointers.
    let mut event: libc::sigevent = unsafe { MaybeUninit::zeroed().assume_init() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = libc::SIGTRAP;
    let mut timer: libc::timer_t = null_mut();
    // SAFETY: both places are ours and live across the call.
    if unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) } != 0 {
        return Err(io::Error::last_os_error());
    }
    TIMER.store(timer, Ordering::Relaxed);
    OWNER.store(own_pid(), Ordering::Relaxed);
    turn(Doing::Begin);
    Ok(())
}

/// Where its line goes: a descriptor that stays open as long as we live.
pub fn log_to(fd: BorrowedFd<'_>) {
    LOG.store(fd.as_raw_fd(), Ordering::Relaxed);
}

/// Whom it answers: a listening, non-blocking socket; `None` before that one is closed.
pub fn answer_on(listener: Option<BorrowedFd<'_>>) {
    let fd = listener.map_or(-1, |fd| fd.as_raw_fd());
    LISTENER.store(fd, Ordering::Relaxed);
}

/// A turn begins.
pub fn turn(doing: Doing) {
    told();
    self::doing(doing);
    SINCE.store(now(), Ordering::Relaxed);
    set(Duration::from_millis(TIMEOUT.load(Ordering::Relaxed)));
}

/// Notes what the rest of the turn is about.
pub fn doing(doing: Doing) {
    DOING.store(doing as u8, Ordering::Relaxed);
}

/// The turn is over; whatever time passes from here on is sleep.
pub fn rest() {
    set(Duration::ZERO);
    told();
}

/// What was said to hang does not hang any more.
fn told() {
    if TOLD.swap(false, Ordering::Relaxed) {
        let seconds = now().saturating_sub(SINCE.load(Ordering::Relaxed)) / 1000;
        tracing::warn!("PID {} goes on after {seconds} s", own_pid());
    }
}

fn set(first: Duration) {
    let timer = TIMER.load(Ordering::Relaxed);
    if timer.is_null() && OWNER.load(Ordering::Relaxed) == 0 {
        return;
    }
    let time = |duration: Duration| libc::timespec {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    };
    let times = libc::itimerspec {
        it_value: time(first),
        it_interval: time(AGAIN),
    };
    // SAFETY: the timer was made by `start` and is never deleted. In a forked process, which has
    // no timers, the kernel says EINVAL, and so it does for an id that is not there.
    unsafe { libc::timer_settime(timer, 0, &raw const times, null_mut()) };
}

fn own_pid() -> i32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::getpid() }
}

/// Milliseconds of the clock that the timer runs by.
fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let millis = now.tv_sec.saturating_mul(1000) + now.tv_nsec / 1_000_000;
    u64::try_from(millis).unwrap_or(0)
}

/// The handler. Only atomics, formatting into a buffer on the stack, and calls of
/// `signal-safety(7)`: nothing is allocated and no lock is taken, whatever was interrupted.
#[expect(
    clippy::disallowed_methods,
    reason = "our own signal, once more, to ourselves"
)]
extern "C" fn on_timer(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: with SA_SIGINFO the kernel passes a siginfo_t that lives as long as the handler.
    if unsafe { (*info).si_code } != libc::SI_TIMER {
        // Somebody's breakpoint, or kill(1): what would have happened without us.
        // SAFETY: SIG_DFL is no code of ours.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        // SAFETY: a plain number; it is delivered when this handler returns.
        unsafe { libc::raise(signal) };
        return;
    }
    // SAFETY: points to this thread's errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; nobody else reads or writes it meanwhile.
    let before = unsafe { *errno };
    bark(context);
    // SAFETY: as above. What was interrupted finds its errno as it left it.
    unsafe { *errno = before };
}

fn bark(context: *mut libc::c_void) {
    let seconds = now().saturating_sub(SINCE.load(Ordering::Relaxed)) / 1000;
    let doing = Doing::ALL
        .get(usize::from(DOING.load(Ordering::Relaxed)))
        .map_or("", |doing| doing.words());
    let interrupted = Interrupted::of(context);
    if !TOLD.swap(true, Ordering::Relaxed) {
        let mut message = Text::<700>::default();
        let _ = write!(
            message,
            "PID {} hangs for {seconds} s: it {doing}{interrupted}",
            own_pid()
        );
        write_line(message.as_str());
    }
    answer(doing, seconds, &interrupted);
}

/// One line to the log, in its form; lost rather than waited for.
fn write_line(message: &str) {
    let mut line = Text::<1600>::default();
    let mut time = Text::<40>::default();
    let _ = write!(time, "{}", Now);
    let time = time.as_str();
    let _ = if JSON.load(Ordering::Relaxed) {
        writeln!(
            line,
            "{{\"level\":\"error\",\"module\":\"dind-init\",\"msg\":{},\"time\":\"{time}\"}}",
            Json(message)
        )
    } else {
        writeln!(
            line,
            "time=\"{time}\" level=error msg={message:?} module=dind-init"
        )
    };
    let fd = LOG.load(Ordering::Relaxed);
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one entry, which is ours; it does not wait.
    if unsafe { libc::poll(&raw mut poll, 1, 0) } == 1 && poll.revents & libc::POLLOUT != 0 {
        let bytes = line.as_str().as_bytes();
        // SAFETY: the bytes live across the call. A pipe that is ready takes so few without
        // waiting; one whose reader is gone raises SIGPIPE, which is blocked.
        unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    }
}

/// Answers for the loop whoever asks for its status.
fn answer(doing: &str, seconds: u64, interrupted: &Interrupted) {
    let listener = LISTENER.load(Ordering::Relaxed);
    if listener < 0 {
        return;
    }
    let mut text = Text::<1600>::default();
    let _ = write!(
        text,
        "{{\"stalled\":{{\"doing\":{},\"seconds\":{seconds},\"call\":",
        Json(doing)
    );
    let _ = match interrupted.call {
        Some(call) => write!(text, "{call}"),
        None => text.write_str("null"),
    };
    let _ = match interrupted.path() {
        Some(path) => write!(text, ",\"path\":{}", Json(path)),
        None => Ok(()),
    };
    let _ = text.write_str("}}\n");
    let bytes = text.as_str().as_bytes();
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    for _ in 0..ANSWERS {
        // SAFETY: no address is asked for.
        let client = unsafe { libc::accept4(listener, null_mut(), null_mut(), flags) };
        if client < 0 {
            return;
        }
        // SAFETY: the bytes live across the call, which neither waits nor raises a signal.
        unsafe {
            libc::send(
                client,
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_NOSIGNAL,
            )
        };
        // SAFETY: it was made above, and nobody else knows its number.
        unsafe { libc::close(client) };
    }
}

#[cfg(test)]
mod tests;
