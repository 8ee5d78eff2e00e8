//! Keeps the network driver alive. The tap device is persistent: addresses and routes stay when
//! the driver dies, and a new one takes it over.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitStatus};

use super::error::LaunchError;
use crate::config::rootless::Options;
use crate::files;
use crate::plan::rootless::driver::{self, DriverCommand, Hardening, Ready};
use crate::plan::rootless::net::NetPlan;
use crate::process;
use crate::process::ask;
use crate::process::ask::wait_any;
use crate::process::companion::{Companion, Respawn};
use crate::sys::helper::{self, Helper, Privileges};
use crate::sys::process::{Child, NotReaped};

/// How long a driver may take until it is ready.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The driver of one namespace.
#[derive(Debug)]
pub(super) struct NetDriverProcess {
    options: Options,
    net: NetPlan,
    program: PathBuf,
    env: Vec<OsString>,
    child: u32,
    pid_file: PathBuf,
    hardening: Hardening,
    running: Option<Running>,
    respawn: Respawn,
}

#[derive(Debug)]
struct Running {
    /// pasta's first process, which ends when its daemon is ready.
    announces: Option<PathBuf>,
    output: fs::File,
    /// slirp4netns ends when this does.
    _exit: Option<OwnedFd>,
}

/// Why there is no driver.
#[derive(Debug)]
pub(super) enum NotStarted {
    Failed(LaunchError),
    /// We were asked to stop before it was ready.
    Stopped,
}

impl From<LaunchError> for NotStarted {
    fn from(error: LaunchError) -> Self {
        Self::Failed(error)
    }
}

impl NetDriverProcess {
    /// Knows how to start the driver for a child's namespace; nothing runs yet.
    #[must_use]
    pub(super) fn new(
        options: Options,
        net: NetPlan,
        program: PathBuf,
        env: Vec<OsString>,
        child: u32,
        pid_file: PathBuf,
    ) -> Self {
        Self {
            options,
            net,
            program,
            env,
            child,
            pid_file,
            hardening: Hardening::Requested,
            running: None,
            respawn: Respawn::new(None),
        }
    }

    /// Starts the driver and waits until it moves packets, or until `stop` can be read: nobody who
    /// stops a container waits for a driver that hangs. Where its own sandbox does not work, it is
    /// started once more without.
    ///
    /// # Errors
    /// What the driver said, or that we were asked to stop.
    pub(super) fn start(&mut self, stop: BorrowedFd<'_>) -> Result<(), NotStarted> {
        let Some(command) = self.command() else {
            return Ok(());
        };
        match self.attempt(&command, stop) {
            Err(NotStarted::Failed(first)) if command.hardened => {
                self.hardening = Hardening::Fallback;
                let Some(plain) = self.command() else {
                    return Err(first.into());
                };
                self.attempt(&plain, stop)?;
                tracing::warn!(
                    "{} works here only without its sandbox and seccomp filter: {}",
                    self.net.driver.name(),
                    crate::base::explain::chain(&first)
                );
                Ok(())
            }
            other => other,
        }
    }

    fn command(&self) -> Option<DriverCommand> {
        driver::command(
            &self.options,
            &self.net,
            self.child,
            self.pid_file.clone(),
            self.hardening,
        )
    }

    fn attempt(&mut self, command: &DriverCommand, stop: BorrowedFd<'_>) -> Result<(), NotStarted> {
        let ready = self.spawn(command)?;
        let (Some(mut running), Some(pid)) = (self.running.take(), self.respawn.process()) else {
            return Ok(());
        };
        let name = self.net.driver.name();
        let verdict = match (&ready, &running.announces) {
            (Some(ready), _) => wait_for_byte(ready, stop),
            (None, Some(file)) => {
                wait_for_daemon(pid, file, stop).map(|daemon| self.respawn.continues_as(daemon))
            }
            (None, None) => Ok(()),
        };
        match verdict {
            Ok(()) => {
                running.announces = None;
                self.running = Some(running);
                Ok(())
            }
            Err(why) => {
                self.respawn.stop();
                ask::end(Child(pid), name);
                let Some(why) = why else {
                    return Err(NotStarted::Stopped);
                };
                let said = said(&mut running.output);
                Err(LaunchError::plain(format!("{name} {why}"))
                    .saying(&said)
                    .with_help(
                        "without it there is no network inside",
                        "see what it said above; another driver: \
                         DOCKERD_ROOTLESS_ROOTLESSKIT_NET=pasta or slirp4netns",
                    )
                    .into())
            }
        }
    }

    /// Starts the process; returns the descriptor on which it will say that it is ready.
    fn spawn(&mut self, command: &DriverCommand) -> Result<Option<OwnedFd>, LaunchError> {
        let name = self.net.driver.name();
        let failed = |error: io::Error| LaunchError::new(format!("could not start {name}"), &error);
        let output = ask::output()
            .map_err(|error| LaunchError::new("could not make a memory file", &error))?;
        let argv: Vec<OsString> = command.argv.iter().map(OsString::from).collect();
        let pipes = match command.ready {
            Ready::Daemon(ref file) => {
                let _ = files::remove(file);
                None
            }
            Ready::Byte => {
                let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed(e.into()));
                Some((pipe()?, pipe()?))
            }
        };
        let descriptors: Vec<_> = pipes
            .iter()
            .flat_map(|((_, ready), (exit, _))| [ready.as_fd(), exit.as_fd()])
            .collect();
        let pid = helper::start(&Helper {
            program: &self.program,
            argv: &argv,
            env: &self.env,
            descriptors: &descriptors,
            input: None,
            output: Some(output.as_fd()),
            privileges: Privileges::NoNew,
        })
        .map_err(failed)?;
        drop(descriptors);
        let (ready, exit) = match pipes {
            Some(((ready, _), (_, exit))) => (Some(ready), Some(exit)),
            None => (None, None),
        };
        self.respawn.started(pid);
        self.running = Some(Running {
            announces: match &command.ready {
                Ready::Daemon(file) => Some(file.clone()),
                Ready::Byte => None,
            },
            output,
            _exit: exit,
        });
        Ok(ready)
    }
}

impl Companion for NetDriverProcess {
    fn deadline(&self) -> Option<Instant> {
        self.respawn.deadline()
    }

    fn work(&mut self) {
        if !self.respawn.is_due() {
            return;
        }
        let Some(command) = self.command() else {
            return;
        };
        if let Err(error) = self.spawn(&command) {
            tracing::error!("{}", crate::base::explain::one_line(&error));
            self.respawn.failed();
        }
    }

    fn reaped(&mut self, pid: Pid, status: WaitStatus) {
        if self.respawn.process() != Some(pid) {
            return;
        }
        let announced = self
            .running
            .as_mut()
            .and_then(|running| running.announces.take());
        if status.exit_status() == Some(0)
            && let Some(daemon) = announced.as_deref().and_then(read_pid)
        {
            self.respawn.continues_as(daemon);
            return;
        }
        self.respawn.reaped(pid);
        let name = self.net.driver.name();
        let said = self
            .running
            .take()
            .map(|mut running| said(&mut running.output));
        tracing::warn!(
            "{name} (process {}) died and is started again: {}",
            pid.as_raw_nonzero(),
            said.unwrap_or_default().trim()
        );
    }

    fn stop(&mut self) {
        self.running = None;
        if let Some(pid) = self.respawn.stop() {
            // It is reaped with everybody else.
            let _ = Child(pid).signal(libc::SIGKILL);
        }
    }
}

/// The last kilobyte of what a program said.
fn said(output: &mut fs::File) -> String {
    let text = crate::process::ask::said(output);
    let tail = text.len().saturating_sub(1024);
    let tail = (tail..=text.len()).find_map(|at| text.get(at..));
    tail.unwrap_or_default().to_owned()
}

/// Why a driver is not ready; nothing when we were asked to stop before it was.
type Unready = Option<String>;

fn wait_for_byte(ready: &OwnedFd, stop: BorrowedFd<'_>) -> Result<(), Unready> {
    wait_unless(ready.as_fd(), stop)?;
    let mut byte = [0];
    match rustix::io::read(ready, &mut byte) {
        Ok(1) => Ok(()),
        _ => Err(Some("ended before it was ready".into())),
    }
}

/// Waits for the end of the first process, and finds the second.
fn wait_for_daemon(pid: Pid, file: &std::path::Path, stop: BorrowedFd<'_>) -> Result<Pid, Unready> {
    let flags = rustix::process::PidfdFlags::empty();
    // Before 5.3, or hidden by a filter: then nobody who stops us is heard during the wait below.
    if let Ok(pidfd) = rustix::process::pidfd_open(pid, flags) {
        wait_unless(pidfd.as_fd(), stop)?;
    }
    match Child(pid).wait(Instant::now() + TIMEOUT) {
        Err(NotReaped::Alive(_)) => Err(Some(format!("was not ready within {TIMEOUT:?}"))),
        Ok(status) if status.exit_status() == Some(0) => {
            read_pid(file).ok_or_else(|| Some("left no process id".into()))
        }
        _ => Err(Some("ended before it was ready".into())),
    }
}

/// Waits for a sign of the driver.
fn wait_unless(sign: BorrowedFd<'_>, stop: BorrowedFd<'_>) -> Result<(), Unready> {
    match wait_any([sign, stop], Instant::now() + TIMEOUT) {
        [true, _] => Ok(()),
        [false, true] => Err(None),
        [false, false] => Err(Some(format!("was not ready within {TIMEOUT:?}"))),
    }
}

fn read_pid(file: &std::path::Path) -> Option<Pid> {
    let text = files::text(file).ok()?;
    // A file tells what anybody wrote to it. What is no child of ours is not signalled either.
    let pid = process::parse_id(text.trim())?;
    Child(pid).signal(0).ok().map(|()| pid)
}
