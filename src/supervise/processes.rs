//! Which processes are ours, and which of them live inside nested containers.
//!
//! Ours is what descends from us: all of a private pid namespace, or, where the namespace is
//! shared, what we started and what was left to us as subreaper. Nested is what has a containerd
//! shim among its ancestors, or lives in a cgroup that is named after a container and lies beside
//! our own (ARCHITECTURE.md, decision 12). Reading is in [`read`]; the rest is pure.

use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use crate::host::cgroup::place::Membership;
use crate::process::{self, Listing, Process};

/// Reads every process; cgroups only of those that descend from `us`, and of `us`.
#[must_use]
pub(super) fn read(proc: &Path, us: Pid) -> Listing {
    let mut listing = process::list(proc);
    let ours = ours(&listing.processes, us);
    let wanted: HashSet<Pid> = ours.iter().map(|process| process.pid).chain([us]).collect();
    listing.read_cgroups(proc, &wanted);
    listing
}

/// What descends from `us`.
#[must_use]
pub(super) fn ours(table: &[Process], us: Pid) -> Vec<&Process> {
    lines(table, us)
        .into_iter()
        .map(|line| line.process)
        .collect()
}

/// What is alive among [`ours`].
#[must_use]
pub(super) fn alive(table: &[Process], us: Pid) -> Vec<&Process> {
    let mut list = ours(table, us);
    list.retain(|process| process.alive);
    list
}

/// What is alive inside nested containers.
#[must_use]
pub(super) fn nested(table: &[Process], us: Pid) -> Vec<&Process> {
    let own = table.iter().find(|process| process.pid == us);
    let own = own.map_or(&[][..], |process| &process.cgroup);
    lines(table, us)
        .into_iter()
        .filter(|line| line.process.alive)
        .filter(|line| line.below_shim || !container_cgroups(&line.process.cgroup, own).is_empty())
        .map(|line| line.process)
        .collect()
}

/// How many processes show that work is going on: everything nested, shims, and, for builds, what
/// dockerd put into another cgroup than its own, or, where it uses none, what a runtime of its own
/// runs.
#[must_use]
pub(super) fn busy(table: &[Process], us: Pid, dockerd: Option<Pid>) -> usize {
    let daemon = table.iter().find(|process| Some(process.pid) == dockerd);
    let daemon = daemon.map_or(&[][..], |process| &process.cgroup);
    lines(table, us)
        .into_iter()
        .filter(|line| {
            let below = dockerd.is_some_and(|dockerd| line.ancestors.contains(&dockerd));
            let elsewhere = below && line.process.cgroup != daemon;
            line.process.alive
                && (line.below_shim || is_shim(line.process) || elsewhere || line.below_runtime)
        })
        .count()
}

/// A descendant of ours with what its ancestors say.
struct Line<'a> {
    process: &'a Process,
    ancestors: Vec<Pid>,
    below_shim: bool,
    below_runtime: bool,
}

fn lines(table: &[Process], us: Pid) -> Vec<Line<'_>> {
    let by_pid: HashMap<Pid, &Process> = table.iter().map(|p| (p.pid, p)).collect();
    let line = |process| ancestry(&by_pid, process, us);
    table.iter().filter_map(line).collect()
}

/// Climbs from a process to us; nothing when the way leads elsewhere.
fn ancestry<'a>(
    by_pid: &HashMap<Pid, &'a Process>,
    process: &'a Process,
    us: Pid,
) -> Option<Line<'a>> {
    let mut line = Line {
        process,
        ancestors: Vec::new(),
        below_shim: false,
        below_runtime: false,
    };
    let mut parent = process.parent?;
    // The table is no snapshot: a pid that was reused meanwhile could close a circle.
    while line.ancestors.len() < by_pid.len() {
        line.ancestors.push(parent);
        if parent == us {
            return Some(line);
        }
        let next = by_pid.get(&parent)?;
        line.below_shim |= is_shim(next);
        line.below_runtime |= is_runtime(next);
        parent = next.parent?;
    }
    None
}

/// `containerd-shim`, `containerd-shim-runc-v2`, those of other runtimes.
pub(super) fn is_shim(process: &Process) -> bool {
    process.name.starts_with("containerd-shim")
}

/// What BuildKit runs a step of a build with, and stays with it.
fn is_runtime(process: &Process) -> bool {
    let runtimes = ["runc", "crun", "buildkit-runc"];
    runtimes.iter().any(|name| process.name.is(name))
}

/// A cgroup that belongs to a container: the controllers of its hierarchy (none on version 2) and
/// its path, as /proc shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ContainerCgroup {
    /// `freezer`, `cpu,cpuacct`, nothing on version 2.
    pub(super) controllers: String,
    /// Path within the hierarchy.
    pub(super) path: PathBuf,
}

/// The outermost cgroups in a /proc/PID/cgroup that are named after a container's id, without
/// those that hold ourselves: an outer container's id is part of our own path where the cgroup
/// namespace is shared.
#[must_use]
pub(super) fn container_cgroups(text: &[u8], own: &[u8]) -> Vec<ContainerCgroup> {
    let own = Membership::all(own).map(|line| (line.controllers, line.path));
    let own: HashMap<&str, &Path> = own.collect();
    let cgroup = |line| {
        let Membership { controllers, path } = line;
        let own = own
            .get(controllers)
            .copied()
            .unwrap_or_else(|| Path::new("/"));
        let mut prefix = PathBuf::from("/");
        for part in path.iter().filter(|part| *part != "/") {
            prefix.push(part);
            if is_container(part.as_bytes()) && !own.starts_with(&prefix) {
                return Some(ContainerCgroup {
                    controllers: controllers.to_owned(),
                    path: prefix,
                });
            }
        }
        None
    };
    Membership::all(text).filter_map(cgroup).collect()
}

/// 64 hexadecimal digits, alone or as systemd's scope.
fn is_container(part: &[u8]) -> bool {
    let id = part.strip_suffix(b".scope").unwrap_or(part);
    let id = id.strip_prefix(b"docker-").unwrap_or(id);
    id.len() == 64 && id.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Name;
    use crate::sys::process::id;
    use std::num::NonZeroI32;

    fn pid(number: i32) -> Pid {
        id(number).unwrap()
    }

    fn process(pid: i32, parent: i32, name: &str, cgroup: &str) -> Process {
        Process {
            pid: id(pid).unwrap(),
            parent: id(parent),
            name: Name::new(name.as_bytes()),
            start: 1,
            alive: true,
            state: 'S',
            cgroup: cgroup.into(),
        }
    }

    fn pids(list: &[&Process]) -> Vec<i32> {
        let pids = list.iter().map(|process| process.pid.as_raw_nonzero());
        pids.map(NonZeroI32::get).collect()
    }

    /// We are 7 in a shared namespace: 1 is a pod's pause, 2 somebody else's container.
    fn pod() -> Vec<Process> {
        let id = "a".repeat(64);
        vec![
            process(1, 0, "pause", "0::/pause\n"),
            process(2, 0, "containerd-shim", "0::/x\n"),
            process(3, 2, "foreign", &format!("0::/docker/{id}\n")),
            process(7, 0, "dind-init", "0::/\n"),
            process(8, 7, "dockerd", "0::/\n"),
            process(9, 8, "containerd", "0::/\n"),
            process(10, 7, "containerd-shim", "0::/\n"),
            process(11, 10, "sh", &format!("0::/docker/{id}\n")),
            process(12, 11, "sleep", &format!("0::/docker/{id}/kubelet\n")),
            process(13, 7, "orphan", &format!("0::/docker/{id}\n")),
            process(14, 7, "orphan", "0::/\n"),
            process(15, 8, "runc", "0::/docker/buildkit/x\n"),
        ]
    }

    #[test]
    fn ours_is_what_descends_from_us() {
        assert_eq!(pids(&ours(&pod(), pid(7))), [8, 9, 10, 11, 12, 13, 14, 15]);
        let mut table = pod();
        table[10].alive = false;
        assert_eq!(pids(&alive(&table, pid(7))), [8, 9, 10, 11, 12, 13, 15]);
    }

    #[test]
    fn nested_is_what_a_shim_or_a_containers_cgroup_holds() {
        assert_eq!(pids(&nested(&pod(), pid(7))), [11, 12, 13]);
        assert_eq!(
            busy(&pod(), pid(7), id(8)),
            4,
            "the shim, its two, and the build"
        );
    }

    #[test]
    fn an_outer_containers_cgroup_is_never_taken_for_a_nested_one() {
        let (outer, inner) = ("b".repeat(64), "c".repeat(64));
        let own = format!("4:freezer:/docker/{outer}\n0::/docker/{outer}/init\n");
        let own = own.as_bytes();
        assert_eq!(container_cgroups(own, own), []);
        let nested = format!("4:freezer:/docker/{outer}/docker/{inner}/x\n0::/docker/{outer}\n");
        assert_eq!(
            container_cgroups(nested.as_bytes(), own),
            [ContainerCgroup {
                controllers: "freezer".into(),
                path: format!("/docker/{outer}/docker/{inner}").into(),
            }]
        );
        let scope = format!("0::/system.slice/docker-{inner}.scope\n");
        assert_eq!(container_cgroups(scope.as_bytes(), b"0::/init\n").len(), 1);
    }

    #[test]
    fn a_cgroup_of_any_bytes_hides_nobody() {
        let inner = "c".repeat(64);
        let nested = [b"0::/docker/", inner.as_bytes(), b"/\xff\xfe\n"].concat();
        let found = container_cgroups(&nested, b"0::/\xff\n");
        assert_eq!(found.len(), 1, "{found:?}");
        let above = [b"0::/\xff\xfe/", inner.as_bytes(), b"\n"].concat();
        let found = container_cgroups(&above, b"0::/init\n");
        let path = found.first().unwrap().path.as_os_str().as_bytes();
        assert!(path.starts_with(b"/\xff\xfe/ccc"), "{found:?}");
    }

    #[test]
    fn a_build_is_work_where_there_are_no_cgroups() {
        let table = [
            process(5, 1, "dockerd", ""),
            process(6, 5, "docker-proxy", ""),
            process(7, 5, "runc", ""),
            process(8, 7, "sh", ""),
        ];
        assert_eq!(busy(&table, pid(1), id(5)), 1);
    }

    #[test]
    fn a_circle_in_the_table_ends() {
        let table = [process(5, 6, "a", ""), process(6, 5, "b", "")];
        assert_eq!(ours(&table, pid(1)), Vec::<&Process>::new());
    }
}
