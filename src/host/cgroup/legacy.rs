//! The hierarchies of cgroup version 1 (`cgroups(7)`).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::place::Membership;
use super::{ROOT, within};
use crate::files::kernel;
use crate::host::mountinfo::Mount;

/// One hierarchy of version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hierarchy {
    /// Its controllers, or `name=…`.
    pub controllers: Vec<String>,
    /// Our path, relative to our cgroup namespace.
    pub own_path: String,
    /// Where it is mounted.
    pub point: Option<PathBuf>,
    /// Where our cgroup is in what is mounted: empty at its root, none when it is not in there.
    pub within: Option<PathBuf>,
    /// Whether we may make groups there.
    pub writable: bool,
    /// `memory.limit_in_bytes` of our cgroup, where there is a limit.
    pub memory_limit: Option<u64>,
}

/// The kernel's word for "no limit": the largest number of whole pages.
const UNLIMITED: u64 = 0x7fff_ffff_ffff_0000;

/// Reads the hierarchies from a /proc/PID/cgroup and the mounts.
#[must_use]
pub fn read(own: &[u8], mounts: &[Mount]) -> Vec<Hierarchy> {
    Membership::all(own)
        .filter_map(|line| hierarchy(line, mounts))
        .collect()
}

fn hierarchy(line: Membership<'_>, mounts: &[Mount]) -> Option<Hierarchy> {
    let Membership {
        controllers,
        path: own,
    } = line;
    let controllers: Vec<String> = controllers.split(',').map(str::to_owned).collect();
    let first = controllers.first().filter(|name| !name.is_empty())?; // version 2 has none
    let mount = mounts.iter().rev().find(|mount| {
        mount.fs_type == "cgroup"
            && mount.point.starts_with(ROOT)
            && mount.super_options.split(',').any(|option| option == first)
    });
    let within = mount.and_then(|mount| within(own, &mount.root));
    let dir = mount
        .zip(within.as_ref())
        .map(|(m, path)| m.point.join(path));
    Some(Hierarchy {
        own_path: own.to_string_lossy().into_owned(),
        point: mount.map(|mount| mount.point.clone()),
        within,
        writable: dir.as_ref().is_some_and(kernel::is_writable),
        memory_limit: dir
            .filter(|_| controllers.iter().any(|name| name == "memory"))
            .and_then(|dir| limit(&dir)),
        controllers,
    })
}

fn limit(dir: &Path) -> Option<u64> {
    let text = kernel::text(dir.join("memory.limit_in_bytes")).ok()?;
    text.trim().parse().ok().filter(|bytes| *bytes < UNLIMITED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::mountinfo;

    #[test]
    fn each_hierarchy_knows_where_we_are_in_what_is_mounted() {
        let own = b"9:name=systemd:/\n5:cpu,cpuacct:/x/1\n4:memory:/x/1\n3:pids:/x/1\n0::/x/1\n";
        let mounts = mountinfo::parse(
            b"1 0 0:1 /x/1 /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
            2 0 0:2 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            3 0 0:3 / /sys/fs/cgroup/systemd rw - cgroup systemd rw,name=systemd\n",
        );
        let found: Vec<_> = read(own.as_slice(), &mounts)
            .into_iter()
            .map(|h| (h.controllers.join("+"), h.within))
            .collect();
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(
            found,
            [
                ("name=systemd".into(), path("")),
                ("cpu+cpuacct".into(), path("")),
                ("memory".into(), path("x/1")),
                ("pids".into(), None),
            ]
        );
    }
}
