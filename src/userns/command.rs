//! C, when everything is made: the lives of its command. Of dockerd there may be several; what it
//! works in stays when it dies.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Instant;

use nix::sys::signalfd::SignalFd;
use rustix::process::{Pid, WaitStatus};

use rustix::net::SocketType;

use super::channel::Channel;
use super::error::LaunchError;
use super::parent::{Job, ToChild, ToParent};
use super::port_driver::PortDriverProcess;
use super::state::StateDir;
use crate::files;
use crate::process::companion::Companion;
use crate::process::follow;
use crate::sys::net;
use crate::sys::process::Child;
use crate::sys::spawn::{self, Bound, Spawn};

/// What the child does beside following the command.
pub(super) struct CommandFollower<'a> {
    pub(super) channel: &'a Channel,
    pub(super) command: Option<Pid>,
    pub(super) own_process_table: bool,
    pub(super) relay: Option<NotifyRelay>,
    pub(super) published: Option<PortDriverProcess>,
    /// The sockets with which dockerd is to be started again, and their names.
    pub(super) again: Option<(Vec<OwnedFd>, Vec<String>)>,
    pub(super) parent_is_gone: bool,
}

impl CommandFollower<'_> {
    /// Follows the command; returns our exit code. dockerd's end is told, and the parent decides
    /// what comes after it; another command's end is ours.
    pub(super) fn live(&mut self, job: &Job<'_>, signals: &SignalFd) -> u8 {
        let mut code = 0;
        loop {
            if let Some(command) = self.command {
                let outcome = follow::follow(command, signals, self);
                self.command = None;
                code = outcome.exit_code();
                if !job.dockerd || self.channel.send(&ToParent::Ended(outcome)).is_err() {
                    return code;
                }
            }
            if follow::stand_by(signals, self) || self.parent_is_gone {
                return code;
            }
            self.start_again(job);
        }
    }

    fn start_again(&mut self, job: &Job<'_>) {
        let Some((sockets, names)) = self.again.take() else {
            return;
        };
        if let Some(published) = &mut self.published {
            // What the dead dockerd published, the next one publishes itself.
            published.start_over();
        }
        let borrowed: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        let told = match spawn(job, &borrowed, &names) {
            Ok(command) => {
                self.command = Some(command);
                self.announce()
            }
            Err(error) => self.channel.send(&ToParent::Failed(error)),
        };
        if let Err(error) = told {
            tracing::error!("the parent cannot be told about dockerd: {error}");
        }
    }

    /// Tells the parent that the command runs.
    pub(super) fn announce(&mut self) -> io::Result<()> {
        // From outside, a process id of another process table means nothing.
        let seen = self.command.filter(|_| !self.own_process_table);
        let seen = seen.map(Pid::as_raw_nonzero);
        self.channel.send(&ToParent::Running(seen))
    }

    /// Does what the parent ordered.
    fn obey(&mut self) {
        loop {
            match self.channel.look::<ToChild>() {
                Ok(Some((ToChild::Kill, _))) => {
                    if let Some(command) = self.command
                        && let Err(error) = Child(command).signal(libc::SIGKILL)
                    {
                        tracing::error!("the command cannot be killed: {error}");
                    }
                }
                Ok(Some((ToChild::Again(names), sockets))) if self.command.is_none() => {
                    self.again = Some((sockets, names));
                }
                Ok(Some((order, _))) => tracing::error!("the parent is out of step: {order:?}"),
                Ok(None) => {
                    self.parent_is_gone = true;
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    tracing::error!("could not hear the parent: {error}");
                    return;
                }
            }
        }
    }
}

/// Starts the command.
pub(super) fn spawn(
    job: &Job<'_>,
    sockets: &[BorrowedFd<'_>],
    names: &[String],
) -> Result<Pid, LaunchError> {
    spawn::spawn(&Spawn {
        program: &job.program,
        argv: &job.argv,
        env: &job.env.words(),
        mask: job.mask,
        group: job.group,
        listeners: sockets,
        listener_names: names,
        stderr: job.stderr,
        bound: Bound::DiesWithUs,
    })
    .map_err(|error| {
        let name = job.argv.first().map(OsString::as_os_str);
        let name = name.unwrap_or_default().display();
        LaunchError::new(format!("could not start {name}"), &error)
            .with_help(
                "it is missing, not executable, or for another machine",
                "check PATH and the program in the image",
            )
            .with_code(error.exit_code())
    })
}

/// Connects to where the parent hears about readiness.
pub(super) fn connect(path: &Path) -> Result<UnixDatagram, LaunchError> {
    let connected = UnixDatagram::unbound().and_then(|socket| {
        socket.connect(path)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    connected
        .map_err(|error| LaunchError::new(format!("could not reach {}", path.display()), &error))
}

/// Hands on what the command says about its readiness. The parent hears us, not the command: it
/// trusts its own child only.
pub(super) struct NotifyRelay {
    inner: UnixDatagram,
    outer: UnixDatagram,
}

impl NotifyRelay {
    /// Binds the socket on which the command speaks.
    pub(super) fn bind(state: &StateDir, outer: UnixDatagram) -> Result<Self, LaunchError> {
        let path = state.join("notify.sock");
        let failed = |error| LaunchError::new(format!("could not bind {}", path.display()), &error);
        let bound = files::socket::bind(&path, SocketType::DGRAM, 0o600, None);
        let inner = UnixDatagram::from(bound.map_err(failed)?.0);
        inner.set_nonblocking(true).map_err(failed)?;
        net::pass_credentials(&inner).map_err(failed)?;
        Ok(Self { inner, outer })
    }

    fn hand_on(&self, command: Option<Pid>) {
        let mut buffer = [0; 4096];
        while let Ok(datagram) = net::receive_with_sender(&self.inner, &mut buffer) {
            if datagram.sender.is_some() && datagram.sender == command {
                let text = buffer.get(..datagram.length).unwrap_or_default();
                if let Err(error) = self.outer.send(text) {
                    tracing::warn!("a notice of readiness is lost: {error}");
                }
            }
        }
    }
}

impl Companion for CommandFollower<'_> {
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let relay = self.relay.iter().map(|relay| relay.inner.as_fd());
        // At its end a socket is readable for ever.
        let channel = (!self.parent_is_gone).then(|| self.channel.as_fd());
        relay.chain(channel).collect()
    }
    fn deadline(&self) -> Option<Instant> {
        self.published.as_ref()?.deadline()
    }
    fn work(&mut self) {
        if let Some(published) = &mut self.published {
            published.work();
        }
        if let Some(relay) = &self.relay {
            relay.hand_on(self.command);
        }
        if !self.parent_is_gone {
            self.obey();
        }
    }
    fn reaped(&mut self, pid: Pid, status: WaitStatus) {
        if let Some(published) = &mut self.published {
            published.reaped(pid, status);
        }
    }
    fn is_over(&self) -> bool {
        self.again.is_some() || self.parent_is_gone
    }
}
