//! Version 1: every hierarchy nests by itself. Only where the mounts show the host's tree, or
//! cannot be written, is there something to do.

use std::path::{Path, PathBuf};

use super::refusal::CgroupRefusal;
use super::{CgroupPlan, Maker, NESTED, Nested, first, parent};
use crate::base::explain::Explain;
use crate::host::cgroup::legacy::Hierarchy;
use crate::host::cgroup::{CgroupFacts, CgroupMode};
use crate::plan::step::{Action, Step};
use crate::sys::probe::ProbeResult;

pub(super) fn plan(plan: &mut CgroupPlan, maker: Maker<'_>, facts: &CgroupFacts) -> Nested {
    plan.summary = match facts.mode {
        CgroupMode::Hybrid => "cgroup v1 (hybrid)".into(),
        _ => "cgroup v1".into(),
    };
    let mounted: Vec<&Hierarchy> = facts
        .legacy
        .iter()
        .filter(|h| h.point.is_some() && h.controllers.iter().all(|name| !name.contains('=')))
        .collect();
    plan.make_writable(maker, facts);
    let foreign = mounted
        .iter()
        .filter(|h| h.within.is_some() && !h.writable && !h.is_read_only());
    let foreign: Vec<String> = foreign.map(|h| h.controllers.join(",")).collect();
    if !foreign.is_empty() {
        plan.warnings.push(format!(
            "limits will NOT hold: these cgroup hierarchies cannot be written, since they belong \
             to another user: {}; version 1 is never handed to a user namespace: docker run \
             --privileged --userns=host",
            foreign.join(" ")
        ));
    }
    let mut places: Vec<&Path> = mounted.iter().filter_map(|h| h.within.as_deref()).collect();
    places.sort_unstable();
    places.dedup();
    let memory = mounted.iter().find(|h| h.memory_limit.is_some());
    let nested = |parent: &Path| Nested {
        dir: memory.and_then(|h| Some(h.point.as_ref()?.join(parent))),
        memory_max: memory.and_then(|h| h.memory_limit),
        oom_group: false,
        limit_file: "memory.limit_in_bytes",
    };
    match places.as_slice() {
        [] => Nested::default(),
        [only] if only.as_os_str().is_empty() => {
            nested(Path::new(first(parent(maker, NESTED)).unwrap_or(NESTED)))
        }
        [only] => {
            let ours = Path::new("/").join(only).join(NESTED);
            plan.put_below(maker, &ours, "the cgroup mounts show the host's trees");
            match maker {
                Maker::Dockerd { parent: None } => nested(&only.join(NESTED)),
                _ => Nested::default(),
            }
        }
        _ => {
            let away = mounted
                .iter()
                .filter(|h| h.within.as_ref() != Some(&PathBuf::new()));
            let away: Vec<String> = away.map(|h| h.controllers.join(",")).collect();
            plan.warnings.push(format!(
                "limits of this container may not hold for nested ones: the mounts of these \
                 cgroup hierarchies show more than this container's part: {}",
                away.join(" ")
            ));
            Nested::default()
        }
    }
}

impl CgroupPlan {
    /// Hierarchies of version 1 that a `:ro` volume shows: without a group in each of them, those
    /// without controllers as well, no nested container starts.
    fn make_writable(&mut self, maker: Maker<'_>, facts: &CgroupFacts) {
        let read_only: Vec<&Hierarchy> = facts
            .legacy
            .iter()
            .filter(|hierarchy| hierarchy.is_read_only())
            .collect();
        if read_only.is_empty() {
            return;
        }
        let why = match &facts.rewritten {
            Some(ProbeResult::Known(Ok(()))) => {
                for hierarchy in read_only {
                    let Some(path) = &hierarchy.point else {
                        continue;
                    };
                    let action = Action::RemountWritable {
                        path: path.clone(),
                        options: hierarchy.options.split(',').map(str::to_owned).collect(),
                    };
                    let why = "mounted :ro, and nested containers need groups in it";
                    self.steps.push(Step::must(action, why));
                }
                return;
            }
            Some(ProbeResult::Known(Err(why)) | ProbeResult::Unknown(why)) => why.clone(),
            None => "it was not tried".to_owned(),
        };
        let names = read_only.iter().map(|h| h.controllers.join(","));
        let refusal = CgroupRefusal::ReadOnly {
            hierarchies: names.collect::<Vec<_>>().join(" "),
            why,
        };
        match maker {
            Maker::Dockerd { .. } => self.refusal = Some(refusal),
            Maker::Command => self.warnings.push(format!(
                "no nested container will start: {refusal}; {}",
                refusal.fix()
            )),
        }
    }
}
