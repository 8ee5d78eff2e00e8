//! Where no nested container can start, whatever dockerd does.

use crate::base::explain::{Advice, Explain, samples};

/// Cgroups are of no use as they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CgroupRefusal {
    /// Hierarchies of version 1 that are mounted read-only, and stay so.
    #[error("the cgroup mounts are read-only (:ro): {hierarchies}")]
    ReadOnly {
        /// Their controllers.
        hierarchies: String,
        /// Why they cannot be mounted writable.
        why: String,
    },
    /// A driver that asks a systemd that is not here.
    #[error("native.cgroupdriver=systemd in {origin}, and no systemd runs here")]
    NoSystemd {
        /// Where that was said.
        origin: String,
    },
}

impl Explain for CgroupRefusal {
    fn advice(&self) -> Advice {
        match self {
            Self::ReadOnly { why, .. } => Advice::new(
                format!(
                    "a nested container needs a group of its own in each, and making them \
                     writable was refused: {why}"
                ),
                "remove the :ro of -v /sys/fs/cgroup:/sys/fs/cgroup:ro, or the whole volume \
                 (--privileged mounts cgroups writable by itself; Kubernetes: readOnly: true of \
                 the volumeMount)",
            ),
            Self::NoSystemd { origin } => Advice::new(
                "dockerd would start, and runc would fail for every container: the driver is \
                 right for the node that the setting comes from, and not in a container",
                format!("remove it from {origin}: dockerd's own choice, cgroupfs, works here"),
            ),
        }
    }
}

samples! { CgroupRefusal {
    ReadOnly { hierarchies: "cpu, memory".into(), why: "Operation not permitted".into() },
    NoSystemd { origin: "--exec-opt".into() },
} }
