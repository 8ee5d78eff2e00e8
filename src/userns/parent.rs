//! P: makes the child, writes its maps, starts the network driver, and stands by it.

use std::ffi::OsString;
use std::io;
use std::num::NonZeroI32;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::Instant;

use rustix::process::{DumpableBehavior, Pid, WaitStatus};
use serde::{Deserialize, Serialize};

use super::cgroup::CgroupDescriptor;
use super::channel::Channel;
use super::child;
use super::error::LaunchError;
use super::handshake::{Guard, expect, report, unexpected};
use super::maps;
use super::net_driver::{NetDriverProcess, NotStarted};
use super::state::StateDir;
use crate::apply::listen::HeldSockets;
use crate::base::environment::Environment;
use crate::plan::rootless::{RootlessPlan, has_network};
use crate::ports::bind::{self, Asker, BindService};
use crate::process::Outcome;
use crate::process::companion::Companion;
use crate::sys::process::Child;
use crate::sys::signal::{self, OriginalMask};
use crate::sys::spawn::ProcessGroup;
use crate::sys::userns::{self, Namespaces, Side};

/// What the parent tells the child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ToChild {
    /// Your ids are mapped, and this is your process id outside.
    Mapped(u32),
    /// Your network works.
    Connected,
    /// Kill the command.
    Kill,
    /// Start the command again, with the sockets that come along.
    Again(Vec<String>),
}

/// What the child tells the parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ToParent {
    /// The device is there: the driver can take it.
    Network,
    /// The command runs.
    Running(Option<NonZeroI32>),
    /// The command, which is dockerd, ended; the namespaces are still there.
    Ended(Outcome),
    /// It is over, or the command could not be started again.
    Failed(LaunchError),
}

/// What the supervisor hears of the child.
#[derive(Debug)]
pub enum ParentEvent {
    /// The command runs again; its process id, as seen from here.
    Running(Option<NonZeroI32>),
    /// The command ended.
    Ended(Outcome),
    /// It could not be started again.
    NotStarted(LaunchError),
}

/// What is started inside.
#[derive(Debug)]
pub struct Job<'a> {
    /// The executable, as it is found outside.
    pub program: PathBuf,
    pub argv: Vec<OsString>,
    pub env: Environment,
    /// The signal mask that we were started with.
    pub mask: OriginalMask,
    pub group: ProcessGroup,
    /// The API sockets, bound outside.
    pub sockets: &'a mut HeldSockets,
    /// The command's standard error, when it is not ours.
    pub stderr: Option<BorrowedFd<'a>>,
    /// Where we hear what the command says about its readiness.
    pub notify: Option<PathBuf>,
    /// Whether the command is dockerd, which wants more prepared than others, and may be started
    /// again.
    pub dockerd: bool,
    /// The way into the cgroup that is handed over, where one is.
    pub door: Option<CgroupDescriptor>,
}

/// The child and what stands beside it.
#[derive(Debug)]
pub struct Parent {
    /// The child: signals for the command go to it, and its exit code is the command's.
    pub child: Pid,
    /// The command, as seen from here, while it runs; none where it has its own process table.
    pub command: Option<NonZeroI32>,
    state: StateDir,
    net_driver: Option<NetDriverProcess>,
    service: Option<BindService>,
    channel: Option<Channel>,
}

/// Makes everything up to the running command.
///
/// # Errors
/// The step that failed, in either process. The child is gone then.
pub fn launch(
    plan: &RootlessPlan,
    state: StateDir,
    mut job: Job<'_>,
) -> Result<Parent, LaunchError> {
    let failed = |what: &'static str| move |error: io::Error| LaunchError::new(what, &error);
    // The map helpers refuse a process whose /proc entries are not its user's, as after a change
    // of ids, and for an executable with file capabilities or without read permission.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable);
    let (ours, theirs) = Channel::pair().map_err(failed("could not make a socket pair"))?;
    let (service, client) = bind::pair().map_err(failed("could not make a socket pair"))?;
    let parent = rustix::process::getpid();
    let made = userns::fork_into(namespaces(plan)).map_err(|error| {
        LaunchError::new(
            "could not make the user, mount and network namespaces",
            &error,
        )
    })?;
    let child = match made {
        Side::Child => {
            // The door stays outside: it was opened with rights that nobody in there has.
            drop((ours, service, job.door.take()));
            let binds = Some(client);
            userns::leave(child::run(plan, &state, &mut job, &theirs, binds, parent))
        }
        Side::Parent(child) => Guard::new(child),
    };
    drop((theirs, client));
    let pid = child.pid();
    let env = helper_environment(&job.env);
    maps::write(pid, &plan.maps, &env, job.env.get("PATH"))?;
    if let Some(door) = job.door.take() {
        door.admit(pid)?;
    }
    // The child has what it needs; from here on nobody who gets hold of its user may trace us.
    userns::drop_capabilities().map_err(failed("could not give up capabilities"))?;
    let number = pid.as_raw_nonzero().get().unsigned_abs();
    // A child that is gone has said why, which is heard next.
    let _ = ours.send(&ToChild::Mapped(number));

    let mut net_driver = None;
    if has_network(&plan.net) {
        expect(&ours, &service, pid, &ToParent::Network)?;
        if let Some(program) = &plan.driver {
            let mut started = NetDriverProcess::new(
                plan.options.clone(),
                plan.net.clone(),
                program.clone(),
                env,
                number,
                state.join("driver.pid"),
            );
            let stop = signal::stop_fd().map_err(failed("could not make a signalfd"))?;
            started.start(stop.as_fd()).map_err(|why| match why {
                NotStarted::Failed(error) => error,
                NotStarted::Stopped => stopped(plan, job.dockerd),
            })?;
            net_driver = Some(started);
        }
    }
    state
        .write("child_pid", &number.to_string())
        .map_err(failed("could not write child_pid"))?;
    let _ = ours.send(&ToChild::Connected);
    let command = match report(&ours, &service, pid)? {
        ToParent::Running(command) => command,
        other => return Err(unexpected(&other)),
    };
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    Ok(Parent {
        child: child.release(),
        command,
        state,
        net_driver,
        service: Some(service),
        channel: Some(ours),
    })
}

/// The end of a start that was asked to stop. As later: a daemon ends with success then, another
/// command as one that the signal killed.
fn stopped(plan: &RootlessPlan, dockerd: bool) -> LaunchError {
    let outcome = match dockerd {
        true => Outcome::Code(0),
        false => Outcome::Signal(libc::SIGTERM),
    };
    let name = plan.net.driver.name();
    LaunchError::plain(format!("asked to stop while {name} was starting"))
        .with_help(
            "nothing ran yet",
            "if it starts too slowly, see why it does",
        )
        .with_code(outcome.exit_code())
}

fn namespaces(plan: &RootlessPlan) -> Namespaces {
    let crate::config::rootless::MoreNamespaces {
        pid,
        cgroup,
        uts,
        ipc,
    } = plan.options.more;
    let optional = [
        (has_network(&plan.net), libc::CLONE_NEWNET),
        (pid, libc::CLONE_NEWPID),
        (cgroup, libc::CLONE_NEWCGROUP),
        (uts, libc::CLONE_NEWUTS),
        (ipc, libc::CLONE_NEWIPC),
    ];
    let wanted = optional.iter().filter(|(wanted, _)| *wanted);
    let bits = wanted.fold(0, |bits, (_, bit)| bits | bit);
    Namespaces(libc::CLONE_NEWUSER | libc::CLONE_NEWNS | bits)
}

/// What helper programs get: nothing that is meant for dockerd or for us.
fn helper_environment(env: &Environment) -> Vec<OsString> {
    let kept = [
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "TZ",
        "XDG_RUNTIME_DIR",
        "USER",
    ];
    env.clone()
        .without(|name| !kept.iter().any(|kept| name == *kept))
        .words()
}

impl Parent {
    /// What the child said since the last call.
    pub fn news(&mut self) -> Vec<ParentEvent> {
        let mut news = Vec::new();
        while let Some(channel) = &self.channel {
            match channel.look::<ToParent>() {
                Ok(Some((ToParent::Running(pid), _))) => {
                    self.command = pid;
                    news.push(ParentEvent::Running(pid));
                }
                Ok(Some((ToParent::Ended(outcome), _))) => {
                    self.command = None;
                    news.push(ParentEvent::Ended(outcome));
                }
                Ok(Some((ToParent::Failed(error), _))) => news.push(ParentEvent::NotStarted(error)),
                Ok(Some((ToParent::Network, _))) => tracing::error!("the child is out of step"),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // It is gone: its end is reaped.
                Ok(None) => self.channel = None,
                Err(error) => {
                    tracing::error!("could not hear the child: {error}");
                    self.channel = None;
                }
            }
        }
        news
    }

    /// Has the command started again.
    ///
    /// # Errors
    /// The child is gone, and the namespaces with it.
    pub fn start_again(&self, sockets: &HeldSockets) -> Result<(), LaunchError> {
        let order = ToChild::Again(sockets.names().to_vec());
        let sent = match &self.channel {
            Some(channel) => channel.send_with(&order, &sockets.sockets()),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        sent.map_err(|error| {
            LaunchError::new("could not start dockerd again", &error).with_help(
                "the process that held its namespaces is gone",
                "start the container again",
            )
        })
    }

    /// Kills the command; its end is told as any other.
    pub fn kill(&self) {
        let sent = self
            .channel
            .as_ref()
            .map(|channel| channel.send(&ToChild::Kill));
        if !matches!(sent, Some(Ok(()))) {
            // One that is gone is reaped.
            let _ = Child(self.child).signal(libc::SIGKILL);
        }
    }

    /// Lets the network driver end without starting it again.
    pub fn let_go(&mut self) {
        if let Some(mut net_driver) = self.net_driver.take() {
            net_driver.stop();
        }
    }
}

impl Companion for Parent {
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let channel = self.channel.iter().map(AsFd::as_fd);
        channel
            .chain(self.service.iter().map(AsFd::as_fd))
            .collect()
    }

    fn deadline(&self) -> Option<Instant> {
        self.net_driver.as_ref()?.deadline()
    }

    fn work(&mut self) {
        // The child keeps its end as long as it lives: nobody else can be gone.
        let gone = |service: &BindService| !matches!(service.answer(), Ok(Asker::There));
        if self.service.as_ref().is_some_and(gone) {
            self.service = None;
        }
        if let Some(net_driver) = &mut self.net_driver {
            net_driver.work();
        }
    }

    fn reaped(&mut self, pid: Pid, status: WaitStatus) {
        if pid == self.child {
            // Its namespace is gone: the driver ends, and is not to come back.
            self.stop();
        } else if let Some(net_driver) = &mut self.net_driver {
            net_driver.reaped(pid, status);
        }
    }

    /// Ends what stands beside the child, and clears the state directory.
    fn stop(&mut self) {
        self.let_go();
        self.state.clear();
    }
}
