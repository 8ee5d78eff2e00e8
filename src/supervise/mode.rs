//! How dockerd lives, and what that changes for the supervisor.

use std::num::NonZeroI32;

use rustix::process::Pid;

use super::actions::deliver;
use super::launch::Launch;
use super::output::Output;
use super::script;
use crate::apply::listen::HeldSockets;
use crate::base::explain::Failure;
use crate::process::Watch;
use crate::process::companion::Companion;
use crate::userns::parent::{Parent, ParentEvent};

/// How dockerd lives. What was started is dockerd in the first case, and in the second the child
/// that holds its namespaces: it hands signals on, and outlives dockerd.
#[derive(Debug)]
pub enum Mode {
    Rootful(Launch),
    Rootless(Box<Parent>),
}

impl Mode {
    /// dockerd's own process id. Nothing while a rootless one is being started again, and where it
    /// has its own process table.
    #[must_use]
    pub fn dockerd(&self, started: Pid) -> Option<NonZeroI32> {
        match self {
            Self::Rootful(_) => Some(started.as_raw_nonzero()),
            Self::Rootless(parent) => parent.command,
        }
    }

    pub(super) fn companion(&self) -> Option<&dyn Companion> {
        match self {
            Self::Rootful(_) => None,
            Self::Rootless(parent) => Some(&**parent),
        }
    }

    pub(super) fn companion_mut(&mut self) -> Option<&mut dyn Companion> {
        match self {
            Self::Rootful(_) => None,
            Self::Rootless(parent) => Some(&mut **parent),
        }
    }

    /// What became of dockerd, where that is not seen by reaping.
    pub(super) fn news(&mut self) -> Vec<ParentEvent> {
        match self {
            Self::Rootful(_) => Vec::new(),
            Self::Rootless(parent) => parent.news(),
        }
    }

    /// Whether a notice is dockerd's word: it comes from what we started, or, where that is a
    /// script, from the dockerd below it.
    pub(super) fn is_dockerd(&self, started: Pid, sender: Pid) -> bool {
        let below = || match self {
            Self::Rootful(launch) => script::below(launch, started),
            Self::Rootless(_) => None,
        };
        started == sender || below().is_some_and(|process| process.pid == sender)
    }

    /// Sends dockerd a signal.
    pub(super) fn signal(&self, started: Pid, signal: i32) {
        match self {
            // A shell that waits would die of it and leave dockerd alone; only a kill is for both,
            // since a script need not end with its dockerd.
            Self::Rootful(launch) => {
                let below = script::below(launch, started);
                let had = below.is_some_and(|process| Watch::default().signal(&process, signal));
                if !had || signal == libc::SIGKILL {
                    deliver("dockerd", started, signal);
                }
            }
            // The child must live to tell dockerd's end, and to hold its namespaces.
            Self::Rootless(parent) if signal == libc::SIGKILL => parent.kill(),
            Self::Rootless(_) => deliver("dockerd", started, signal),
        }
    }

    /// Starts dockerd again.
    pub(super) fn start_again(
        &self,
        sockets: &HeldSockets,
        output: Option<&Output>,
    ) -> Result<Pid, Failure> {
        match self {
            Self::Rootful(launch) => Ok(launch.start(sockets, output)?),
            Self::Rootless(parent) => {
                parent.start_again(sockets)?;
                Ok(parent.child)
            }
        }
    }

    /// Whether a containerd that is started again takes running containers for ones that never
    /// began: it finds their processes by cgroup, and in rootless mode there may be none. New ones
    /// cannot be made in their place ("file exists", seen with 28.5).
    pub(super) fn loses_containers(&self) -> bool {
        matches!(self, Self::Rootless(_))
    }

    /// What dockerd worked with may end, and is not started again.
    pub(super) fn let_go(&mut self) {
        if let Self::Rootless(parent) = self {
            parent.let_go();
        }
    }
}
