//! What the machine is: readers of /proc, /sys and /etc. They change nothing.
//!
//! [`Facts`] is data: `dind-init facts` prints it, a bug report carries it, and a fixture replays
//! it in a test of the plan.

pub mod apparmor;
pub mod certs;
pub mod cgroup;
pub mod daemon_json;
pub mod devices;
pub mod limits;
pub mod listen;
pub mod mountinfo;
pub mod mounts;
pub mod net4;
pub mod network;
pub mod process;
pub mod stale;
pub mod uplink;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::config::Config;
use crate::sys::trial::Trials;
use apparmor::AppArmorFacts;
use cgroup::CgroupFacts;
use limits::LimitFacts;
use mounts::MountFacts;
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
    /// Limits of this process and of the node.
    pub limits: LimitFacts,
    /// Names and addresses.
    pub network: NetworkFacts,
    /// The way out.
    pub uplink: UplinkFacts,
    /// Left-overs of a run that was killed.
    pub stale: Vec<StaleFile>,
    /// Programs found in PATH.
    pub programs: Programs,
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
        let mut cgroup = CgroupFacts::read(&mounts);
        let mut mount_facts = MountFacts::read(&mounts);

        let mut trials = Trials::new();
        let fresh = cgroup
            .needs_fresh_mount()
            .then(|| cgroup.try_fresh_mount(&mut trials));
        let profile = mount_facts
            .apparmor
            .enabled
            .then(|| AppArmorFacts::try_profile(&mut trials, mount_facts.securityfs));
        let mut results = trials.collect();
        cgroup.fresh = fresh.map(|ticket| results.take(ticket));
        mount_facts.apparmor.profile = profile.map(|ticket| results.take(ticket));

        Self {
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            process: ProcessFacts::read(),
            cgroup,
            mounts: mount_facts,
            limits: LimitFacts::read(),
            network: NetworkFacts::read(),
            uplink: UplinkFacts::read(),
            stale: stale::find(&stale::Places::of(config)),
            programs: Programs::find(config),
        }
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
        Self {
            dockerd: find("dockerd"),
            foreign: foreign.filter(|path| !ours(path)).collect(),
        }
    }
}
