//! How the version 2 tree is mounted, and how a fresh mount of it is made.

use std::path::{Path, PathBuf};

use rustix::mount::MountFlags;
use serde::{Deserialize, Serialize};

use super::{CgroupFacts, ROOT};
use crate::host::mountinfo::{self, Mount};
use crate::sys::ns::{OldMount, Remount};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeMount {
    /// Which cgroup is at the mount point, relative to our cgroup namespace; begins with `/..`
    /// where it is outside.
    pub root: PathBuf,
    pub options: String,
    pub super_options: String,
}

impl TreeMount {
    pub(super) fn of(mount: &Mount) -> Self {
        Self {
            root: mount.root.clone(),
            options: mount.options.clone(),
            super_options: mount.super_options.clone(),
        }
    }
}

/// How the fresh mount is made: as the old one was, but always writable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreshMount {
    /// `nosuid`, `nodev`, …
    pub flags: Vec<String>,
    /// Options of the tree; a mount in a cgroup namespace does not change them.
    pub data: String,
    /// The mount below the old one, where what is done on it shows elsewhere, maybe on the host: it
    /// is made private first.
    pub below: Option<PathBuf>,
}

/// Mount flags by the names that mountinfo has for them.
const FLAGS: [(&str, MountFlags); 6] = [
    ("nosuid", MountFlags::NOSUID),
    ("nodev", MountFlags::NODEV),
    ("noexec", MountFlags::NOEXEC),
    ("relatime", MountFlags::RELATIME),
    ("noatime", MountFlags::NOATIME),
    ("nodiratime", MountFlags::NODIRATIME),
];

/// Options that the kernel takes for cgroup2; a security module shows others in the same place.
const TREE_OPTIONS: [&str; 6] = [
    "nsdelegate",
    "favordynmods",
    "memory_localevents",
    "memory_recursiveprot",
    "memory_hugetlb_accounting",
    "pids_localevents",
];

impl FreshMount {
    /// What is known of the old mount.
    #[must_use]
    pub fn of(facts: &CgroupFacts) -> Self {
        let mount = facts.mount.as_ref();
        let words = |text: Option<&String>, known: &dyn Fn(&str) -> bool| -> Vec<String> {
            let words = text.into_iter().flat_map(|text| text.split(','));
            words
                .filter(|word| known(word))
                .map(str::to_owned)
                .collect()
        };
        let flag = |word: &str| FLAGS.iter().any(|(name, _)| *name == word);
        let option = |word: &str| TREE_OPTIONS.contains(&word);
        Self {
            flags: words(mount.map(|mount| &mount.options), &flag),
            data: words(mount.map(|mount| &mount.super_options), &option).join(","),
            below: facts.shared_below.clone(),
        }
    }

    /// The same for a mount namespace of its own, out of which nothing propagates.
    #[must_use]
    pub fn inside(self) -> Self {
        Self {
            below: None,
            ..self
        }
    }

    /// For `mount(2)`.
    #[must_use]
    pub fn at<'a>(&'a self, point: &'a Path, old: OldMount) -> Remount<'a> {
        Remount {
            point,
            old,
            below: self.below.as_deref(),
            flags: self.flags(),
            data: &self.data,
        }
    }

    fn flags(&self) -> MountFlags {
        flags_of(&self.flags)
    }
}

/// The flags of a mount's options, but for `ro`.
#[must_use]
pub fn flags_of(options: &[String]) -> MountFlags {
    let wanted = FLAGS
        .iter()
        .filter(|(name, _)| options.iter().any(|option| option == name));
    wanted.map(|(_, flag)| *flag).collect()
}

/// The mount that holds the mount point, where what is mounted there propagates.
pub(super) fn shared_below(mounts: &[Mount]) -> Option<PathBuf> {
    let below = mountinfo::holding(mounts, Path::new(ROOT).parent()?)?;
    below.shared.then(|| below.point.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_propagate_is_known() {
        let find = |text: &str| shared_below(&mountinfo::parse(text.as_bytes()));
        let root = "1 0 0:1 / / rw - ext4 x rw\n";
        let tree = "3 2 0:3 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup rw\n";
        for (sys, below) in [
            ("2 1 0:2 / /sys rw - sysfs sysfs rw\n", None),
            (
                "2 1 0:2 / /sys rw shared:3 - sysfs sysfs rw\n",
                Some("/sys"),
            ),
        ] {
            assert_eq!(
                find(&format!("{root}{sys}{tree}")),
                below.map(PathBuf::from)
            );
        }
    }

    #[test]
    fn the_old_options_are_kept_and_foreign_ones_are_not() {
        let mounts = mountinfo::parse(
            b"1 0 0:1 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup \
            rw,seclabel,nsdelegate,memory_recursiveprot\n",
        );
        let fresh = FreshMount::of(&CgroupFacts::read(&mounts));
        assert_eq!(fresh.data, "nsdelegate,memory_recursiveprot");
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        assert_eq!(fresh.flags(), flags | MountFlags::RELATIME);
    }
}
