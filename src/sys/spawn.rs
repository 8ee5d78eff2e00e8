//! Starting programs: fork and execve with a prepared environment, or execve in place.
//!
//! `std::process::Command` cannot be used: it hands on our blocked signal mask, and it cannot put
//! the child's own pid into `LISTEN_PID` (`set_var` in `pre_exec` deadlocks on std's environment
//! lock). Everything that allocates happens before the fork; the child only makes system calls.

use std::ffi::{CStr, CString, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use super::signal::OriginalMask;

/// First descriptor of the socket activation protocol (`sd_listen_fds(3)`).
pub const LISTEN_FDS_START: RawFd = 3;

/// The process group that the child runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessGroup {
    /// A group of its own; the terminal's foreground group stays as it is.
    Own,
    /// A group of its own that becomes the foreground group of the terminal on stdin, if any.
    Foreground,
}

/// A program about to be started.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// Path of the executable (see `files::find_program`).
    pub program: &'a Path,
    /// The words of the command, the program's own name first.
    pub argv: &'a [OsString],
    /// The whole environment, `NAME=value`.
    pub env: &'a [OsString],
    /// The signal mask that the child gets.
    pub mask: OriginalMask,
    /// The child's process group.
    pub group: ProcessGroup,
    /// Listening sockets for the child's descriptors 3, 4, …; when there are any, `LISTEN_FDS`
    /// and `LISTEN_PID` are set, every other descriptor above 2 is closed.
    pub listeners: &'a [BorrowedFd<'a>],
    /// `LISTEN_FDNAMES`, one for each listener.
    pub listener_names: &'a [String],
    /// The child's standard error, when it is not ours.
    pub stderr: Option<BorrowedFd<'a>>,
    /// Whether the program outlives us.
    pub bound: Bound,
}

/// What our end means for a program that we started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// It gets `SIGKILL`.
    DiesWithUs,
    /// Nothing: for PID 1, whose end is everybody's.
    No,
}

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// argv or the environment holds a NUL byte.
    #[error("an argument or variable of {program} holds a NUL byte")]
    Nul {
        /// What was to be started.
        program: PathBuf,
    },
    /// A step before the exec failed.
    #[error("could not prepare the process of {program}: {step}")]
    Prepare {
        /// What was to be started.
        program: PathBuf,
        /// The call that failed.
        step: &'static str,
        source: io::Error,
    },
    /// The kernel would not execute it.
    #[error("could not execute {program}")]
    Exec {
        /// What was to be started.
        program: PathBuf,
        source: io::Error,
    },
}

impl SpawnError {
    /// 127 when the program is missing, 126 for every other refusal, as shells have it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Exec { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                crate::base::explain::exit::NOT_FOUND
            }
            Self::Exec { .. } | Self::Nul { .. } => crate::base::explain::exit::CANNOT_EXECUTE,
            Self::Prepare { .. } => crate::base::explain::exit::STEP_FAILED,
        }
    }
}

/// NUL-terminated strings with the pointer array that execve wants.
pub(super) struct Words {
    strings: Vec<Vec<u8>>,
    pointers: Vec<*const libc::c_char>,
}

impl Words {
    pub(super) fn new(words: impl IntoIterator<Item = Vec<u8>>) -> Option<Self> {
        let strings = words
            .into_iter()
            .map(|word| CString::new(word).ok().map(CString::into_bytes_with_nul))
            .collect::<Option<Vec<_>>>()?;
        let mut pointers: Vec<_> = strings.iter().map(|s| s.as_ptr().cast()).collect();
        pointers.push(std::ptr::null());
        Some(Self { strings, pointers })
    }

    /// The array, which ends in a null pointer and lives as long as `self`.
    pub(super) fn pointers(&self) -> *const *const libc::c_char {
        self.pointers.as_ptr()
    }
}

/// Digits of the pid field: enough for any pid, fixed so that the child can fill it in place.
/// Go's `strconv.Atoi` accepts leading zeros.
const PID_DIGITS: usize = 10;
const LISTEN_PID: &[u8] = b"LISTEN_PID=";

/// Starts the program as a child and waits until the exec has happened or failed.
///
/// # Errors
/// [`SpawnError`]; the child is reaped then.
pub fn spawn(spawn: &Spawn<'_>) -> Result<Pid, SpawnError> {
    let program = || spawn.program.to_path_buf();
    let prepare = |step: &'static str, source: io::Error| SpawnError::Prepare {
        program: program(),
        step,
        source,
    };
    let nul = || SpawnError::Nul { program: program() };

    let path = CString::new(spawn.program.as_os_str().as_bytes()).map_err(|_| nul())?;
    let argv = Words::new(spawn.argv.iter().map(|w| w.as_bytes().to_vec())).ok_or_else(nul)?;
    let shell = script_argv(&path, spawn.argv).ok_or_else(nul)?;
    let mut env = Words::new(environment(spawn)).ok_or_else(nul)?;
    let pid_field = env
        .strings
        .iter()
        .position(|word| word.starts_with(LISTEN_PID));

    // Copies far above the descriptors that the child gets, so that dup2 never hits a source.
    let floor = LISTEN_FDS_START + RawFd::try_from(spawn.listeners.len()).unwrap_or(RawFd::MAX / 2);
    let high = |fd: BorrowedFd<'_>| {
        rustix::io::fcntl_dupfd_cloexec(fd, floor).map_err(|e| prepare("fcntl(F_DUPFD)", e.into()))
    };
    let sources = spawn
        .listeners
        .iter()
        .map(|fd| high(*fd))
        .collect::<Result<Vec<_>, _>>()?;
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|e| prepare("pipe2", e.into()))?;
    let report = high(writer.as_fd())?;
    drop(writer);

    // SAFETY: we are single-threaded (a rule of the crate), so the child has a whole copy of a
    // consistent process; it makes only system calls until execve or _exit.
    let fork = unsafe { libc::fork() };
    match fork {
        -1 => Err(prepare("fork", io::Error::last_os_error())),
        0 => {
            let step = child(spawn, &path, &argv, &shell, &mut env, pid_field, &sources);
            let errno = io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EIO);
            let mut message = [0u8; 5];
            let (kind, number) = message.split_at_mut(1);
            kind.copy_from_slice(&[step]);
            number.copy_from_slice(&errno.to_ne_bytes());
            let _ = rustix::io::write(&report, &message);
            // SAFETY: _exit runs no destructor and no handler; the parent's state is untouched.
            unsafe { libc::_exit(i32::from(crate::base::explain::exit::NOT_FOUND)) }
        }
        pid => {
            drop(report);
            let pid = super::process::id(pid).ok_or_else(|| {
                prepare("fork", io::Error::other("fork returned an impossible pid"))
            })?;
            await_exec(&reader, pid, spawn)
        }
    }
}

/// Names of the child's steps, by the code that it reports.
const STEPS: [&str; 6] = [
    "execve",
    "setpgid",
    "sigprocmask",
    "dup2",
    "close_range",
    "prctl(PR_SET_PDEATHSIG)",
];

/// Everything between fork and exec, in the child. Returns the index into [`STEPS`] of what
/// failed, with errno set.
fn child(
    spawn: &Spawn<'_>,
    path: &CStr,
    argv: &Words,
    shell: &Words,
    env: &mut Words,
    pid_field: Option<usize>,
    sources: &[OwnedFd],
) -> u8 {
    // A session leader (PID 1 of a container) cannot move, but its child always can.
    // SAFETY: plain system call on our own process, no memory involved.
    if unsafe { libc::setpgid(0, 0) } != 0 {
        return 1;
    }
    if spawn.bound == Bound::DiesWithUs
        && rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
            .is_err()
    {
        return 5;
    }
    if spawn.group == ProcessGroup::Foreground {
        // SIGTTOU is still blocked here, so the call cannot stop us. ENOTTY, ENXIO and EBADF mean
        // that there is no terminal to hand over: tolerated, as tini does.
        let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpgrp());
    }
    if let Some(stderr) = spawn.stderr {
        // Before the sockets, which may take over its number.
        // SAFETY: `stderr` is open; descriptor 2 has no owner in this crate.
        if unsafe { libc::dup2(stderr.as_raw_fd(), 2) } < 0 {
            return 3;
        }
    }
    for (target, source) in (LISTEN_FDS_START..).zip(sources) {
        // SAFETY: `source` is open; `target` is one of our own descriptors at most, and nothing
        // in this process uses it again before execve.
        if unsafe { libc::dup2(source.as_raw_fd(), target) } < 0 {
            return 3;
        }
    }
    if !sources.is_empty() {
        let count = u32::try_from(sources.len()).unwrap_or(0);
        let first = LISTEN_FDS_START.unsigned_abs() + count;
        // ENOSYS (before 5.9) is tolerated: descriptors of ours are close-on-exec anyway.
        // SAFETY: marks descriptors close-on-exec and closes none, so no owner is invalidated.
        unsafe {
            libc::syscall(
                libc::SYS_close_range,
                first,
                u32::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            )
        };
    }
    // The last step but one: a signal that was sent meanwhile is delivered here, with the
    // dispositions that the program starts with.
    if spawn.mask.restore().is_err() {
        return 2;
    }
    if let Some(word) = pid_field.and_then(|index| env.strings.get_mut(index)) {
        write_pid(word, std::process::id());
    }
    // SAFETY: both arrays end in a null pointer and point to NUL-terminated strings that live in
    // `argv` and `env`; the patched word was changed in place, so its pointer still holds.
    unsafe { libc::execve(path.as_ptr(), argv.pointers.as_ptr(), env.pointers.as_ptr()) };
    if io::Error::last_os_error().raw_os_error() == Some(libc::ENOEXEC) {
        // A script without an interpreter line, which execvp(3) runs by the shell.
        // SAFETY: as above.
        unsafe {
            libc::execve(
                c"/bin/sh".as_ptr(),
                shell.pointers.as_ptr(),
                env.pointers.as_ptr(),
            )
        };
    }
    0
}

fn await_exec(reader: &OwnedFd, pid: Pid, spawn: &Spawn<'_>) -> Result<Pid, SpawnError> {
    let mut message = [0u8; 5];
    let count = loop {
        match rustix::io::read(reader, &mut message) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other.unwrap_or(0),
        }
    };
    if count == 0 {
        return Ok(pid); // closed by the exec
    }
    let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
    let [step, errno @ ..] = message;
    let source = io::Error::from_raw_os_error(i32::from_ne_bytes(errno));
    let program = spawn.program.to_path_buf();
    match STEPS.get(usize::from(step)) {
        Some(&step) if step != "execve" => Err(SpawnError::Prepare {
            program,
            step,
            source,
        }),
        _ => Err(SpawnError::Exec { program, source }),
    }
}

/// Replaces this process by the program; returns only when that failed.
#[must_use]
pub fn exec(program: &Path, argv: &[OsString], env: &[OsString], mask: OriginalMask) -> SpawnError {
    let owned = program.to_path_buf();
    let words = |list: &[OsString]| Words::new(list.iter().map(|w| w.as_bytes().to_vec()));
    let (Ok(path), Some(arguments), Some(env)) = (
        CString::new(program.as_os_str().as_bytes()),
        words(argv),
        words(env),
    ) else {
        return SpawnError::Nul { program: owned };
    };
    if let Err(source) = mask.restore() {
        return SpawnError::Prepare {
            program: owned,
            step: "sigprocmask",
            source,
        };
    }
    // SAFETY: both arrays end in a null pointer and point to NUL-terminated strings that live in
    // `arguments` and `env` until the call returns.
    unsafe {
        libc::execve(
            path.as_ptr(),
            arguments.pointers.as_ptr(),
            env.pointers.as_ptr(),
        )
    };
    let source = io::Error::last_os_error();
    if source.raw_os_error() == Some(libc::ENOEXEC)
        && let Some(shell) = script_argv(&path, argv)
    {
        // SAFETY: as above, with `shell`.
        unsafe {
            libc::execve(
                c"/bin/sh".as_ptr(),
                shell.pointers.as_ptr(),
                env.pointers.as_ptr(),
            )
        };
    }
    SpawnError::Exec {
        program: owned,
        source,
    }
}

/// argv for running `path` by `/bin/sh`: the shell, the path, the arguments.
fn script_argv(path: &CStr, argv: &[OsString]) -> Option<Words> {
    let head = [b"/bin/sh".to_vec(), path.to_bytes().to_vec()];
    Words::new(
        head.into_iter()
            .chain(argv.iter().skip(1).map(|w| w.as_bytes().to_vec())),
    )
}

fn environment(spawn: &Spawn<'_>) -> Vec<Vec<u8>> {
    let mut env: Vec<Vec<u8>> = spawn
        .env
        .iter()
        .map(|word| word.clone().into_vec())
        .collect();
    if spawn.listeners.is_empty() {
        return env;
    }
    env.retain(|word| !word.starts_with(b"LISTEN_"));
    env.push(format!("LISTEN_FDS={}", spawn.listeners.len()).into_bytes());
    env.push(format!("LISTEN_FDNAMES={}", spawn.listener_names.join(":")).into_bytes());
    env.push([LISTEN_PID, &[b'0'; PID_DIGITS]].concat());
    env
}

/// Fills the fixed-width pid field of `LISTEN_PID=0000000000\0` in place, without allocating.
fn write_pid(word: &mut [u8], pid: u32) {
    let mut rest = pid;
    for digit in word
        .iter_mut()
        .skip(LISTEN_PID.len())
        .take(PID_DIGITS)
        .rev()
    {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
}

/// Does work in a child process that nobody waits for: what need not be done before dockerd
/// starts runs beside it. The child ends with the work; as PID 1 or subreaper we reap it. When no
/// process can be made, the work is done here.
pub fn aside(work: impl FnOnce()) {
    // SAFETY: we are single-threaded (a rule of the crate), so the child has a whole copy of a
    // consistent process and may allocate.
    match unsafe { libc::fork() } {
        0 => {
            super::process::set_name(super::process::HELPER);
            work();
            // SAFETY: _exit runs no destructor and no handler of the parent's.
            unsafe { libc::_exit(0) }
        }
        -1 => work(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_field_is_filled_from_the_right() {
        let mut word = b"LISTEN_PID=0000000000\0".to_vec();
        write_pid(&mut word, 4_194_304);
        assert_eq!(word, b"LISTEN_PID=0004194304\0");
        write_pid(&mut word, u32::MAX);
        assert_eq!(word, b"LISTEN_PID=4294967295\0");
    }
}
