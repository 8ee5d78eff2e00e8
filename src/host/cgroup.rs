//! The cgroup tree as this process sees it (`cgroups(7)`, kernel `cgroup-v2.rst`).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::mountinfo::{self, Mount};

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

/// Facts about cgroups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupFacts {
    /// The layout.
    pub mode: CgroupMode,
    /// Our path in the version 2 tree, relative to our cgroup namespace.
    pub own_path: Option<String>,
    /// Whether the tree is mounted read-write.
    pub writable: bool,
    /// `cgroup.controllers` of the root.
    pub controllers: Vec<String>,
    /// `cgroup.subtree_control` of the root.
    pub delegated: Vec<String>,
    /// `cgroup.type` of the root; the real root of a machine has none.
    pub root_type: Option<String>,
    /// Processes in the root itself.
    pub root_processes: Vec<u32>,
}

impl CgroupFacts {
    /// Reads the tree.
    #[must_use]
    pub fn read(mounts: &[Mount]) -> Self {
        let root = Path::new(ROOT);
        let mode = mode(mounts);
        let read = |name: &str| {
            let text = std::fs::read_to_string(root.join(name)).ok();
            text.filter(|_| mode == CgroupMode::V2)
        };
        let words = |name: &str| {
            let text = read(name).unwrap_or_default();
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self {
            mode,
            own_path: own_path(&own),
            writable: mountinfo::at(mounts, root).is_some_and(|m| writable(&m.options)),
            controllers: words("cgroup.controllers"),
            delegated: words("cgroup.subtree_control"),
            root_type: read("cgroup.type").map(|text| text.trim().to_owned()),
            root_processes: words("cgroup.procs")
                .iter()
                .filter_map(|p| p.parse().ok())
                .collect(),
        }
    }

    /// The leaf's directory.
    #[must_use]
    pub fn leaf() -> PathBuf {
        Path::new(ROOT).join(LEAF)
    }
}

fn writable(options: &str) -> bool {
    options.split(',').any(|option| option == "rw")
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
pub fn own_path(text: &str) -> Option<String> {
    text.lines()
        .find_map(|line| line.strip_prefix("0::"))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(own_path("5:cpu:/x\n0::/a:b\n").as_deref(), Some("/a:b"));
        assert_eq!(own_path("5:cpu:/x\n"), None);
    }
}
