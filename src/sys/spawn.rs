//! Starting programs: fork and execve with a prepared environment, or execve in place.
//!
//! `std::process::Command` cannot be used: it hands on our blocked signal mask, and it cannot put
//! the child's own pid into `LISTEN_PID` (`set_var` in `pre_exec` deadlocks on std's environment
//! lock). Everything that allocates happens before the fork; the child only makes system calls.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use super::fork;
use super::image::Image;
use super::signal::OriginalMask;
use crate::base::explain::exit;

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
                exit::NOT_FOUND
            }
            Self::Exec { .. } | Self::Nul { .. } => exit::CANNOT_EXECUTE,
            Self::Prepare { .. } => exit::STEP_FAILED,
        }
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
    let mut image = Image::new(spawn.program, spawn.argv, &environment(spawn))
        .ok_or_else(|| SpawnError::Nul { program: program() })?;

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

    let child = fork::child(|| {
        let Err((step, error)) = start(spawn, &mut image, &sources);
        let mut message = [step, 0, 0, 0, 0];
        let (_, number) = message.split_at_mut(1);
        number.copy_from_slice(&error.raw_os_error().unwrap_or(libc::EIO).to_ne_bytes());
        let _ = rustix::io::write(&report, &message);
        exit::NOT_FOUND
    });
    let child = child.map_err(|error| prepare("fork", error))?;
    drop(report);
    await_exec(&reader, child, spawn)
}

/// Names of the child's steps, by the code that it reports.
const STEPS: [&str; 5] = [
    "execve",
    "setpgid",
    "sigprocmask",
    "dup2",
    "prctl(PR_SET_PDEATHSIG)",
];

/// Everything between fork and exec, in the child, by system calls alone. Returns the index into
/// [`STEPS`] of what failed, and why.
fn start(
    spawn: &Spawn<'_>,
    image: &mut Image,
    sources: &[OwnedFd],
) -> Result<Infallible, (u8, io::Error)> {
    // A session leader (PID 1 of a container) cannot move, but its child always can.
    rustix::process::setpgid(None, None).map_err(|error| (1, error.into()))?;
    if spawn.bound == Bound::DiesWithUs {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
            .map_err(|error| (4, error.into()))?;
    }
    if spawn.group == ProcessGroup::Foreground {
        // SIGTTOU is still blocked here, so the call cannot stop us. ENOTTY, ENXIO and EBADF mean
        // that there is no terminal to hand over: tolerated, as tini does.
        let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpgrp());
    }
    if let Some(stderr) = spawn.stderr {
        // Before the sockets, which may take over its number.
        rustix::stdio::dup2_stderr(stderr).map_err(|error| (3, error.into()))?;
    }
    for (target, source) in (LISTEN_FDS_START..).zip(sources) {
        // SAFETY: `source` is open; `target` is one of our own descriptors at most, and nothing
        // in this process uses it again before execve.
        if unsafe { libc::dup2(source.as_raw_fd(), target) } < 0 {
            return Err((3, io::Error::last_os_error()));
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
    spawn.mask.restore().map_err(|error| (2, error))?;
    // Only a field of ours is as wide as a pid can be.
    if let Some(word) = image.variable(LISTEN_PID).filter(|_| !sources.is_empty()) {
        write_pid(word, std::process::id());
    }
    Err((0, image.execute_or_interpret()))
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
    let program = program.to_path_buf();
    let Some(image) = Image::new(&program, argv, env) else {
        return SpawnError::Nul { program };
    };
    if let Err(source) = mask.restore() {
        return SpawnError::Prepare {
            program,
            step: "sigprocmask",
            source,
        };
    }
    let source = image.execute_or_interpret();
    SpawnError::Exec { program, source }
}

fn environment(spawn: &Spawn<'_>) -> Vec<OsString> {
    let mut env = spawn.env.to_vec();
    if spawn.listeners.is_empty() {
        return env;
    }
    env.retain(|word| !word.as_bytes().starts_with(b"LISTEN_"));
    env.push(format!("LISTEN_FDS={}", spawn.listeners.len()).into());
    env.push(format!("LISTEN_FDNAMES={}", spawn.listener_names.join(":")).into());
    env.push(OsString::from_vec(
        [LISTEN_PID, &[b'0'; PID_DIGITS]].concat(),
    ));
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
/// starts runs beside it. The child outlives us, unlike a [service](super::service), whose work is worth nothing
/// without us; as PID 1 or subreaper we reap it. When no process can be made, the work is done
/// here.
pub fn aside(work: impl Fn()) {
    let made = fork::child(|| {
        super::process::set_name(super::process::HELPER);
        work();
        0
    });
    if made.is_err() {
        work();
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

    #[test]
    fn a_pid_for_others_sockets_is_handed_on_as_it_is() {
        let pid = spawn(&Spawn {
            program: Path::new("/bin/sh"),
            argv: &["sh", "-c", "test \"$LISTEN_PID\" = 1"].map(OsString::from),
            env: &["LISTEN_PID=1".into()],
            mask: OriginalMask::empty(),
            group: ProcessGroup::Own,
            listeners: &[],
            listener_names: &[],
            stderr: None,
            bound: Bound::DiesWithUs,
        });
        let ended = rustix::process::waitpid(pid.ok(), rustix::process::WaitOptions::empty());
        assert_eq!(ended.unwrap().unwrap().1.exit_status(), Some(0));
    }
}
