//! Which cgroups nested containers get, and what is done so that limits hold: theirs, and the
//! ones that were put on our own container.
//!
//! The rule behind all of it: nothing is made in a cgroup that is not ours, and nobody is moved
//! there. Where the tree at /sys/fs/cgroup is the host's, we make our own cgroup the root of a
//! namespace of our own and mount the tree anew; where that is refused, nested containers are put
//! below our own path.

pub mod delegation;
mod legacy;
pub mod refusal;
mod words;

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::dockerd::AddedFlag;
use super::step::{Action, Step};
use crate::config::{Config, Switch};
use crate::host::cgroup::mount::FreshMount;
use crate::host::cgroup::{CgroupFacts, CgroupMode, CgroupPosition, Group, LEAF, ROOT};
use crate::sys::probe::ProbeResult;
use refusal::CgroupRefusal;
use words::{limits, mebibytes};

/// The cgroup of nested containers and builds, when nobody says otherwise (moby
/// `daemon/daemon_unix.go`, `getCgroupParent`).
const NESTED: &str = "docker";

/// Who will make groups in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker<'a> {
    /// A command of the user's, which flags of ours do not reach (the `dind` persona).
    Command,
    /// dockerd, started by us, with the `cgroup-parent` that the user chose.
    Dockerd {
        /// The user's word.
        parent: Option<&'a str>,
    },
}

/// What is decided about cgroups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CgroupPlan {
    pub steps: Vec<Step>,
    /// Flags for dockerd.
    pub flags: Vec<AddedFlag>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Why no nested container can start.
    pub refusal: Option<CgroupRefusal>,
    /// What holds, in a few words.
    pub summary: String,
    /// What is kept for dockerd, where it can be measured.
    pub keep: Option<Keep>,
}

/// The two parts of our cgroup (version 2), for whom a reserve is measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Keep {
    /// Where our own limit is.
    pub whole: PathBuf,
    /// Where dockerd is, and everybody but nested containers.
    pub outside: PathBuf,
    /// Where those are.
    pub nested: PathBuf,
    /// What was asked for.
    pub bytes: u64,
}

#[must_use]
pub fn plan(config: &Config, maker: Maker<'_>, facts: &CgroupFacts) -> CgroupPlan {
    let mut plan = CgroupPlan::default();
    if config.cgroup == Switch::Skip {
        plan.summary = "cgroups left alone".into();
        return plan;
    }
    let nested = match facts.mode {
        CgroupMode::V1 | CgroupMode::Hybrid => legacy::plan(&mut plan, maker, facts),
        CgroupMode::V2 | CgroupMode::None => unified(&mut plan, maker, facts),
    };
    if let Some(reserve) = config.memory_reserve {
        plan.reserve(reserve, &nested);
    } else if nested.oom_group {
        plan.warnings.push(
            "memory.oom.group of this container's cgroup is 1 (Kubernetes 1.28 and newer): when \
             its memory limit is reached, dockerd and every nested container are killed \
             together; DIND_MEMORY_RESERVE=64M makes nested containers reach a limit of their \
             own first"
                .into(),
        );
    }
    plan
}

/// Where nested containers will be, and what bounds them.
#[derive(Debug, Default)]
struct Nested {
    /// The directory of the cgroup that holds them all, where it is ours to limit.
    dir: Option<PathBuf>,
    /// Our own memory limit.
    memory_max: Option<u64>,
    /// Whether an OOM kill at that limit takes everything.
    oom_group: bool,
    /// The file that takes a memory limit.
    limit_file: &'static str,
}

/// What can be done with the version 2 tree.
enum Tree<'a> {
    /// No container is around us.
    Machine,
    /// What is mounted is ours.
    Ours(&'a Group),
    /// It will be, after a fresh mount in a namespace of our own.
    Fresh(&'a Group),
    /// systemd divides it, and dockerd asks systemd (its default there).
    Systemd,
    /// It is the host's; what is below this path is ours.
    Below(&'a Path, &'a Group, String),
    /// Nothing in it is ours to change.
    Theirs(String),
}

fn tree(facts: &CgroupFacts) -> Tree<'_> {
    if facts.systemd && matches!(facts.position, CgroupPosition::Below(_)) {
        return Tree::Systemd;
    }
    let refused = match &facts.fresh {
        Some(ProbeResult::Known(Ok(group))) => return Tree::Fresh(group),
        Some(ProbeResult::Known(Err(why)) | ProbeResult::Unknown(why)) => {
            format!("a cgroup namespace of its own is refused: {why}")
        }
        None => "it was not tried to replace it".to_owned(),
    };
    match (&facts.position, &facts.group) {
        (CgroupPosition::Machine, _) => Tree::Machine,
        (CgroupPosition::Root | CgroupPosition::Leaf, Some(group)) if group.writable => {
            Tree::Ours(group)
        }
        (CgroupPosition::Root | CgroupPosition::Leaf, _) => {
            Tree::Theirs(format!("{ROOT} {}; {refused}", facts.unwritable()))
        }
        (CgroupPosition::Below(path), Some(group)) if group.writable => {
            Tree::Below(path, group, refused)
        }
        (CgroupPosition::Below(_), _) => {
            Tree::Theirs(format!("{ROOT} shows the host's tree; {refused}"))
        }
        (CgroupPosition::Hidden, _) if facts.mount.is_none() => {
            Tree::Theirs(format!("nothing is mounted on {ROOT}; {refused}"))
        }
        (CgroupPosition::Hidden, _) => Tree::Theirs(format!(
            "{ROOT} does not show dind-init's cgroup; {refused}"
        )),
    }
}

fn unified(plan: &mut CgroupPlan, maker: Maker<'_>, facts: &CgroupFacts) -> Nested {
    let root = Path::new(ROOT);
    match tree(facts) {
        Tree::Machine => {
            plan.summary = "cgroup v2 of the machine".into();
            Nested::default()
        }
        Tree::Systemd => {
            plan.summary = "cgroup v2, divided by systemd".into();
            Nested::default()
        }
        Tree::Ours(group) => {
            plan.summary = format!("cgroup v2{}", limits(group));
            plan.delegate(root, group);
            Nested::of(root, group, parent(maker, NESTED))
        }
        Tree::Fresh(group) => {
            plan.summary = format!("cgroup v2 in a namespace of its own{}", limits(group));
            plan.enter(root, facts);
            plan.delegate(root, group);
            Nested::of(root, group, parent(maker, NESTED))
        }
        Tree::Below(path, group, refused) => {
            plan.summary = format!("cgroup v2 of the host, below its own path{}", limits(group));
            let home = Path::new("/").join(path);
            let ours = home.join(NESTED);
            let delegated = plan.delegate(&root.join(path), group);
            plan.put_below(
                maker,
                &ours,
                &format!("{ROOT} shows the host's tree; {refused}"),
            );
            let wanted = absolute(parent(maker, &ours.to_string_lossy()));
            match (wanted.strip_prefix(&home), delegated) {
                (Ok(rest), Delegated::Yes) => {
                    Nested::of(&root.join(path), group, &rest.to_string_lossy())
                }
                _ => Nested::default(),
            }
        }
        Tree::Theirs(why) => {
            plan.summary = "cgroup v2, left alone".into();
            plan.warnings.push(format!(
                "limits will NOT hold: {why}; nested containers may not start at all, or not \
                 count against this container; docker run --privileged --cgroupns=private; \
                 Kubernetes with hostUsers: false: cgroup_writable = true of containerd 2.1"
            ));
            Nested::default()
        }
    }
}

impl Nested {
    /// The first group of the parent's path, below a group of ours, holds every nested container.
    fn of(root: &Path, group: &Group, parent: &str) -> Self {
        let delegable = group.controllers.iter().any(|name| name == "memory");
        Self {
            dir: first(parent)
                .filter(|_| delegable)
                .map(|name| root.join(name)),
            memory_max: group.memory_max,
            oom_group: group.oom_group,
            limit_file: "memory.max",
        }
    }
}

/// Whether controllers are handed down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delegated {
    Yes,
    No,
}

impl CgroupPlan {
    fn enter(&mut self, root: &Path, facts: &CgroupFacts) {
        let action = Action::EnterCgroupNamespace {
            point: root.into(),
            options: FreshMount::of(facts),
        };
        let why = match facts.position {
            CgroupPosition::Root => "the old mount is read-only",
            _ => "the old mount shows cgroups of others",
        };
        self.steps.push(Step::must(action, why));
    }

    fn delegate(&mut self, root: &Path, group: &Group) -> Delegated {
        if let Some(kind @ ("domain invalid" | "domain threaded" | "threaded")) =
            group.kind.as_deref()
        {
            self.warnings.push(format!(
                "limits of nested containers will not work: cgroup.type of {} is \"{kind}\", and \
                 only a \"domain\" can hand the memory and io controllers down; whatever wrote \
                 \"threaded\" there or above (an outer init, a --cgroup-parent) must not",
                root.display()
            ));
            return Delegated::No;
        }
        let complete = group.processes.is_empty()
            && group
                .controllers
                .iter()
                .all(|name| group.delegated.contains(name));
        if !complete {
            let action = Action::DelegateCgroup {
                root: root.into(),
                leaf: root.join(LEAF),
                controllers: group.controllers.clone(),
            };
            self.steps.push(Step::must(
                action,
                "dockerd cannot hand controllers to a cgroup beside processes",
            ));
        }
        Delegated::Yes
    }

    /// The fall-back: nested containers go below our own path of the host's tree.
    fn put_below(&mut self, maker: Maker<'_>, ours: &Path, reason: &str) {
        let home = ours.parent().unwrap_or(ours).display();
        match maker {
            Maker::Dockerd { parent: None } => {
                self.flags.push(AddedFlag {
                    name: "cgroup-parent",
                    value: ours.display().to_string(),
                    why: format!("{reason}: nested containers belong below dind-init's own path"),
                });
                self.warnings.push(format!(
                    "{reason}: nested containers go to {}, where the limits of this container \
                     hold for them; tools in nested containers see the host's names; better: \
                     docker run --cgroupns=private",
                    ours.display()
                ));
            }
            Maker::Dockerd {
                parent: Some(parent),
            } if absolute(parent).starts_with(ours.parent().unwrap_or(ours)) => {}
            Maker::Dockerd {
                parent: Some(parent),
            } => self.warnings.push(format!(
                "limits of this container will NOT hold for nested ones: {reason}, and the \
                 cgroup-parent that you chose, {parent}, is not below {home}; remove it, or \
                 docker run --cgroupns=private"
            )),
            Maker::Command => self.warnings.push(format!(
                "limits of this container will NOT hold for nested ones: {reason}; start dockerd \
                 with --cgroup-parent={}, or docker run --cgroupns=private",
                ours.display()
            )),
        }
    }

    /// DIND_MEMORY_RESERVE: nested containers together get less than we have.
    fn reserve(&mut self, reserve: u64, nested: &Nested) {
        let useless = |why: &str| format!("DIND_MEMORY_RESERVE has no effect: {why}");
        let (Some(limit), Some(dir)) = (nested.memory_max, nested.dir.as_ref()) else {
            let why = match nested.memory_max {
                None => {
                    "this container has no memory limit of its own; docker run -m, Kubernetes \
                         resources.limits.memory"
                }
                Some(_) => "the memory controller cannot be handed down here",
            };
            self.warnings.push(useless(why));
            return;
        };
        let Some(rest) = limit.checked_sub(reserve).filter(|rest| *rest > 0) else {
            self.warnings.push(useless(&format!(
                "nothing would be left of the limit of {}",
                mebibytes(limit)
            )));
            return;
        };
        if let Some(whole) = dir.parent().filter(|_| nested.limit_file == "memory.max") {
            self.keep = Some(Keep {
                whole: whole.to_owned(),
                outside: whole.join(LEAF),
                nested: dir.clone(),
                bytes: reserve,
            });
        }
        let action = Action::LimitCgroup {
            dir: dir.clone(),
            file: nested.limit_file,
            bytes: rest,
        };
        self.steps.push(Step::must(
            action,
            "DIND_MEMORY_RESERVE: nested containers run out of memory before dockerd does",
        ));
    }
}

/// The parent that the user chose, or this one.
fn parent<'a>(maker: Maker<'a>, default: &'a str) -> &'a str {
    match maker {
        Maker::Dockerd {
            parent: Some(parent),
        } if !parent.trim_matches('/').is_empty() => parent,
        _ => default,
    }
}

fn absolute(path: &str) -> PathBuf {
    Path::new("/").join(path.trim_start_matches('/'))
}

fn first(path: &str) -> Option<&str> {
    path.split('/').find(|name| !name.is_empty())
}

#[cfg(test)]
mod tests;
