//! What the machine is: readers of /proc, /sys and /etc. They change nothing.
//!
//! [`Facts`] is data: `dind-init facts` prints it, a bug report carries it, and a fixture replays
//! it in a test of the plan.

pub mod certs;
pub mod cgroup;
pub mod daemon_json;
pub mod listen;
pub mod mountinfo;
pub mod net4;
pub mod network;
pub mod process;
pub mod stale;
pub mod uplink;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::config::Config;
use cgroup::CgroupFacts;
use mountinfo::Mount;
use network::NetworkFacts;
use process::ProcessFacts;
use stale::StaleFile;
use uplink::UplinkFacts;

/// Everything that the `HostPlan` needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// `uname -r`.
    pub kernel: String,
    /// Rights of this process.
    pub process: ProcessFacts,
    /// The cgroup tree.
    pub cgroup: CgroupFacts,
    /// Mount points that matter.
    pub mounts: MountFacts,
    /// Names and addresses.
    pub network: NetworkFacts,
    /// The way out.
    pub uplink: UplinkFacts,
    /// Left-overs of a run that was killed.
    pub stale: Vec<StaleFile>,
    /// Programs found in PATH.
    pub programs: Programs,
}

/// Mount points that matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountFacts {
    /// Whether `/` is shared with peers.
    pub root_shared: bool,
    /// `/tmp`.
    pub tmp: DirectoryState,
    /// `/sys/kernel/security`.
    pub securityfs: DirectoryState,
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

/// Programs found in PATH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Programs {
    /// `dockerd`.
    pub dockerd: Option<PathBuf>,
    /// `dind` and `docker-init` that are not this binary.
    pub foreign: Vec<PathBuf>,
}

impl Facts {
    /// Reads the machine.
    #[must_use]
    pub fn probe(config: &Config) -> Self {
        let mounts = mountinfo::parse(&std::fs::read("/proc/self/mountinfo").unwrap_or_default());
        Self {
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            process: ProcessFacts::read(),
            cgroup: CgroupFacts::read(&mounts),
            mounts: MountFacts {
                root_shared: mountinfo::at(&mounts, Path::new("/")).is_some_and(|m| m.shared),
                tmp: directory(&mounts, Path::new("/tmp")),
                securityfs: directory(&mounts, Path::new("/sys/kernel/security")),
            },
            network: NetworkFacts::read(),
            uplink: UplinkFacts::read(),
            stale: stale::find(&stale::Places::of(config)),
            programs: Programs::find(config),
        }
    }
}

fn directory(mounts: &[Mount], path: &Path) -> DirectoryState {
    if mountinfo::at(mounts, path).is_some() {
        return DirectoryState::MountPoint;
    }
    match std::fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
        Ok(true) => DirectoryState::Empty,
        Ok(false) => DirectoryState::Used,
        Err(_) => DirectoryState::Absent,
    }
}

impl Programs {
    fn find(config: &Config) -> Self {
        let path = config.env.get("PATH");
        let find = |name: &str| crate::sys::spawn::find_program(name.as_ref(), path);
        // The same file under another name is this binary; /proc/self/exe survives renames.
        let ours = |path: &PathBuf| {
            let id = |path: &Path| {
                rustix::fs::stat(path)
                    .ok()
                    .map(|stat| (stat.st_dev, stat.st_ino))
            };
            id(path).is_some() && id(path) == id(Path::new("/proc/self/exe"))
        };
        let foreign = ["dind", "docker-init"].iter().filter_map(|name| find(name));
        // dockerd-rootless.sh has a variable for it.
        let named = config
            .env
            .non_empty("DOCKERD")
            .and_then(|name| name.to_str());
        let named = named.filter(|_| config.identity.uid != 0);
        Self {
            dockerd: find(named.unwrap_or("dockerd")),
            foreign: foreign.filter(|path| !ours(path)).collect(),
        }
    }
}
