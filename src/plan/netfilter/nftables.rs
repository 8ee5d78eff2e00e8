//! The backend that engine 29 brought. Not run with an engine 29: none was to be had.

use super::refusal::NetfilterRefusal;
use super::{NetfilterPlan, switched_off};
use crate::config::{Config, FirewallOption};
use crate::host::daemon_json::DaemonFile;
use crate::host::engine::{EngineFacts, Generation};
use crate::host::netfilter::NetfilterFacts;
use crate::host::netfilter::tools::Backend;
use crate::plan::dockerd::{AddedFlag, user_text};
use crate::plan::step::{Action, Step};
use crate::sys::probe::ProbeResult;

/// Whether engine 29's own backend is asked for: dockerd's words win over ours.
pub(super) fn is_wanted(config: &Config, file: &DaemonFile) -> bool {
    match dockerds_firewall(config, file) {
        Some(name) => name == "nftables",
        None => config.firewall == FirewallOption::Nftables,
    }
}

fn dockerds_firewall<'a>(config: &'a Config, file: &'a DaemonFile) -> Option<&'a str> {
    user_text(config, file, "firewall-backend").filter(|name| !name.is_empty())
}

pub(super) fn plan(
    config: &Config,
    file: &DaemonFile,
    facts: &NetfilterFacts,
    engine: &EngineFacts,
) -> NetfilterPlan {
    let asked_for = match dockerds_firewall(config, file) {
        Some(_) => "firewall-backend=nftables says so",
        None => "DIND_FIREWALL=nftables says so",
    };
    if engine.generation == Generation::Before29 {
        return NetfilterPlan::refused(NetfilterRefusal::EngineTooOld {
            version: engine.version.clone(),
        });
    }
    let backend = Backend::Nftables;
    let mut plan = NetfilterPlan::new(Some(backend), asked_for);
    match facts.probe(backend).map(|probe| &probe.v4) {
        None => return NetfilterPlan::refused(NetfilterRefusal::NoTools { program: "nft" }),
        Some(ProbeResult::Known(probe)) if probe.works() => {}
        Some(ProbeResult::Known(probe)) => {
            return NetfilterPlan::refused(NetfilterRefusal::NothingWorks {
                failures: vec![(backend, probe.clone())],
                modules: facts.modules,
            });
        }
        Some(ProbeResult::Unknown(why)) => {
            plan.warnings
                .push(format!("whether nftables works is not known: {why}"));
        }
    }
    if dockerds_firewall(config, file).is_none() {
        plan.flags.push(AddedFlag {
            name: "firewall-backend",
            value: "nftables".into(),
            why: asked_for.into(),
        });
    }
    if !facts.forwarding && !switched_off(config, file, "ip-forward") {
        let action = Action::WriteSetting {
            path: "/proc/sys/net/ipv4/ip_forward".into(),
            value: "1".into(),
        };
        // Warn: dockerd says itself which network needs it.
        plan.steps.push(Step::may(
            action,
            "the nftables backend never turns forwarding on",
        ));
    }
    if !facts.existing.legacy_tables.is_empty() {
        plan.warnings.push(
            "iptables-legacy has tables in this network namespace: a policy DROP of its FORWARD \
             chain also stops what nftables accepts"
                .into(),
        );
    }
    plan
}
