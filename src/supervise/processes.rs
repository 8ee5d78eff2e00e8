//! Which processes are ours, and which of them live inside nested containers.
//!
//! Ours is what descends from us: all of a private pid namespace, or, where the namespace is
//! shared, what we started and what was left to us as subreaper. Nested is what has a containerd
//! shim among its ancestors, or lives in a cgroup that is named after a container and lies beside
//! our own (ARCHITECTURE.md, decision 12). Reading is in [`read`]; the rest is pure.

use std::collections::HashMap;
use std::path::Path;

use crate::host::cgroup::place::Membership;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    /// Its id.
    pub(super) pid: u32,
    /// Its parent's id.
    pub(super) parent: u32,
    /// `comm`, at most 15 bytes.
    pub(super) name: String,
    /// Start time in clock ticks: with the id, a name that is never used twice.
    pub(super) start: u64,
    /// Whether it can still do anything: no zombie.
    pub(super) alive: bool,
    /// /proc/PID/cgroup; read for [`ours`] only.
    pub(super) cgroup: String,
}

/// Reads every process; cgroups only of those that descend from `us`, and of `us`.
#[must_use]
pub(super) fn read(proc: &Path, us: u32) -> Vec<Process> {
    let entries = std::fs::read_dir(proc).into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut table: Vec<Process> = pids
        .filter_map(|pid| {
            let stat = std::fs::read(proc.join(pid.to_string()).join("stat")).ok()?;
            parse_stat(&String::from_utf8_lossy(&stat))
        })
        .collect();
    let mut wanted: Vec<u32> = ours(&table, us).iter().map(|process| process.pid).collect();
    wanted.push(us);
    wanted.sort_unstable();
    for process in &mut table {
        if wanted.binary_search(&process.pid).is_ok() {
            let path = proc.join(process.pid.to_string()).join("cgroup");
            process.cgroup = std::fs::read_to_string(path).unwrap_or_default();
        }
    }
    table
}

/// `pid (comm) state ppid … starttime …` (`proc_pid_stat(5)`); comm may hold anything.
fn parse_stat(text: &str) -> Option<Process> {
    let (pid, rest) = text.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    Some(Process {
        pid: pid.parse().ok()?,
        parent: fields.next()?.parse().ok()?,
        name: name.to_owned(),
        start: fields.nth(17)?.parse().ok()?,
        alive: !["Z", "X"].contains(&state),
        cgroup: String::new(),
    })
}

/// The start time in a /proc/PID/stat.
#[must_use]
pub(super) fn start(stat: &str) -> Option<u64> {
    parse_stat(stat).map(|process| process.start)
}

/// What descends from `us`.
#[must_use]
pub(super) fn ours(table: &[Process], us: u32) -> Vec<&Process> {
    lines(table, us)
        .into_iter()
        .map(|line| line.process)
        .collect()
}

/// What is alive below a process of ours, the nearest first.
#[must_use]
pub(super) fn below(table: &[Process], ancestor: u32) -> Vec<&Process> {
    let mut lines = lines(table, ancestor);
    lines.retain(|line| line.process.alive);
    lines.sort_by_key(|line| line.ancestors.len());
    lines.iter().map(|line| line.process).collect()
}

/// What is alive among [`ours`].
#[must_use]
pub(super) fn alive(table: &[Process], us: u32) -> Vec<&Process> {
    let mut list = ours(table, us);
    list.retain(|process| process.alive);
    list
}

/// What is alive inside nested containers.
#[must_use]
pub(super) fn nested(table: &[Process], us: u32) -> Vec<&Process> {
    let own = table.iter().find(|process| process.pid == us);
    let own = own.map_or("", |process| process.cgroup.as_str());
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
pub(super) fn busy(table: &[Process], us: u32, dockerd: u32) -> usize {
    let daemon = table.iter().find(|process| process.pid == dockerd);
    let daemon = daemon.map_or("", |process| process.cgroup.as_str());
    lines(table, us)
        .into_iter()
        .filter(|line| {
            let elsewhere = line.below(dockerd) && line.process.cgroup != daemon;
            line.process.alive
                && (line.below_shim || is_shim(line.process) || elsewhere || line.below_runtime)
        })
        .count()
}

/// A descendant of ours with what its ancestors say.
struct Line<'a> {
    process: &'a Process,
    ancestors: Vec<u32>,
    below_shim: bool,
    below_runtime: bool,
}

impl Line<'_> {
    fn below(&self, pid: u32) -> bool {
        self.ancestors.contains(&pid)
    }
}

fn lines(table: &[Process], us: u32) -> Vec<Line<'_>> {
    let by_pid: HashMap<u32, &Process> = table.iter().map(|p| (p.pid, p)).collect();
    let line = |process| ancestry(&by_pid, process, us);
    table.iter().filter_map(line).collect()
}

/// Climbs from a process to us; nothing when the way leads elsewhere.
fn ancestry<'a>(
    by_pid: &HashMap<u32, &'a Process>,
    process: &'a Process,
    us: u32,
) -> Option<Line<'a>> {
    let mut line = Line {
        process,
        ancestors: Vec::new(),
        below_shim: false,
        below_runtime: false,
    };
    let mut parent = process.parent;
    // The table is no snapshot: a pid that was reused meanwhile could close a circle.
    while line.ancestors.len() < by_pid.len() {
        line.ancestors.push(parent);
        if parent == us {
            return Some(line);
        }
        let next = by_pid.get(&parent)?;
        line.below_shim |= is_shim(next);
        line.below_runtime |= is_runtime(next);
        parent = next.parent;
    }
    None
}

/// `containerd-shim`, `containerd-shim-runc-v2`, those of other runtimes.
pub(super) fn is_shim(process: &Process) -> bool {
    process.name.starts_with("containerd-shim")
}

/// What BuildKit runs a step of a build with, and stays with it.
fn is_runtime(process: &Process) -> bool {
    ["runc", "crun", "buildkit-runc"].contains(&process.name.as_str())
}

/// A cgroup that belongs to a container: the controllers of its hierarchy (none on version 2) and
/// its path, as /proc shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ContainerCgroup {
    /// `freezer`, `cpu,cpuacct`, nothing on version 2.
    pub(super) controllers: String,
    /// Path within the hierarchy.
    pub(super) path: String,
}

/// The outermost cgroups in a /proc/PID/cgroup that are named after a container's id, without
/// those that hold ourselves: an outer container's id is part of our own path where the cgroup
/// namespace is shared.
#[must_use]
pub(super) fn container_cgroups(text: &str, own: &str) -> Vec<ContainerCgroup> {
    let own = own.lines().filter_map(Membership::parse);
    let own: HashMap<&str, &str> = own.map(|line| (line.controllers, line.path)).collect();
    let cgroup = |line| {
        let Membership { controllers, path } = Membership::parse(line)?;
        let own = own.get(controllers).copied().unwrap_or("/");
        let mut prefix = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            prefix.push('/');
            prefix.push_str(part);
            if is_container(part) && !Path::new(own).starts_with(&prefix) {
                return Some(ContainerCgroup {
                    controllers: controllers.to_owned(),
                    path: prefix,
                });
            }
        }
        None
    };
    text.lines().filter_map(cgroup).collect()
}

/// 64 hexadecimal digits, alone or as systemd's scope.
fn is_container(part: &str) -> bool {
    let id = part.strip_suffix(".scope").unwrap_or(part);
    let id = id.strip_prefix("docker-").unwrap_or(id);
    id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, parent: u32, name: &str, cgroup: &str) -> Process {
        Process {
            pid,
            parent,
            name: name.into(),
            start: 1,
            alive: true,
            cgroup: cgroup.into(),
        }
    }

    fn pids(list: &[&Process]) -> Vec<u32> {
        list.iter().map(|process| process.pid).collect()
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
        assert_eq!(pids(&ours(&pod(), 7)), [8, 9, 10, 11, 12, 13, 14, 15]);
        let mut table = pod();
        table[10].alive = false;
        assert_eq!(pids(&alive(&table, 7)), [8, 9, 10, 11, 12, 13, 15]);
    }

    #[test]
    fn what_is_below_a_process_comes_nearest_first() {
        let table = [
            process(9, 8, "dockerd", ""),
            process(7, 1, "dockerd", ""),
            process(8, 7, "dockerd", ""),
            process(6, 1, "other", ""),
        ];
        assert_eq!(pids(&below(&table, 7)), [8, 9]);
    }

    #[test]
    fn nested_is_what_a_shim_or_a_containers_cgroup_holds() {
        assert_eq!(pids(&nested(&pod(), 7)), [11, 12, 13]);
        assert_eq!(busy(&pod(), 7, 8), 4, "the shim, its two, and the build");
    }

    #[test]
    fn an_outer_containers_cgroup_is_never_taken_for_a_nested_one() {
        let (outer, inner) = ("b".repeat(64), "c".repeat(64));
        let own = format!("4:freezer:/docker/{outer}\n0::/docker/{outer}/init\n");
        assert_eq!(container_cgroups(&own, &own), []);
        let nested = format!("4:freezer:/docker/{outer}/docker/{inner}/x\n0::/docker/{outer}\n");
        assert_eq!(
            container_cgroups(&nested, &own),
            [ContainerCgroup {
                controllers: "freezer".into(),
                path: format!("/docker/{outer}/docker/{inner}"),
            }]
        );
        let scope = format!("0::/system.slice/docker-{inner}.scope\n");
        assert_eq!(container_cgroups(&scope, "0::/init\n").len(), 1);
    }

    #[test]
    fn a_name_with_brackets_is_read() {
        let text = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99 1000 10";
        let process = parse_stat(text).unwrap();
        assert_eq!(
            (process.pid, process.parent, process.start, process.alive),
            (42, 7, 99, true)
        );
        assert_eq!(process.name, "a) b (c");
        assert!(!parse_stat(&text.replace(" S ", " Z ")).unwrap().alive);
    }

    #[test]
    fn a_build_is_work_where_there_are_no_cgroups() {
        let table = [
            process(5, 1, "dockerd", ""),
            process(6, 5, "docker-proxy", ""),
            process(7, 5, "runc", ""),
            process(8, 7, "sh", ""),
        ];
        assert_eq!(busy(&table, 1, 5), 1);
    }

    #[test]
    fn a_circle_in_the_table_ends() {
        let table = [process(5, 6, "a", ""), process(6, 5, "b", "")];
        assert_eq!(ours(&table, 1), Vec::<&Process>::new());
    }
}
