//! Whether the kernel that answers us is a real one.

use serde::{Deserialize, Serialize};

use super::mountinfo::Mount;

/// What stands between us and the machine's kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sandbox {
    /// Nothing that shows.
    #[default]
    None,
    /// gVisor: a kernel of its own in user space.
    Gvisor,
    /// Sysbox: parts of /proc and /sys are its own.
    Sysbox,
}

/// The build stamp of gVisor's kernel; newer ones say their name in the release as well.
const GVISOR_STAMP: &str = "#1 SMP Sun Jan 10 15:06:54 PST 2016";

impl Sandbox {
    /// Tells it from `uname(2)` and the mounts.
    #[must_use]
    pub fn of(release: &str, version: &str, mounts: &[Mount]) -> Self {
        if release.contains("gvisor") || version == GVISOR_STAMP {
            Self::Gvisor
        } else if mounts.iter().any(|mount| mount.source == "sysboxfs") {
            Self::Sysbox
        } else {
            Self::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::mountinfo;

    #[test]
    fn sandboxes_are_known_by_what_they_show() {
        let mounts = |text: &str| mountinfo::parse(text.as_bytes());
        let sysbox = mounts("1 0 0:1 /proc/sys /proc/sys rw - fuse sysboxfs rw\n");
        let fuse = mounts("1 0 0:1 / /mnt rw - fuse sshfs rw\n");
        assert_eq!(Sandbox::of("4.4.0", GVISOR_STAMP, &[]), Sandbox::Gvisor);
        assert_eq!(Sandbox::of("4.19.0-gvisor", "#1", &[]), Sandbox::Gvisor);
        assert_eq!(Sandbox::of("6.1.0", "#1 SMP", &sysbox), Sandbox::Sysbox);
        assert_eq!(Sandbox::of("6.1.0", "#1 SMP", &fuse), Sandbox::None);
    }
}
