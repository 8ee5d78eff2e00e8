//! The processes around us, as they are asked for.

use std::collections::HashSet;
use std::path::Path;

use rustix::process::Pid;

use super::processes::{self, ContainerCgroup};
use crate::process::{Listing, Process, Unread};

/// Everything that descends from us, with our own pid.
#[derive(Debug)]
pub(super) struct Table {
    us: Pid,
    processes: Vec<Process>,
    unread: Option<Unread>,
}

impl Table {
    /// Reads /proc.
    #[must_use]
    pub(super) fn read() -> Self {
        let us = rustix::process::getpid();
        let Listing { processes, unread } = processes::read(Path::new("/proc"), us);
        Self {
            us,
            processes,
            unread,
        }
    }

    /// What could not be read: then there may be more processes than are here, and nobody may be
    /// taken for gone.
    #[must_use]
    pub(super) fn unread(&self) -> Option<&Unread> {
        self.unread.as_ref()
    }

    /// Whether certainly nobody lives inside a nested container.
    #[must_use]
    pub(super) fn is_empty_inside(&self) -> bool {
        self.unread.is_none() && self.nested().is_empty()
    }

    /// What is alive inside nested containers.
    #[must_use]
    pub(super) fn nested(&self) -> Vec<&Process> {
        processes::nested(&self.processes, self.us)
    }

    /// What is alive and descends from us.
    #[must_use]
    pub(super) fn alive(&self) -> Vec<&Process> {
        processes::alive(&self.processes, self.us)
    }

    /// How many processes of containers and builds run.
    ///
    /// # Errors
    /// There may be more than were seen.
    pub(super) fn busy(&self, dockerd: Option<Pid>) -> Result<usize, &Unread> {
        let seen = processes::busy(&self.processes, self.us, dockerd);
        match &self.unread {
            Some(unread) => Err(unread),
            None => Ok(seen),
        }
    }

    /// Whether a containerd of dockerd's is alive; one inside a nested container is not that.
    #[must_use]
    pub(super) fn has_containerd(&self) -> bool {
        let nested = self.nested();
        let mut alive = self.alive().into_iter();
        alive.any(|process| process.name.is("containerd") && !nested.contains(&process))
    }

    /// The shims of our containers.
    #[must_use]
    pub(super) fn shims(&self) -> Vec<&Process> {
        let mut alive = self.alive();
        alive.retain(|process| processes::is_shim(process));
        alive
    }

    /// A process of that name which is no descendant of ours.
    #[must_use]
    pub(super) fn foreign(&self, name: &str) -> Option<&Process> {
        self.others().find(|process| process.name.is(name))
    }

    /// Whether a process lives here that is neither ours nor the namespace's first one.
    #[must_use]
    pub(super) fn has_others(&self) -> bool {
        self.others().any(|process| !process.pid.is_init())
    }

    /// What is alive and no descendant of ours.
    fn others(&self) -> impl Iterator<Item = &Process> {
        let ours = processes::ours(&self.processes, self.us);
        let ours: HashSet<Pid> = ours.iter().map(|process| process.pid).collect();
        self.processes.iter().filter(move |process| {
            process.alive && process.pid != self.us && !ours.contains(&process.pid)
        })
    }

    /// The cgroups of the nested containers.
    #[must_use]
    pub(super) fn container_cgroups(&self) -> Vec<ContainerCgroup> {
        let own = self.processes.iter().find(|process| process.pid == self.us);
        let own = own.map_or(&[][..], |process| &process.cgroup);
        let mut found: Vec<ContainerCgroup> = self
            .nested()
            .iter()
            .flat_map(|process| processes::container_cgroups(&process.cgroup, own))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}
