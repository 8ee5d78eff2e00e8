//! The cgroup tree as this process sees it (`cgroups(7)`, kernel `cgroup-v2.rst`).
//!
//! The one question that matters: is the directory at [`ROOT`] ours, or does it show the tree of
//! the host? It is answered by [`CgroupPosition`], from our path and from the mount's root; both are told
//! relative to our cgroup namespace.

pub mod delegation;
pub mod legacy;
pub mod mount;
pub mod place;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::mountinfo::{self, Mount};
use crate::files::{self, kernel};
use crate::sys::ns::{self, OldMount};
use crate::sys::probe::{ProbeResult, Probes, Ticket, UnshareFlags};
use legacy::Hierarchy;
use mount::{FreshMount, TreeMount};
use place::Membership;

/// Where every engine and runtime looks.
pub const ROOT: &str = "/sys/fs/cgroup";

/// The leaf that holds PID 1 and dockerd; users' scripts test for this name.
pub const LEAF: &str = "init";

/// How the hierarchies are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CgroupMode {
    /// Nothing is mounted.
    None,
    /// Controllers on version 1 only.
    V1,
    /// Controllers on version 1, a version 2 tree beside them.
    Hybrid,
    /// Version 2 only.
    V2,
}

/// Where our cgroup is in the version 2 tree that [`ROOT`] shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CgroupPosition {
    /// At the root of the machine's own tree: there is no container around us.
    Machine,
    /// At the root, and the root is a container's.
    Root,
    /// In [`LEAF`] below such a root: an earlier start put us there.
    Leaf,
    /// Deeper: the tree shows cgroups that are not ours. The path is relative to [`ROOT`].
    Below(PathBuf),
    /// Not in the tree that is mounted there, or nothing is mounted.
    Hidden,
}

/// Facts about cgroups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupFacts {
    /// The layout.
    pub mode: CgroupMode,
    /// Our path in the version 2 tree, relative to our cgroup namespace.
    pub own_path: Option<String>,
    /// Where that is in the mounted tree.
    pub position: CgroupPosition,
    /// The version 2 mount at [`ROOT`].
    pub mount: Option<TreeMount>,
    /// The mount below it, where that is shared with peers.
    #[serde(default)]
    pub shared_below: Option<PathBuf>,
    /// The group that is ours to divide: the root for [`CgroupPosition::Root`] and [`CgroupPosition::Leaf`], our own
    /// group for [`CgroupPosition::Below`].
    pub group: Option<Group>,
    /// The same group as the root of a fresh mount in a cgroup namespace of its own; tried where
    /// the mounted tree is not ours, or is read-only.
    pub fresh: Option<ProbeResult<Result<Group, String>>>,
    /// Whether systemd manages the mounted tree.
    pub systemd: bool,
    /// Whether a systemd has been started, be it the host's, as runc asks.
    #[serde(default)]
    pub booted: bool,
    /// The hierarchies of version 1.
    pub legacy: Vec<Hierarchy>,
    /// Those that are mounted read-only, mounted writable; tried where there are such.
    #[serde(default)]
    pub rewritten: Option<ProbeResult<Result<(), String>>>,
}

/// One cgroup of version 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// `cgroup.type`; the root of a machine has none.
    pub kind: Option<String>,
    /// `cgroup.controllers`.
    pub controllers: Vec<String>,
    /// `cgroup.subtree_control`.
    pub delegated: Vec<String>,
    /// `cgroup.procs`: 0 is a process outside our pid namespace.
    pub processes: Vec<u32>,
    /// Whether we may make groups in it and move processes out of it.
    pub writable: bool,
    /// `memory.max`, where there is a limit.
    pub memory_max: Option<u64>,
    /// `memory.oom.group`: an OOM kill at this group's limit takes everything in it.
    pub oom_group: bool,
    /// `cpu.max`, where there is a limit.
    pub cpu_max: Option<String>,
    /// `pids.max`, where there is a limit.
    pub pids_max: Option<u64>,
}

impl CgroupFacts {
    /// Reads the tree.
    #[must_use]
    pub fn read(mounts: &[Mount]) -> Self {
        let own = kernel::read("/proc/self/cgroup").unwrap_or_default();
        let legacy = legacy::read(&own, mounts);
        let mode = mode(mounts);
        let own_path = own_path(&own);
        let mount = mountinfo::at(mounts, Path::new(ROOT))
            .filter(|mount| mount.fs_type == "cgroup2")
            .map(TreeMount::of);
        let root = mount.as_ref().map(|_| Group::read(Path::new(ROOT)));
        let position = position(own_path, mount.as_ref(), root.as_ref());
        let group = match &position {
            CgroupPosition::Machine | CgroupPosition::Hidden => None,
            CgroupPosition::Root | CgroupPosition::Leaf => root,
            CgroupPosition::Below(path) => Some(Group::read(&Path::new(ROOT).join(path))),
        };
        Self {
            mode,
            own_path: own_path.map(|path| path.to_string_lossy().into_owned()),
            position,
            mount,
            shared_below: mount::shared_below(mounts),
            group,
            fresh: None,
            systemd: managed_by_systemd(),
            booted: files::is_directory(Path::new("/run/systemd/system")),
            legacy,
            rewritten: None,
        }
    }

    /// Tries to mount read-only hierarchies writable, in a mount namespace that ends with the
    /// probe.
    #[must_use = "the answer is taken with it"]
    pub fn try_rewriting(&self, probes: &mut Probes) -> Option<Ticket<Result<(), String>>> {
        let read_only: Vec<(PathBuf, Vec<String>)> = self
            .legacy
            .iter()
            .filter(|hierarchy| hierarchy.is_read_only())
            .filter_map(|hierarchy| {
                let options = hierarchy.options.split(',').map(str::to_owned);
                Some((hierarchy.point.clone()?, options.collect()))
            })
            .collect();
        if read_only.is_empty() {
            return None;
        }
        Some(probes.start(
            "writable cgroups",
            UnshareFlags::NEWNS,
            Duration::from_secs(2),
            move || {
                read_only.iter().try_for_each(|(point, options)| {
                    ns::remount_writable(point, mount::flags_of(options))
                        .map_err(|error| format!("remount of {}: {error}", point.display()))
                })
            },
        ))
    }

    /// Why the tree of version 2 cannot be written.
    #[must_use]
    pub fn unwritable(&self) -> &'static str {
        let read_only = |options: &str| options.split(',').any(|option| option == "ro");
        match &self.mount {
            Some(mount) if read_only(&mount.options) || read_only(&mount.super_options) => {
                "is mounted read-only (a :ro volume, or a container without --privileged)"
            }
            _ => "belongs to another user (a user namespace to which it was not handed over)",
        }
    }

    /// Whether a fresh mount in a cgroup namespace of our own would help.
    fn needs_fresh_mount(&self) -> bool {
        let alone = self.legacy.is_empty() && self.own_path.is_some();
        match (&self.mode, &self.position) {
            (CgroupMode::V2, CgroupPosition::Below(_) | CgroupPosition::Hidden) => true,
            (CgroupMode::V2, CgroupPosition::Root) => {
                self.group.as_ref().is_some_and(|g| !g.writable)
            }
            (CgroupMode::None, _) => alone,
            _ => false,
        }
    }

    /// Tries it where it would help: unshare, mount, look. Everything ends with the child.
    #[must_use = "the answer is taken with it"]
    pub fn try_fresh_mount(&self, probes: &mut Probes) -> Option<Ticket<Result<Group, String>>> {
        if !self.needs_fresh_mount() {
            return None;
        }
        let options = FreshMount::of(self);
        Some(probes.start(
            "cgroup namespace",
            UnshareFlags::NEWNS,
            Duration::from_secs(2),
            move || {
                ns::own_cgroup_root(&options.at(Path::new(ROOT), OldMount::Covered))
                    .map_err(|error| error.to_string())?;
                let own = kernel::read("/proc/self/cgroup").unwrap_or_default();
                let group = Group::read(Path::new(ROOT));
                if own_path(&own) != Some(Path::new("/"))
                    || !group.processes.contains(&std::process::id())
                {
                    return Err("the fresh mount does not show dind-init's cgroup".into());
                }
                if !group.writable {
                    return Err("the fresh mount is not writable".into());
                }
                Ok(group.without(std::process::id()))
            },
        ))
    }
}

impl Group {
    /// Reads a cgroup's files; those that are missing are empty.
    #[must_use]
    pub fn read(dir: &Path) -> Self {
        let text = |name: &str| kernel::text(dir.join(name)).ok();
        let words = |name: &str| -> Vec<String> {
            let text = text(name).unwrap_or_default();
            text.split_whitespace().map(str::to_owned).collect()
        };
        let limit = |name: &str| text(name)?.trim().parse().ok();
        let writable = |path: &Path| kernel::is_writable(path);
        Self {
            kind: text("cgroup.type").map(|text| text.trim().to_owned()),
            controllers: words("cgroup.controllers"),
            delegated: words("cgroup.subtree_control"),
            processes: words("cgroup.procs")
                .iter()
                .filter_map(|pid| pid.parse().ok())
                .collect(),
            writable: writable(dir)
                && ["cgroup.procs", "cgroup.subtree_control"]
                    .iter()
                    .all(|name| writable(&dir.join(name))),
            memory_max: limit("memory.max"),
            oom_group: text("memory.oom.group").is_some_and(|text| text.trim() == "1"),
            cpu_max: text("cpu.max")
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.starts_with("max")),
            pids_max: limit("pids.max"),
        }
    }

    fn without(mut self, pid: u32) -> Self {
        self.processes.retain(|other| *other != pid);
        self
    }
}

/// `sd_booted(3)`, and systemd is there: /run may be the host's.
fn managed_by_systemd() -> bool {
    let first = kernel::read("/proc/1/comm").unwrap_or_default();
    [b"systemd".as_slice(), b"init"].contains(&first.trim_ascii())
        && files::is_directory(Path::new("/run/systemd/system"))
}

fn mode(mounts: &[Mount]) -> CgroupMode {
    let below = |fs: &str| {
        mounts
            .iter()
            .any(|m| m.fs_type == fs && m.point.starts_with(ROOT))
    };
    match mountinfo::at(mounts, Path::new(ROOT)).map(|mount| mount.fs_type.as_str()) {
        Some("cgroup2") => CgroupMode::V2,
        _ if below("cgroup") && below("cgroup2") => CgroupMode::Hybrid,
        _ if below("cgroup") => CgroupMode::V1,
        _ => CgroupMode::None,
    }
}

/// The path of the version 2 line (`0::/path`) of a /proc/PID/cgroup.
#[must_use]
pub fn own_path(text: &[u8]) -> Option<&Path> {
    let mut lines = Membership::all(text);
    let line = lines.find(|line| line.controllers.is_empty())?;
    Some(line.path)
}

/// Where a cgroup is in a mounted tree: both are named relative to the same namespace. `None`
/// when it is not in there, or cannot be told.
#[must_use]
pub fn within(own: &Path, mount_root: &Path) -> Option<PathBuf> {
    if own.starts_with("/..") || mount_root.starts_with("/..") {
        return None; // outside our namespace: the names between the two are not told
    }
    own.strip_prefix(mount_root).ok().map(Path::to_owned)
}

fn position(own: Option<&Path>, mount: Option<&TreeMount>, root: Option<&Group>) -> CgroupPosition {
    let (Some(own), Some(mount), Some(root)) = (own, mount, root) else {
        return CgroupPosition::Hidden;
    };
    let container = root.kind.is_some();
    match within(own, &mount.root) {
        None => CgroupPosition::Hidden,
        Some(path) if path.as_os_str().is_empty() && container => CgroupPosition::Root,
        Some(path) if path.as_os_str().is_empty() => CgroupPosition::Machine,
        Some(path) if path == Path::new(LEAF) && container => CgroupPosition::Leaf,
        Some(path) => CgroupPosition::Below(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    fn mounts(text: &str) -> Vec<Mount> {
        mountinfo::parse(text.as_bytes())
    }

    #[test]
    fn layouts_are_told_apart() {
        let v2 = "1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        let tmpfs = "1 0 0:1 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n";
        let cpu = "2 1 0:2 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        let unified = "3 1 0:3 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(mode(&mounts(v2)), CgroupMode::V2);
        assert_eq!(mode(&mounts(&format!("{tmpfs}{cpu}"))), CgroupMode::V1);
        assert_eq!(
            mode(&mounts(&format!("{tmpfs}{cpu}{unified}"))),
            CgroupMode::Hybrid
        );
        assert_eq!(mode(&mounts(tmpfs)), CgroupMode::None);
    }

    #[test]
    fn the_own_path_is_that_of_version_2() {
        assert_eq!(
            own_path(b"5:cpu:/x\n0::/a:b\xff\n"),
            Some(Path::new(OsStr::from_bytes(b"/a:b\xff")))
        );
        assert_eq!(own_path(b"5:cpu:/x\n"), None);
    }

    /// Each line was seen on a real machine.
    #[test]
    fn the_seat_is_told_from_our_path_and_the_mounts_root() {
        for (own, root, kind, position) in [
            ("/", "/", Some("domain"), CgroupPosition::Root), // --cgroupns=private
            ("/init", "/", Some("domain"), CgroupPosition::Leaf), // the same, a second start
            (
                "/docker/1",
                "/",
                None,
                CgroupPosition::Below("docker/1".into()),
            ), // --cgroupns=host
            (
                "/docker/1",
                "/",
                Some("domain"),
                CgroupPosition::Below("docker/1".into()),
            ), // in another DinD
            (
                "/docker/1/init",
                "/docker/1",
                Some("domain"),
                CgroupPosition::Leaf,
            ), // docker exec after our remount
            ("/", "/../..", None, CgroupPosition::Hidden), // private, with the host's tree as a volume
            ("/", "/", None, CgroupPosition::Machine),     // a virtual machine
            ("/init", "/", None, CgroupPosition::Below("init".into())), // not ours: the machine's
            ("/../x", "/", Some("domain"), CgroupPosition::Hidden),
        ] {
            let mount = TreeMount {
                root: root.into(),
                options: String::new(),
                super_options: String::new(),
            };
            let group = Group {
                kind: kind.map(str::to_owned),
                ..Group::read(Path::new("/nowhere"))
            };
            let found = super::position(Some(Path::new(own)), Some(&mount), Some(&group));
            assert_eq!(found, position, "{own} in {root}");
        }
    }
}
