//! The `docker-init` and `tini` persona: one program under a small init.
//!
//! Everything but [`run`] is decided by pure parts ([`options`], `text`, `names`). The loop below
//! the border sleeps in one system call, owns no descriptor and allocates nothing while quiet.

mod failure;
mod message;
pub mod names;
pub mod options;
mod pace;
mod text;

use std::ffi::{OsStr, OsString};
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitOptions, WaitStatus, getpid};
use rustix::stdio::{stderr, stdout};

pub use self::failure::{Finding, StartError};
use self::message::{Deadline, Level, Log};
use self::options::{Options, Reaped, Receiver, Request, Subreaper, UsageError};
use self::pace::{NAP, Pace, Rest};
use crate::base::explain::{self, Explain, exit};
use crate::files;
use crate::process::rounds::{Left, reap_most};
use crate::sys::process::{self, Child};
use crate::sys::signal::{self, OriginalMask, Received};
use crate::sys::spawn::{self, ProcessGroup, Spawn, SpawnError};

/// Runs the program that argv names and returns the exit code. argv begins with the name that we
/// were called by; `mask` is what [`signal::block_all`] returned, and must still be blocked.
#[must_use]
pub fn run(argv: &[OsString], env: &[(OsString, OsString)], mask: OriginalMask) -> u8 {
    let print = |text: &str| message::write(stdout(), text.as_bytes(), Deadline::Block);
    match options::parse(argv, env) {
        Ok(Request::Help) => print(&text::usage(&options::program_name(argv))),
        Ok(Request::License) => print(text::license()),
        Ok(Request::Version) => print(&format!("{}\n", text::version())),
        Ok(Request::Run(options)) => {
            let log = Log {
                verbosity: options.verbosity,
                deadline: Deadline::Block,
            };
            return match start(&options, env, mask, log) {
                Ok(child) => {
                    // The program runs already; the loop needs a small part of what we loaded.
                    crate::sys::memory::forget_code();
                    supervise(child, &options)
                }
                Err(error) => refuse(log, &error),
            };
        }
        Err(error @ (UsageError::ExitCode(_) | UsageError::Signal(_))) => {
            let log = Log {
                verbosity: 0,
                deadline: Deadline::Block,
            };
            return refuse(log, &error);
        }
        Err(error) => {
            let program = options::program_name(argv);
            let rows = explain::frame(&error).replacen("error", &program, 1);
            let text = format!("{rows}\n{}", text::usage(&program));
            message::write(stderr(), text.as_bytes(), Deadline::Block);
            return error.exit_code();
        }
    }
    0
}

/// Tells a failure in full; `FATAL` is shown at every verbosity.
fn refuse(log: Log, error: &dyn Explain) -> u8 {
    log.say(Level::Fatal, || {
        let frame = explain::frame(error);
        frame.strip_prefix("error: ").unwrap_or(&frame).to_owned()
    });
    error.exit_code()
}

fn start(
    options: &Options,
    env: &[(OsString, OsString)],
    mask: OriginalMask,
    log: Log,
) -> Result<Pid, StartError> {
    if let Some(number) = options.parent_death_signal {
        process::set_parent_death_signal(number).map_err(StartError::ParentDeathSignal)?;
    }
    if options.subreaper == Subreaper::Register {
        rustix::process::set_child_subreaper(Some(getpid()))
            .map_err(|errno| StartError::Subreaper(errno.into()))?;
        log.say(Level::Trace, || "Registered as child subreaper".into());
    }
    if !gets_orphans() {
        log.say(Level::Warn, || text::WILL_NOT_REAP.into());
    }

    let name = options
        .command
        .first()
        .map_or_else(|| OsStr::new(""), OsString::as_os_str);
    let path = env
        .iter()
        .find(|(key, _)| key == "PATH")
        .map(|(_, value)| value.as_os_str());
    let Some(program) = files::find_program(name, path) else {
        return Err(StartError::Exec {
            program: name.to_string_lossy().into_owned(),
            cause: io::Error::from_raw_os_error(libc::ENOENT),
            finding: Finding::of(name, None, path),
        });
    };
    let env: Vec<OsString> = env.iter().map(variable).collect();
    let child = spawn::spawn(&Spawn {
        program: &program,
        argv: &options.command,
        env: &env,
        mask,
        group: ProcessGroup::Foreground,
        listeners: &[],
        listener_names: &[],
        bound: spawn::Bound::No,
        stderr: None,
    })
    .map_err(|error: SpawnError| StartError::from_spawn(name, error, path))?;
    log.say(Level::Info, || {
        let pid = child.as_raw_nonzero();
        format!(
            "Spawned child process '{}' with pid '{pid}'",
            name.display()
        )
    });
    Ok(child)
}

/// Whether the kernel gives orphans to this process.
fn gets_orphans() -> bool {
    // A kernel without the attribute answers with an error, and then nobody has it.
    getpid().is_init() || matches!(rustix::process::child_subreaper(), Ok(Some(_)))
}

fn variable((name, value): &(OsString, OsString)) -> OsString {
    let mut word = name.clone();
    word.push("=");
    word.push(value);
    word
}

// ═══════════ the border: from here on nothing may end PID 1 but the end of its child ═══════════

/// How many children are reaped before a signal gets its turn: a storm of them delays no TERM.
const BATCH: usize = 256;

/// Passes signals and reaps until the child is gone; returns the exit code.
fn supervise(child: Pid, options: &Options) -> u8 {
    let log = Log {
        verbosity: options.verbosity,
        deadline: Deadline::Drop,
    };
    let mut pace = Pace::default();
    loop {
        let round = reap(child, options.reaped, log);
        if let Some(status) = round.child {
            log.say(Level::Trace, || "Exiting: child has exited".into());
            return exit_code(status, options);
        }
        // A SIGCHLD that comes while we reap, or nap, stays pending: no death goes unseen.
        let rest = match round.orphans {
            0 => pace.quiet(),
            orphans => pace.after(orphans, Instant::now()),
        };
        let received = match rest {
            _ if round.left == Left::Unknown => signal::wait_but_for_children(Duration::ZERO),
            Rest::Nap => signal::wait_but_for_children(NAP),
            Rest::Sleep => signal::wait().map(Some),
        };
        match received {
            Ok(Some(received)) => pass_on(received, Child(child), options.receiver, log),
            Ok(None) => {}
            Err(error) => {
                // Only a seccomp filter can forbid the call. The child can still be waited for.
                log.say(Level::Warn, || format!("cannot receive signals: {error}"));
                return wait_deaf(child).map_or(1, |status| exit_code(status, options));
            }
        }
    }
}

/// What one round of reaping found.
struct Round {
    child: Option<WaitStatus>,
    orphans: usize,
    left: Left,
}

/// Reaps what is dead, up to [`BATCH`].
fn reap(child: Pid, reaped: Reaped, log: Log) -> Round {
    let mut round = Round {
        child: None,
        orphans: 0,
        left: Left::Unknown,
    };
    round.left = reap_most(BATCH, |pid, status| {
        let number = pid.as_raw_nonzero();
        log.say(Level::Debug, || {
            format!("Reaped child with pid: '{number}'")
        });
        if pid == child {
            log.say(Level::Info, || describe(status));
            round.child = Some(status);
            return;
        }
        round.orphans += 1;
        if reaped == Reaped::Warn {
            log.say(Level::Warn, || {
                format!("Reaped zombie process with pid={number}")
            });
        }
    });
    match round.left {
        Left::Living => log.say(Level::Trace, || "No child to reap".into()),
        // Our own child was reaped in this very round.
        Left::Nobody => log.say(Level::Trace, || "No child to wait".into()),
        Left::Unknown => {}
    }
    round
}

/// Passes a signal to the child, unless it is about ourselves.
fn pass_on(received: Received, child: Child, receiver: Receiver, log: Log) {
    let number = received.number;
    if number == libc::SIGCHLD {
        log.say(Level::Debug, || "Received SIGCHLD".into());
        return;
    }
    if !received.is_forwardable() {
        return;
    }
    log.say(Level::Debug, || {
        format!("Passing signal: '{}'", names::name(number))
    });
    let sent = match receiver {
        Receiver::Child => child.signal(number),
        Receiver::Group => child.signal_group(number),
    };
    if let Err(error) = sent {
        log.say(Level::Warn, || match error.raw_os_error() {
            Some(libc::ESRCH) => "Child was dead when forwarding signal".into(),
            // EPERM: the program runs as another user, and we may not signal it.
            _ => format!(
                "could not pass {} to the child: {error}",
                names::name(number)
            ),
        });
    }
}

/// Waits for the child alone, deaf to signals. `None`: it is not there to be waited for.
fn wait_deaf(child: Pid) -> Option<WaitStatus> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => return Some(status),
            Err(rustix::io::Errno::CHILD) => return None,
            _ => {}
        }
    }
}

fn describe(status: WaitStatus) -> String {
    match status.terminating_signal() {
        Some(number) => {
            let name = names::name(number);
            format!("Main child exited with signal (with signal '{name}')")
        }
        None => {
            let code = status.exit_status().unwrap_or_default();
            format!("Main child exited normally (with status '{code}')")
        }
    }
}

/// The child's exit code as shells have it, after `-e`.
fn exit_code(status: WaitStatus, options: &Options) -> u8 {
    let code = match status.terminating_signal() {
        Some(number) => u8::try_from(number)
            .ok()
            .and_then(|number| exit::SIGNAL_BASE.checked_add(number))
            .unwrap_or(u8::MAX),
        None => status
            .exit_status()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1),
    };
    if options.expected.contains(&code) {
        0
    } else {
        code
    }
}
