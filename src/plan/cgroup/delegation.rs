//! The part of our cgroup that a rootless dockerd gets. Without systemd dockerd's driver is "none"
//! (`cgroupDriver` in moby's daemon_unix.go), which takes limits out of what it hands to runc; runc
//! makes a group for each container all the same, where it may. There `docker update` sets limits,
//! and so does whoever is root inside (seen with 28.5).
//!
//! Who may divide a cgroup may not change its limits: those of the part stay ours, and those of
//! the container around it are further up.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::words::limits;
use super::{CgroupPlan, Delegated, NESTED, Tree, tree};
use crate::config::Switch;
use crate::host::cgroup::delegation::DelegationFacts;
use crate::host::cgroup::mount::FreshMount;
use crate::host::cgroup::{CgroupMode, Group, LEAF, ROOT};
use crate::plan::step::{Action, Step};
use crate::sys::probe::ProbeResult;

/// A part that is handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delegation {
    /// What is done outside, before any right is given up.
    pub steps: Vec<Step>,
    /// The part, as it is seen outside: dockerd's half is put there before it begins.
    pub part: PathBuf,
    /// Where dockerd's half mounts it.
    pub point: PathBuf,
    pub options: FreshMount,
    /// Where dockerd's half goes, so that the part may be divided.
    pub leaf: PathBuf,
    /// What it hands down.
    pub controllers: Vec<String>,
    /// What bounds it all, in words.
    pub bounds: String,
}

/// Why nothing is handed over, and what would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotDelegated {
    /// The reason, with its remedy.
    pub why: String,
}

pub type Decision = Result<Delegation, NotDelegated>;

/// Decides. The new owner is the one that is root inside.
///
/// # Errors
/// The reason, for the log: dockerd works without.
pub fn plan(switch: Switch, facts: &DelegationFacts, (uid, gid): (u32, u32)) -> Decision {
    if switch == Switch::Skip {
        return Err(NotDelegated::new("DIND_CGROUP=skip leaves the tree alone"));
    }
    if matches!(facts.tree.mode, CgroupMode::V1 | CgroupMode::Hybrid) {
        return Err(NotDelegated::new(
            "version 1 of cgroups cannot be handed to a user; boot the node with version 2 \
             (systemd.unified_cgroup_hierarchy=1)",
        ));
    }
    let root = Path::new(ROOT);
    let mut plan = CgroupPlan::default();
    let (home, group) = match tree(&facts.tree) {
        Tree::Machine => {
            return Err(NotDelegated::new(
                "no container is around dind-init, and the machine's cgroups are not its to divide; \
                 start it in a container, or as a service with a cgroup namespace of its own",
            ));
        }
        Tree::Systemd => {
            return Err(NotDelegated::new(
                "systemd divides the cgroups here; give dockerd a user session and \
                 --exec-opt native.cgroupdriver=systemd",
            ));
        }
        Tree::Theirs(why) if facts.uid == 0 => {
            return Err(NotDelegated::new(format!(
                "{why}; docker run --privileged --cgroupns=private; Kubernetes with hostUsers: \
                 false: cgroup_writable = true of containerd 2.1"
            )));
        }
        Tree::Theirs(_) => {
            return Err(NotDelegated::new(format!(
                "user {uid} may not write to {ROOT}; start as root, who hands a part of it over: \
                 docker run --user 0 --env DIND_ROOTLESS=1 --privileged --cgroupns=private",
            )));
        }
        Tree::Ours(group) => (root.to_owned(), group),
        Tree::Fresh(group) => {
            plan.enter(root, &facts.tree);
            (root.to_owned(), group)
        }
        Tree::Below(path, group, _) => (root.join(path), group),
    };
    if let Some(why) = obstacle(facts, group) {
        return Err(NotDelegated { why });
    }
    if plan.delegate(&home, group) == Delegated::No {
        return Err(NotDelegated {
            why: plan.warnings.concat(),
        });
    }
    let part = home.join(NESTED);
    let action = Action::HandOverCgroup {
        dir: part.clone(),
        files: facts.files.clone(),
        uid,
        gid,
    };
    plan.steps
        .push(Step::must(action, "root inside may set limits there"));
    Ok(Delegation {
        steps: plan.steps,
        part,
        point: root.into(),
        options: FreshMount::of(&facts.tree).inside(),
        leaf: root.join(LEAF),
        controllers: group.controllers.clone(),
        bounds: limits(group),
    })
}

/// What makes a part of a tree that is ours useless or impossible to give.
fn obstacle(facts: &DelegationFacts, group: &Group) -> Option<String> {
    if group.controllers.is_empty() {
        return Some(
            "no controller is handed to the cgroup of this container; enable them above it \
             (cgroup.subtree_control)"
                .into(),
        );
    }
    if facts.uid == 0 && !facts.may_give {
        return Some(
            "giving a cgroup away needs capabilities; --cap-add CHOWN --cap-add DAC_OVERRIDE"
                .into(),
        );
    }
    let why = match &facts.inside {
        Some(ProbeResult::Known(Ok(()))) => return None,
        Some(ProbeResult::Known(Err(why)) | ProbeResult::Unknown(why)) => why.as_str(),
        None => "it was not tried",
    };
    Some(format!(
        "a cgroup namespace within a user namespace is refused: {why}; --security-opt \
         seccomp=unconfined --security-opt apparmor=unconfined, and on the node: sysctl -w \
         user.max_cgroup_namespaces=28633"
    ))
}

impl NotDelegated {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into() }
    }
}

/// The one line about it.
#[must_use]
pub fn line(decision: &Decision) -> String {
    match decision {
        Ok(part) => format!(
            "rootless with cgroups below {}{}: limits of docker run have no effect there, those of \
             docker update and of root inside have",
            part.part.display(),
            part.bounds
        ),
        Err(kept) => format!(
            "rootless without limits for nested containers: {}",
            kept.why
        ),
    }
}

#[cfg(test)]
mod tests;
