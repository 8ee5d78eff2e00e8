//! The part of our cgroup that dockerd's half gets: made by the parent while it may, entered by
//! the child, who makes it the root of a cgroup namespace of its own.

use std::fs::File;
use std::io::Write as _;

use rustix::process::Pid;

use super::error::LaunchError;
use crate::apply::{self, ApplyError, cgroup};
use crate::base::explain::{Explain as _, Failure};
use crate::config::Switch;
use crate::files::kernel;
use crate::host::cgroup::delegation::DelegationFacts;
use crate::plan::cgroup::delegation::{self, Decision, Delegation};

/// What was decided, and the way in.
#[derive(Debug)]
pub struct DelegatedCgroup {
    /// The decision, for the log.
    pub decision: Decision,
    /// Where it was carried out: the way in for the child.
    pub door: Option<CgroupDescriptor>,
}

/// The part's `cgroup.procs`, open for writing. The kernel asks who opened it, not who writes
/// (`cgroup_attach_permissions`, Linux 5.16 and the stable kernels of its time): opened before
/// rights are given up, it moves one process when they are gone. The parent itself never enters.
#[derive(Debug)]
pub struct CgroupDescriptor(File);

/// Looks at the tree and decides.
#[must_use]
pub fn decide(switch: Switch, owner: (u32, u32)) -> DelegatedCgroup {
    DelegatedCgroup {
        decision: delegation::plan(switch, &DelegationFacts::probe(), owner),
        door: None,
    }
}

impl DelegatedCgroup {
    /// Carries the decision out.
    ///
    /// # Errors
    /// A step that failed, although its probe did not.
    pub fn make(self) -> Result<Self, Failure> {
        let Ok(plan) = &self.decision else {
            return Ok(self);
        };
        apply::steps(&plan.steps)?;
        let path = plan.part.join("cgroup.procs");
        let door = kernel::open_for_writing(&path);
        let door = door.map_err(|error| ApplyError::new("open", &path, error))?;
        Ok(Self {
            door: Some(CgroupDescriptor(door)),
            ..self
        })
    }
}

impl CgroupDescriptor {
    /// Lets the child in, and closes.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn admit(mut self, child: Pid) -> Result<(), LaunchError> {
        let pid = child.as_raw_nonzero().get();
        let moved = self.0.write_all(pid.to_string().as_bytes());
        moved.map_err(|error| {
            LaunchError::new("could not move dockerd's half to its cgroup", &error).with_help(
                "kernels before 5.16 ask for the rights of the one who writes, which are given \
                 up, and not of the one who opened the file",
                "update the kernel of the node, or set DIND_CGROUP=skip",
            )
        })
    }
}

/// In the child, which is in the part: makes it the root of everything that is seen here, and
/// leaves it for a leaf, so that controllers may be handed to its other children.
///
/// # Errors
/// What the kernel says, although a probe went well.
pub(super) fn enter(plan: &Delegation) -> Result<(), LaunchError> {
    cgroup::enter_namespace(&plan.point, &plan.options)
        .and_then(|()| cgroup::delegate(&plan.point, &plan.leaf, &plan.controllers))
        .map_err(|error| {
            LaunchError::new("could not set up the cgroups of dockerd's half", &error)
                .with_advice(error.explained())
        })
}
