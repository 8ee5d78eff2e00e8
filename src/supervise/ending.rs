//! Ends processes of ours: what lives inside nested containers, and what dockerd left.
//!
//! Nothing here waits: signals are sent, and the loop is told by pidfds who is gone. Only that is
//! counted, and who cannot be ended is named.
#![expect(clippy::disallowed_methods, reason = "cgroup.kill is written here")]

use std::os::fd::BorrowedFd;

use super::containers::Running;
use super::machine::Millis;
use super::processes::ContainerCgroup;
use super::table::Table;
use crate::host::cgroup::place::{self, Membership};
use crate::host::mountinfo::{self, Mount};
use crate::process::Watch;

/// How often we look for what was born meanwhile.
const LOOK: Millis = 50;

/// The killing of what lives inside nested containers.
#[derive(Debug)]
pub(super) struct Killing {
    inside: Watch,
    /// The shims, which wait for a containerd that does not know them any more. They come last: as
    /// long as they live, whatever is born below them is known for theirs.
    shims: Option<Watch>,
    until: Millis,
    look: Millis,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Killed {
    /// How many processes inside are gone.
    pub(super) inside: usize,
    /// How many shims are.
    pub(super) shims: usize,
    /// Who is not gone.
    pub(super) left: Option<String>,
}

impl Killed {
    pub(super) fn tell(&self) {
        let Self {
            inside,
            shims,
            left,
        } = self;
        if *inside > 0 {
            tracing::warn!("killed {inside} processes inside nested containers");
        }
        if *shims > 0 {
            tracing::warn!("{shims} containers are ended with the dockerd that ran them");
        }
        if let Some(left) = left {
            tracing::error!(
                "processes inside nested containers cannot be ended: {left}; see what they wait \
                 for in /proc/PID/stack and dmesg on the node"
            );
        }
    }
}

impl Killing {
    /// Kills everything inside nested containers, and the shims if they are to go as well. Who is
    /// not gone at `until` is told of.
    #[must_use]
    pub(super) fn begin(with_shims: bool, now: Millis, until: Millis) -> Self {
        let mut killing = Self {
            inside: Watch::default(),
            shims: with_shims.then(Watch::default),
            until,
            look: now + LOOK,
        };
        killing.strike(&Table::read());
        killing
    }

    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let shims = self.shims.iter().flat_map(Watch::pidfds);
        self.inside.pidfds().chain(shims)
    }

    /// When to look without having been called.
    #[must_use]
    pub(super) fn look_at(&self) -> Millis {
        self.look
    }

    /// The outcome as it is now.
    #[must_use]
    pub(super) fn end(mut self) -> Killed {
        self.outcome(None)
    }

    /// Kills who is left; the outcome when nobody is, or when the time is over.
    pub(super) fn look(&mut self, now: Millis) -> Option<Killed> {
        let called = self.inside.is_over() && self.shims.as_mut().is_none_or(Watch::is_over);
        if now < self.look && !called {
            return None;
        }
        self.look = now + LOOK;
        let table = Table::read();
        if self.strike(&table) && table.unread().is_none() {
            return Some(self.outcome(None));
        }
        if now < self.until {
            return None;
        }
        let unread = table.unread().map(ToString::to_string);
        Some(self.outcome(unread))
    }

    /// Kills who is there; whether nobody was.
    fn strike(&mut self, table: &Table) -> bool {
        let nested = table.nested();
        // Held before anything is killed, or those who go with the first process of their
        // namespace would be gone unseen.
        for process in &nested {
            self.inside.add(process);
        }
        let mounts = mountinfo::read();
        for cgroup in table.container_cgroups() {
            kill_cgroup(&mounts, &cgroup);
        }
        for process in &nested {
            self.inside.signal(process, libc::SIGKILL);
        }
        let Some(watch) = &mut self.shims else {
            return nested.is_empty();
        };
        let shims = table.shims();
        if nested.is_empty() {
            for shim in &shims {
                watch.signal(shim, libc::SIGKILL);
            }
        }
        nested.is_empty() && shims.is_empty()
    }

    fn outcome(&mut self, unread: Option<String>) -> Killed {
        let inside = self.inside.survivors();
        let shims = self.shims.as_mut().and_then(Watch::survivors);
        let left: Vec<String> = [inside, shims, unread].into_iter().flatten().collect();
        Killed {
            inside: self.inside.gone(),
            shims: self.shims.as_ref().map_or(0, Watch::gone),
            left: (!left.is_empty()).then(|| left.join(", ")),
        }
    }
}

/// `cgroup.kill` reaches what is just being born, too; on version 1 only a frozen container needs
/// help, since it does not even die while it is frozen. Both files are missing on older kernels:
/// the signals are sent one by one anyway.
fn kill_cgroup(mounts: &[Mount], cgroup: &ContainerCgroup) {
    let (file, text) = match cgroup.controllers.as_str() {
        "" => ("cgroup.kill", "1"),
        "freezer" => ("freezer.state", "THAWED"),
        _ => return,
    };
    let line = Membership {
        controllers: &cgroup.controllers,
        path: &cgroup.path,
    };
    let Some(directory) = place::directory(mounts, line) else {
        return;
    };
    if let Err(error) = std::fs::write(directory.join(file), text) {
        tracing::debug!("{}: {error}", directory.join(file).display());
    }
}

/// Sends every container that dockerd left running its stop signal, as dockerd would have done.
pub(super) fn stop_containers(running: &[Running]) -> Watch {
    let table = Table::read();
    let mut watch = Watch::default();
    let mut count = 0;
    for process in table.nested() {
        match running.iter().find(|running| running.pid == process.pid) {
            Some(running) => {
                count += usize::from(watch.signal(process, running.stop_signal));
            }
            None => watch.add(process),
        }
    }
    if count > 0 {
        tracing::info!("dockerd left {count} containers running: they have their stop signal");
    }
    watch
}

/// Sends a signal to everything that descends from us.
pub(super) fn end_descendants(signal: i32) -> Watch {
    let mut watch = Watch::default();
    for process in Table::read().alive() {
        tracing::debug!("signal {signal} to {process}");
        watch.signal(process, signal);
    }
    watch
}
