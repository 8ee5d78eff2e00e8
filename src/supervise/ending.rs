//! Ends processes of ours: what lives inside nested containers, and what dockerd left.
//!
//! Every signal goes through a pidfd whose start time was compared, so that a pid that was reused
//! by somebody else's process in a shared pid namespace is never hit.
#![expect(clippy::disallowed_methods, reason = "cgroup.kill is written here")]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use super::containers::Running;
use super::processes::{self, ContainerCgroup, Process};
use crate::host::cgroup::place::{self, Membership};
use crate::host::mountinfo::{self, Mount};
use crate::sys::process::{self, Target};

/// Rounds of looking and killing in one go: what is born while we look is found in the next one.
const ROUNDS: u32 = 4;

/// Everything that descends from us, with our own pid.
#[derive(Debug)]
pub(super) struct Table {
    us: u32,
    processes: Vec<Process>,
}

impl Table {
    /// Reads /proc.
    #[must_use]
    pub(super) fn read() -> Self {
        let us = std::process::id();
        Self {
            us,
            processes: processes::read(Path::new("/proc"), us),
        }
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

    /// Whether containers or builds run.
    #[must_use]
    pub(super) fn busy(&self, dockerd: Option<Pid>) -> usize {
        let dockerd = dockerd.map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs());
        processes::busy(&self.processes, self.us, dockerd)
    }

    /// Whether a containerd of dockerd's is alive; one inside a nested container is not that.
    #[must_use]
    pub(super) fn has_containerd(&self) -> bool {
        let nested = self.nested();
        let mut alive = self.alive().into_iter();
        alive.any(|process| process.name == "containerd" && !nested.contains(&process))
    }

    /// The processes below another one whose names begin so, the nearest ones first; none of a
    /// container.
    #[must_use]
    pub(super) fn below(&self, ancestor: u32, name: &str) -> Vec<u32> {
        let nested = self.nested();
        let mut below = processes::below(&self.processes, ancestor);
        below.retain(|process| process.name.starts_with(name) && !nested.contains(process));
        below.iter().map(|process| process.pid).collect()
    }

    /// The shims of our containers.
    #[must_use]
    pub(super) fn shims(&self) -> Vec<&Process> {
        let mut alive = self.alive();
        alive.retain(|process| processes::is_shim(process));
        alive
    }

    /// The last process of that name which is no descendant of ours.
    #[must_use]
    pub(super) fn foreign(&self, name: &str) -> Option<&Process> {
        let ours: Vec<u32> = processes::ours(&self.processes, self.us)
            .iter()
            .map(|process| process.pid)
            .collect();
        self.processes.iter().find(|process| {
            // The kernel keeps 15 bytes of a name.
            let named = name.get(..15).unwrap_or(name) == process.name;
            named && process.alive && process.pid != self.us && !ours.contains(&process.pid)
        })
    }

    /// Whether a process lives here that is neither ours nor the namespace's first one.
    #[must_use]
    pub(super) fn has_others(&self) -> bool {
        let ours: Vec<u32> = processes::ours(&self.processes, self.us)
            .iter()
            .map(|process| process.pid)
            .collect();
        self.processes
            .iter()
            .any(|p| p.alive && p.pid != 1 && p.pid != self.us && !ours.contains(&p.pid))
    }

    fn container_cgroups(&self) -> Vec<ContainerCgroup> {
        let own = self.processes.iter().find(|process| process.pid == self.us);
        let own = own.map_or("", |process| process.cgroup.as_str());
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

/// Processes whose end is awaited.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pidfds: Vec<OwnedFd>,
    /// Without pidfds (before kernel 5.3, or with too many open) we can only look again.
    blind: bool,
}

impl Watch {
    /// What to poll; each becomes readable when its process is gone.
    pub(super) fn pidfds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.pidfds.iter().map(AsFd::as_fd)
    }

    /// Whether somebody must look again without being called.
    #[must_use]
    pub(super) fn is_blind(&self) -> bool {
        self.blind
    }

    /// Drops what is gone; whether nothing is left.
    pub(super) fn is_over(&mut self) -> bool {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        self.pidfds.retain(|pidfd| {
            let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
            !matches!(poll(&mut fds, Some(&now)), Ok(1..))
        });
        self.pidfds.is_empty()
    }

    /// Waits for a process.
    pub(super) fn add(&mut self, process: &Process) {
        self.blind |= send(process, 0, &mut self.pidfds);
    }

    /// Sends a signal to a process and waits for its end.
    pub(super) fn signal(&mut self, process: &Process, signal: i32) {
        self.blind |= send(process, signal, &mut self.pidfds);
    }
}

/// Sends a signal (0: none) to exactly this process; its pidfd goes to `watched`. True when
/// there is none.
fn send(process: &Process, signal: i32, watched: &mut Vec<OwnedFd>) -> bool {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Some(pidfd),
        Err(Errno::SRCH) => return false, // it is gone
        Err(_) => None,
    };
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat", pid = process.pid));
    let same = stat.is_ok_and(|text| processes::start(&text) == Some(process.start));
    if !same {
        return pidfd.is_none();
    }
    if signal != 0 {
        let sent = match &pidfd {
            Some(pidfd) => process::send_pidfd(pidfd, signal),
            None => process::send(Target::Process(pid), signal),
        };
        if let Err(error) = sent {
            tracing::debug!("signal {signal} to {}: {error}", process.pid);
        }
    }
    let blind = pidfd.is_none();
    watched.extend(pidfd);
    blind
}

/// Kills everything inside nested containers; returns how many processes that were.
pub(super) fn kill_nested() -> usize {
    let mut killed = 0;
    for round in 0..ROUNDS {
        let table = Table::read();
        let nested = table.nested();
        if nested.is_empty() {
            break;
        }
        if round == 0 {
            killed = nested.len();
            let mounts = mounts();
            for cgroup in table.container_cgroups() {
                kill_cgroup(&mounts, &cgroup);
            }
        }
        let mut watch = Watch::default();
        for process in nested {
            watch.signal(process, libc::SIGKILL);
        }
    }
    killed
}

/// Kills everything inside nested containers and the shims, which wait for a containerd that does
/// not know them any more; returns how many shims that were.
pub(super) fn kill_with_shims() -> usize {
    kill_nested();
    let table = Table::read();
    let shims = table.shims();
    let mut watch = Watch::default();
    for shim in &shims {
        watch.signal(shim, libc::SIGKILL);
    }
    kill_nested(); // what was below a shim is an orphan now, and in no cgroup of its own
    shims.len()
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

fn mounts() -> Vec<Mount> {
    mountinfo::parse(&std::fs::read("/proc/self/mountinfo").unwrap_or_default())
}

/// Sends every container that dockerd left running its stop signal, as dockerd would have done.
pub(super) fn stop_containers(running: &[Running]) -> Watch {
    let table = Table::read();
    let mut watch = Watch::default();
    let mut count = 0;
    for process in table.nested() {
        match running.iter().find(|running| running.pid == process.pid) {
            Some(running) => {
                count += 1;
                watch.signal(process, running.stop_signal);
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
        let (name, pid) = (&process.name, process.pid);
        tracing::debug!("signal {signal} to {name} ({pid})");
        watch.signal(process, signal);
    }
    watch
}
