//! What a hand-over of a part of our cgroup to another user needs to know (kernel `cgroup-v2.rst`,
//! "Delegation").

use std::time::Duration;

use caps::{CapSet, Capability};
use serde::{Deserialize, Serialize};

use super::mount::FreshMount;
use super::{CgroupFacts, CgroupMode, ROOT};
use crate::files::kernel;
use crate::host::mountinfo;
use crate::sys::ns::{self, OldMount};
use crate::sys::probe::{ProbeResult, Probes, Ticket, UnshareFlags};

/// Where the kernel lists the files that a delegate is to own (Linux 4.15).
const LIST: &str = "/sys/kernel/cgroup/delegate";

/// That list before it was told: the files without which nothing can be divided.
const LEAST: [&str; 3] = ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"];

/// Facts for a hand-over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegationFacts {
    /// The tree as it is now, while we may still change it.
    pub tree: CgroupFacts,
    /// The files that the new owner gets; never those that hold limits.
    pub files: Vec<String>,
    pub uid: u32,
    /// Whether we may give files away, and write to them afterwards.
    pub may_give: bool,
    /// Whether a user namespace may have a cgroup namespace and a mount of its own; tried where
    /// the tree is of version 2 only.
    pub inside: Option<ProbeResult<Result<(), String>>>,
}

impl DelegationFacts {
    /// Reads and tries.
    #[must_use]
    pub fn probe() -> Self {
        let mounts = mountinfo::read();
        let mut tree = CgroupFacts::read(&mounts);
        let mut probes = Probes::new();
        let fresh = tree.try_fresh_mount(&mut probes);
        let version_2 = matches!(tree.mode, CgroupMode::V2 | CgroupMode::None);
        let inside = version_2.then(|| try_inside(&tree, &mut probes));
        let listed = kernel::text(LIST).unwrap_or_default();
        let listed: Vec<String> = listed.split_whitespace().map(str::to_owned).collect();
        let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
        let mut results = probes.collect();
        tree.fresh = fresh.map(|ticket| results.take(ticket));
        Self {
            tree,
            files: if listed.is_empty() {
                LEAST.map(str::to_owned).to_vec()
            } else {
                listed
            },
            uid: rustix::process::geteuid().as_raw(),
            may_give: has(Capability::CAP_CHOWN) && has(Capability::CAP_DAC_OVERRIDE),
            inside: inside.map(|ticket| results.take(ticket)),
        }
    }
}

/// What dockerd's half will do: a cgroup namespace and a mount, owned by a user namespace.
fn try_inside(tree: &CgroupFacts, probes: &mut Probes) -> Ticket<Result<(), String>> {
    let options = FreshMount::of(tree).inside();
    probes.start(
        "cgroups of a user namespace",
        UnshareFlags::NEWUSER | UnshareFlags::NEWNS,
        Duration::from_secs(2),
        move || {
            ns::own_cgroup_root(&options.at(ROOT.as_ref(), OldMount::Covered))
                .map_err(|error| error.to_string())
        },
    )
}
