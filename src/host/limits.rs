//! Limits of this process and of the node.

use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};

use crate::files::kernel;

/// A resource limit; none is "unlimited".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// What holds.
    pub soft: Option<u64>,
    /// How far anybody may raise that.
    pub hard: Option<u64>,
}

/// A setting below /proc/sys that belongs to the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSetting {
    /// Its name, with dots.
    pub name: String,
    /// What it holds.
    pub value: u64,
    /// Whether we may write it.
    pub writable: bool,
}

/// Limits of this process and of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitFacts {
    /// `RLIMIT_NOFILE`.
    pub open_files: Limit,
    /// `RLIMIT_NPROC`.
    pub processes: Limit,
    /// `oom_score_adj`.
    pub oom_score_adj: Option<i32>,
    /// inotify limits; each counts for a user on the whole node.
    pub inotify: Vec<NodeSetting>,
}

impl LimitFacts {
    #[must_use]
    pub fn read() -> Self {
        let limit = |resource| {
            let limit = getrlimit(resource);
            Limit {
                soft: limit.current,
                hard: limit.maximum,
            }
        };
        let oom = kernel::text("/proc/self/oom_score_adj").ok();
        Self {
            open_files: limit(Resource::Nofile),
            processes: limit(Resource::Nproc),
            oom_score_adj: oom.and_then(|text| text.trim().parse().ok()),
            inotify: ["max_user_instances", "max_user_watches"]
                .iter()
                .filter_map(|name| NodeSetting::read(&format!("fs.inotify.{name}")))
                .collect(),
        }
    }
}

impl NodeSetting {
    fn read(name: &str) -> Option<Self> {
        let path = sysctl_path(name);
        let text = kernel::text(&path).ok()?;
        Some(Self {
            name: name.to_owned(),
            value: text.trim().parse().ok()?,
            writable: kernel::is_writable(&path),
        })
    }
}

#[must_use]
pub fn sysctl_path(name: &str) -> String {
    format!("/proc/sys/{}", name.replace('.', "/"))
}
