//! The port driver's process, kept by the child: it serves the API that dockerd speaks, and relays
//! published ports.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::pipe::PipeFlags;
use rustix::process::{Pid, WaitStatus};

use super::error::LaunchError;
use super::rules;
use super::state::StateDir;
use crate::base::environment::Environment;
use crate::base::explain::{self, Explain as _};
use crate::config::rootless::port::PortSpec;
use crate::host::rootless::Filter;
use crate::plan::rootless::RootlessPlan;
use crate::ports::api::info::{Info, NetworkDriver};
use crate::ports::bind::BindClient;
use crate::ports::{self, PortsError, Setup, SourceAddresses};
use crate::process::companion::{Companion, Respawn};
use crate::process::service;
use crate::sys::process::Child;

/// What keeps client addresses. The first process applies it, before it gives its rights up: that
/// takes as long as a few programs do, and dockerd need not wait for it.
#[derive(Debug, Clone)]
enum Rules {
    /// Client addresses are not kept.
    None,
    /// To be applied.
    Due(Filter, Environment),
    /// A process before has applied them, and has not told yet what came of it.
    Begun,
    /// Applied by a process before.
    Applied(SourceAddresses),
}

impl Rules {
    fn apply(self) -> SourceAddresses {
        match self {
            Self::None | Self::Begun => SourceAddresses::Hidden,
            Self::Due(filter, env) => rules::apply(filter, &env),
            Self::Applied(addresses) => addresses,
        }
    }
}

/// Everything that the process is made from; our copies outlive it.
#[derive(Debug)]
pub(super) struct PortDriverProcess {
    info: Info,
    api: OwnedFd,
    binds: BindClient,
    publish: Vec<PortSpec>,
    rules: Rules,
    /// Where the first process tells what came of the rules, as one byte.
    outcome: Option<OwnedFd>,
    /// How many processes there were.
    started: u32,
    respawn: Respawn,
}

impl PortDriverProcess {
    /// Makes the API's socket and starts the process. Where the command line publishes ports, it
    /// returns when that is done; else dockerd's first question waits in the socket.
    ///
    /// # Errors
    /// What could not be made, or published.
    pub(super) fn start(
        plan: &RootlessPlan,
        state: &StateDir,
        child: u32,
        binds: BindClient,
        env: &Environment,
    ) -> Result<Self, LaunchError> {
        let tap = plan.net.tap.as_ref();
        let driver = NetworkDriver {
            driver: plan.net.driver.name().to_owned(),
            dns: plan.net.resolvers(),
            child_ip: tap.map(|tap| IpAddr::V4(tap.address())),
            dynamic_child_ip: false,
            ipv6: tap.is_some_and(|tap| tap.ipv6),
        };
        let side = plan.child_side;
        let path = state.path().to_owned();
        let mut published = Self {
            info: Info::new(path, child, driver, side),
            api: ports::listen_api(&state.join("api.sock")).map_err(|e| told(&e))?,
            binds,
            publish: plan.publish.clone(),
            rules: match plan.source_filter {
                Some(filter) => Rules::Due(filter, env.clone()),
                None => Rules::None,
            },
            outcome: None,
            started: 0,
            respawn: Respawn::new(None),
        };
        let failed = |error: io::Error| LaunchError::new("could not start the port driver", &error);
        let ready = published.spawn().map_err(failed)?;
        if !published.publish.is_empty() {
            published.wait_until(&ready)?;
        }
        Ok(published)
    }

    /// Forks the process; returns the descriptor on which it will say that it is ready, or why not.
    fn spawn(&mut self) -> io::Result<OwnedFd> {
        self.learn();
        let copy = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, 3);
        let flags = PipeFlags::CLOEXEC;
        let (reader, ready) = rustix::pipe::pipe_with(flags)?;
        let (outcome, tell) = rustix::pipe::pipe_with(flags)?;
        let report = copy(ready.as_fd())?;
        let (api, binds) = (copy(self.api.as_fd())?, self.binds.try_clone()?);
        let kept = [&ready, &report, &api, &tell].map(AsFd::as_fd);
        let kept = kept.into_iter().chain([binds.as_fd()]);
        let kept: Vec<_> = kept.map(|fd| fd.as_raw_fd()).collect();
        let (info, publish) = (self.info.clone(), self.publish.clone());
        let rules = self.rules.clone();
        let number = self.started;
        self.started = self.started.wrapping_add(1);
        if matches!(rules, Rules::Due(..)) {
            self.rules = Rules::Begun;
            self.outcome = Some(outcome);
        }
        let pid = service::fork(&kept, move || {
            let source_addresses = rules.apply();
            // A parent that is gone has ended us.
            let _ = rustix::io::write(&tell, &[byte(source_addresses)]);
            drop(tell);
            let setup = Setup {
                info,
                api,
                binds,
                publish,
                source_addresses,
                number,
                ready,
            };
            crate::sys::memory::forget_code();
            match ports::run(setup) {
                Ok(()) => 0,
                Err(error) => {
                    let text = serde_json::to_vec(&told(&error)).unwrap_or_default();
                    // Whoever does not wait any more has the log.
                    let _ = rustix::io::write(&report, &text);
                    tracing::error!("{}", explain::one_line(&error));
                    error.exit_code()
                }
            }
        })?;
        self.respawn.started(pid);
        Ok(reader)
    }

    fn wait_until(&mut self, ready: &OwnedFd) -> Result<(), LaunchError> {
        let mut text = vec![0; 16 * 1024];
        let length = loop {
            match rustix::io::read(ready, &mut text) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other.unwrap_or(0),
            }
        };
        let text = text.get(..length).unwrap_or_default();
        if text == b"1" {
            return Ok(());
        }
        self.stop();
        let unknown = |_| LaunchError::plain("the port driver ended before it was ready");
        Err(serde_json::from_slice(text).unwrap_or_else(unknown))
    }

    /// Takes what the first process has told about the rules. One that died before it told may have
    /// left some of them undone: what is not known to be kept is not tried.
    fn learn(&mut self) {
        let Some(outcome) = self.outcome.take() else {
            return;
        };
        let mut told = [0];
        let _ = rustix::io::ioctl_fionbio(&outcome, true);
        let addresses = match rustix::io::read(&outcome, &mut told) {
            Ok(1) => addresses(told),
            _ => {
                tracing::warn!(
                    "the port driver died before it had told whether the addresses of clients can \
                     be kept: they are not"
                );
                SourceAddresses::Hidden
            }
        };
        self.rules = Rules::Applied(addresses);
    }

    /// Starts the process anew, with nothing published but what the command line says.
    pub(super) fn start_over(&mut self) {
        self.stop();
        if let Err(error) = self.spawn() {
            tracing::error!("the port driver cannot be started: {error}");
            self.respawn.failed();
        }
    }
}

impl Companion for PortDriverProcess {
    fn deadline(&self) -> Option<Instant> {
        self.respawn.deadline()
    }

    fn work(&mut self) {
        if self.respawn.is_due()
            && let Err(error) = self.spawn()
        {
            tracing::error!("the port driver cannot be started: {error}");
            self.respawn.failed();
        }
    }

    fn reaped(&mut self, pid: Pid, _status: WaitStatus) {
        if self.respawn.reaped(pid).is_some() {
            tracing::error!(
                "the port driver (process {}) died and is started again: ports that are published \
                 now come back when their containers are started again",
                pid.as_raw_nonzero()
            );
        }
    }

    fn stop(&mut self) {
        if let Some(pid) = self.respawn.stop() {
            crate::process::ask::end(Child(pid), "the port driver");
        }
    }
}

fn byte(addresses: SourceAddresses) -> u8 {
    match addresses {
        SourceAddresses::Hidden => b'0',
        SourceAddresses::KeptOver4 => b'4',
        SourceAddresses::Kept => b'6',
    }
}

fn addresses([byte]: [u8; 1]) -> SourceAddresses {
    match byte {
        b'6' => SourceAddresses::Kept,
        b'4' => SourceAddresses::KeptOver4,
        _ => SourceAddresses::Hidden,
    }
}

/// The error in a form that travels.
fn told(error: &PortsError) -> LaunchError {
    LaunchError::new(error.to_string(), error).with_advice(error.explained())
}
