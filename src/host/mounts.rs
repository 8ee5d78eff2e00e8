//! Mount points and device files that matter.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::apparmor::{AppArmorFacts, SECURITYFS};
use super::devices::{self, Device};
use super::mountinfo::{self, Mount};
use crate::files::{self, kernel};

/// Mount points and device files that matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountFacts {
    /// Whether `/` is shared with peers.
    pub root_shared: bool,
    /// `/tmp`.
    pub tmp: DirectoryState,
    /// `/sys/kernel/security`.
    pub securityfs: DirectoryState,
    /// Whether what is mounted there is shared with peers.
    pub securityfs_shared: bool,
    /// What securityfs is good for.
    pub apparmor: AppArmorFacts,
    /// Whether `/proc/sys/net` can be written.
    pub net_sysctls_writable: bool,
    /// Device files that nested work needs and that are missing.
    pub missing_devices: Vec<Device>,
}

/// A directory that something could be mounted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DirectoryState {
    /// It does not exist.
    Absent,
    /// It exists and has no entries.
    Empty,
    /// It has entries.
    Used,
    /// Something is mounted there.
    MountPoint,
}

impl MountFacts {
    #[must_use]
    pub fn read(mounts: &[Mount]) -> Self {
        let shared = |path: &str| {
            mountinfo::holding(mounts, Path::new(path)).is_some_and(|mount| mount.shared)
        };
        Self {
            root_shared: shared("/"),
            tmp: directory(mounts, Path::new("/tmp")),
            securityfs: directory(mounts, Path::new(SECURITYFS)),
            securityfs_shared: shared(SECURITYFS),
            apparmor: AppArmorFacts::read(),
            net_sysctls_writable: kernel::is_writable("/proc/sys/net/ipv4/ip_forward"),
            missing_devices: devices::missing(),
        }
    }
}

fn directory(mounts: &[Mount], path: &Path) -> DirectoryState {
    if mountinfo::at(mounts, path).is_some() {
        return DirectoryState::MountPoint;
    }
    match files::is_empty(path) {
        Ok(true) => DirectoryState::Empty,
        Ok(false) => DirectoryState::Used,
        Err(_) => DirectoryState::Absent,
    }
}
