//! Limits of dockerd and of the node, best effort: each failure is only said.

use super::step::{Action, Resource, Step};
use crate::config::{Config, Switch};
use crate::host::limits::{Limit, LimitFacts};
use crate::host::process::ProcessFacts;

/// What dockerd's own unit file asks for. Nested containers get a score of their own from runc, 0
/// by default: without this, in a pod that Kubernetes gave a score of several hundred, dockerd
/// would be the first victim of every nested container that eats memory.
const OOM_SCORE: i32 = -500;

/// The hard limit of open files that distributions' containers have; more costs programs that
/// close every possible descriptor seconds (P10).
const OPEN_FILES: u64 = 1_048_576;

/// What kind's documentation asks for, and each nested cluster needs.
const INOTIFY: [(&str, u64); 2] = [
    ("fs.inotify.max_user_instances", 512),
    ("fs.inotify.max_user_watches", 524_288),
];

/// The score that our own command keeps: what was given to this container, where a step changes
/// it for us and dockerd.
#[must_use]
pub fn given_oom_score(steps: &[Step], limits: &LimitFacts) -> Option<OomScores> {
    let ours = steps.iter().find_map(|step| match step.action {
        Action::OomScore { value } => Some(value),
        _ => None,
    })?;
    let given = limits.oom_score_adj?;
    Some(OomScores { given, ours })
}

/// Two scores for the OOM killer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OomScores {
    /// What we were started with.
    pub given: i32,
    /// What we have from the plan on.
    pub ours: i32,
}

/// Decides for a dockerd that we start.
#[must_use]
pub fn plan(
    config: &Config,
    process: &ProcessFacts,
    limits: &LimitFacts,
    warnings: &mut Vec<String>,
) -> Vec<Step> {
    // Only root of the initial user namespace may go beyond what was inherited.
    let may_raise = process.full_id_map && process.may("CAP_SYS_RESOURCE");
    let mut steps = Vec::new();
    if may_raise && limits.oom_score_adj.is_some_and(|score| score > OOM_SCORE) {
        // Warn: the kernel then chooses among dockerd and nested containers by size alone.
        steps.push(Step::may(
            Action::OomScore { value: OOM_SCORE },
            "nested containers are to be killed before dockerd",
        ));
    }
    // The soft limit stays: Go programs raise their own, and give their children the old one, so
    // that nested containers keep what they have with the official image.
    if may_raise && below(limits.open_files.hard, OPEN_FILES) {
        let action = Action::RaiseLimit {
            resource: Resource::OpenFiles,
            limit: Limit {
                soft: limits.open_files.soft,
                hard: Some(OPEN_FILES),
            },
        };
        // Warn: dockerd says when it runs out of files.
        steps.push(Step::may(
            action,
            "dockerd needs several for each container",
        ));
    }
    if limits.processes.soft != limits.processes.hard {
        let action = Action::RaiseLimit {
            resource: Resource::Processes,
            limit: Limit {
                soft: limits.processes.hard,
                hard: limits.processes.hard,
            },
        };
        // Warn: as above.
        steps.push(Step::may(
            action,
            "it counts those of nested containers too",
        ));
    }
    steps.extend(inotify(config, limits, warnings));
    steps
}

fn below(limit: Option<u64>, wanted: u64) -> bool {
    limit.is_some_and(|limit| limit < wanted)
}

/// The node's inotify limits: raised where we may, else the command for the node is told.
fn inotify(config: &Config, limits: &LimitFacts, warnings: &mut Vec<String>) -> Vec<Step> {
    if config.sysctl == Switch::Skip {
        return Vec::new();
    }
    let mut steps = Vec::new();
    let (mut have, mut command) = (Vec::new(), Vec::new());
    for setting in &limits.inotify {
        let wanted = INOTIFY.iter().find(|(name, _)| *name == setting.name);
        let Some((_, wanted)) = wanted.filter(|(_, wanted)| setting.value < *wanted) else {
            continue;
        };
        if setting.writable {
            let action = Action::NodeSetting {
                name: setting.name.clone(),
                value: *wanted,
            };
            let why = format!(
                "{} for the whole node is too few for a nested cluster (DIND_SYSCTL=skip leaves it)",
                setting.value
            );
            // Warn: most nested work needs no more than there is.
            steps.push(Step::may(action, why));
        } else {
            have.push(format!("{} is {}", setting.name, setting.value));
            command.push(format!("{}={wanted}", setting.name));
        }
    }
    if !have.is_empty() {
        warnings.push(format!(
            "nested clusters (kind, k3d) may fail with \"too many open files\": {}; run on the \
             node: sysctl -w {}",
            have.join(", "),
            command.join(" ")
        ));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::limits::NodeSetting;
    use crate::host::process::Seccomp;
    use crate::host::said;
    use crate::plan::step::OnFailure;

    fn config(env: &[(&str, &str)]) -> Config {
        said::config(&[], env)
    }

    fn process(capability: &str) -> ProcessFacts {
        ProcessFacts {
            uid: 0,
            effective: vec![capability.into()],
            bounding: Vec::new(),
            no_new_privs: false,
            full_id_map: true,
            seccomp: Seccomp::Disabled,
        }
    }

    fn limit(soft: u64, hard: u64) -> Limit {
        Limit {
            soft: Some(soft),
            hard: Some(hard),
        }
    }

    fn facts(inotify: &[(&str, u64, bool)]) -> LimitFacts {
        LimitFacts {
            open_files: limit(1024, 4096),
            processes: limit(1000, 2000),
            oom_score_adj: Some(900),
            inotify: inotify
                .iter()
                .map(|(name, value, writable)| NodeSetting {
                    name: format!("fs.inotify.max_user_{name}"),
                    value: *value,
                    writable: *writable,
                })
                .collect(),
        }
    }

    fn text(steps: &[Step]) -> String {
        let lines: Vec<_> = steps.iter().map(|step| step.action.to_string()).collect();
        lines.join("\n")
    }

    #[test]
    fn limits_go_as_far_as_we_may() {
        let modest = LimitFacts {
            open_files: limit(1024, 1 << 20),
            processes: Limit {
                soft: None,
                hard: None,
            },
            oom_score_adj: Some(-997),
            ..facts(&[])
        };
        for (capability, facts, expected) in [
            (
                "CAP_SYS_RESOURCE",
                facts(&[]),
                "limit  oom_score_adj -500\n\
                 limit  open files 1024:1048576\n\
                 limit  processes 2000:2000",
            ),
            ("CAP_KILL", facts(&[]), "limit  processes 2000:2000"),
            ("CAP_SYS_RESOURCE", modest, ""),
        ] {
            let mut warnings = Vec::new();
            let steps = plan(&config(&[]), &process(capability), &facts, &mut warnings);
            assert_eq!(text(&steps), expected, "{capability}");
            assert!(warnings.is_empty());
            assert!(steps.iter().all(|step| step.on_failure == OnFailure::Warn));
        }
    }

    #[test]
    fn a_command_of_the_users_keeps_the_score_that_it_was_given() {
        let steps = |capability| {
            let facts = facts(&[]);
            let steps = plan(&config(&[]), &process(capability), &facts, &mut Vec::new());
            given_oom_score(&steps, &facts)
        };
        let scores = OomScores {
            given: 900,
            ours: -500,
        };
        assert_eq!(steps("CAP_SYS_RESOURCE"), Some(scores));
        assert_eq!(steps("CAP_KILL"), None, "it was not changed");
    }

    #[test]
    fn inotify_is_raised_or_the_command_for_the_node_is_told() {
        let few = |writable| facts(&[("instances", 128, writable), ("watches", 1 << 20, writable)]);
        let sysctls = |env: &[(&str, &str)], facts: &LimitFacts| {
            let mut warnings = Vec::new();
            let steps = inotify(&config(env), facts, &mut warnings);
            (text(&steps), warnings.join("\n"))
        };
        assert_eq!(
            sysctls(&[], &few(true)),
            (
                "sysctl fs.inotify.max_user_instances=512".into(),
                String::new()
            )
        );
        let (steps, warning) = sysctls(&[], &few(false));
        assert_eq!(steps, "");
        assert!(warning.ends_with("sysctl -w fs.inotify.max_user_instances=512"));
        for facts in [few(true), few(false)] {
            let nothing = (String::new(), String::new());
            assert_eq!(sysctls(&[("DIND_SYSCTL", "skip")], &facts), nothing);
        }
    }
}
