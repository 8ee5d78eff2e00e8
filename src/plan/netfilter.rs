//! Which packet filter dockerd programs. A backend that already has rules here wins, then nft,
//! then the legacy tables; each only when it takes the rules that dockerd writes. The user's word
//! is honoured without a probe.

mod nftables;
pub mod refusal;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::dockerd::{AddedFlag, user_set};
use super::step::{Action, Step};
use crate::config::{Config, IptablesOption};
use crate::host::daemon_json::DaemonFile;
use crate::host::engine::EngineFacts;
use crate::host::netfilter::rules::FamilyProbe;
use crate::host::netfilter::tools::{Backend, LEGACY_FARM, Reach, Tools};
use crate::host::netfilter::{BackendProbe, NetfilterFacts, Question};
use crate::sys::probe::ProbeResult;
use refusal::NetfilterRefusal;

/// Names of the tools that dockerd and its helpers call.
const TOOL_NAMES: [&str; 6] = [
    "iptables",
    "iptables-save",
    "iptables-restore",
    "ip6tables",
    "ip6tables-save",
    "ip6tables-restore",
];

/// What is decided about the packet filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NetfilterPlan {
    /// Who programs it; nothing where it is not decided by us.
    pub backend: Option<Backend>,
    pub why: String,
    /// What must come first in dockerd's PATH.
    pub path: Option<PathBuf>,
    /// Flags for dockerd.
    #[serde(skip)]
    pub flags: Vec<AddedFlag>,
    /// What the user should know.
    #[serde(skip)]
    pub warnings: Vec<String>,
    /// Why dockerd certainly cannot work.
    #[serde(skip)]
    pub refusal: Option<NetfilterRefusal>,
    /// Modules and settings.
    #[serde(skip)]
    pub steps: Vec<Step>,
    /// Nothing works yet: these modules are asked for, and then it is decided again.
    pub again: Vec<String>,
}

impl NetfilterPlan {
    fn new(backend: Option<Backend>, why: impl Into<String>) -> Self {
        Self {
            backend,
            why: why.into(),
            ..Self::default()
        }
    }

    fn refused(refusal: NetfilterRefusal) -> Self {
        Self {
            why: "nothing works".into(),
            refusal: Some(refusal),
            ..Self::default()
        }
    }
}

impl fmt::Display for NetfilterPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.backend.map_or("left to dockerd", Backend::name);
        write!(f, "firewall: {name}: {}", self.why)
    }
}

/// What has to be found out before [`plan`] can decide.
#[must_use]
pub fn question(config: &Config, file: &DaemonFile) -> Question {
    if switched_off(config, file, "iptables") {
        return Question::Nothing;
    }
    if nftables::is_wanted(config, file) {
        return Question::Nftables;
    }
    match config.iptables {
        IptablesOption::Legacy | IptablesOption::Default => Question::Nothing,
        IptablesOption::Auto => Question::Iptables {
            ipv6: !switched_off(config, file, "ip6tables"),
        },
    }
}

/// Whether the user set a switch to false, by flag or file.
pub(super) fn switched_off(config: &Config, file: &DaemonFile, name: &str) -> bool {
    let by_file = || file.get(name).and_then(serde_json::Value::as_bool);
    config.daemon.switch(name).or_else(by_file) == Some(false)
}

/// Modules that are worth asking the kernel for before giving up: first those of nft, then the
/// legacy tables. Nothing when something works, when all were asked for, or when there is nothing
/// to be had.
#[must_use]
pub fn modules_to_request(facts: &NetfilterFacts) -> Vec<&'static str> {
    let fails = |backend| {
        facts
            .probe(backend)
            .is_some_and(|probe| failed(&probe.v4).is_some())
    };
    let works = |probe: &BackendProbe| failed(&probe.v4).is_none();
    if !facts.modules || facts.probes.iter().any(works) {
        return Vec::new();
    }
    let fresh = |name: &&str| !facts.requested.iter().any(|asked| asked == name);
    let backends = [Backend::Nft, Backend::Nftables, Backend::Legacy].into_iter();
    let lists = backends.filter(|backend| fails(*backend)).map(|backend| {
        let list = refusal::modules(backend).iter().copied();
        list.filter(fresh).collect::<Vec<_>>()
    });
    lists
        .into_iter()
        .find(|list| !list.is_empty())
        .unwrap_or_default()
}

/// Decides. Links to programs are made in `private_dir`.
#[must_use]
pub fn plan(
    config: &Config,
    file: &DaemonFile,
    facts: &NetfilterFacts,
    engine: &EngineFacts,
    private_dir: &Path,
) -> NetfilterPlan {
    let mut plan = match question(config, file) {
        Question::Nothing if switched_off(config, file, "iptables") => {
            return NetfilterPlan::new(None, "iptables=false says so, nothing was tried");
        }
        Question::Nothing => forced(config, facts, private_dir),
        _ if !modules_to_request(facts).is_empty() => look_again(facts),
        Question::Nftables => nftables::plan(config, file, facts, engine),
        Question::Iptables { .. } => iptables(facts, private_dir),
    };
    ipv6(config, file, facts, &mut plan);
    raw(config, facts, engine, &mut plan);
    sysctls(config, file, facts, &mut plan);
    plan
}

/// No backend works, but there are modules to ask for first. Bounded: each is asked for once.
fn look_again(facts: &NetfilterFacts) -> NetfilterPlan {
    let names: Vec<_> = modules_to_request(facts)
        .into_iter()
        .map(str::to_owned)
        .collect();
    let why = "nothing works yet: modules are asked for, then it is tried again";
    let action = Action::LoadModules {
        names: names.clone(),
    };
    NetfilterPlan {
        steps: vec![Step::must(action, why)],
        again: names,
        ..NetfilterPlan::new(None, why)
    }
}

/// DOCKER_IPTABLES_LEGACY is set.
fn forced(config: &Config, facts: &NetfilterFacts, private_dir: &Path) -> NetfilterPlan {
    let (backend, modules) = match config.iptables {
        IptablesOption::Legacy => (Backend::Legacy, &["ip_tables", "ip6_tables"][..]),
        IptablesOption::Default | IptablesOption::Auto => (Backend::Nft, &["nf_tables"][..]),
    };
    let why = match backend {
        Backend::Legacy => "DOCKER_IPTABLES_LEGACY says so",
        _ => "DOCKER_IPTABLES_LEGACY is set to nothing",
    };
    let mut plan = NetfilterPlan::new(Some(backend), why);
    match (facts.tools(backend), backend) {
        (Some(tools), _) => reach(&mut plan, tools, private_dir),
        // To the letter: the directory comes first, whether it is there or not.
        (None, Backend::Legacy) => {
            plan.path = Some(LEGACY_FARM.into());
            let line = format!("{why}, but there is no iptables-legacy in PATH nor {LEGACY_FARM}");
            plan.warnings.push(line);
        }
        (None, _) => {}
    }
    if facts.modules {
        let names = modules.iter().map(|name| (*name).to_owned()).collect();
        // Warn: the module may be built in, or loaded already.
        plan.steps
            .push(Step::may(Action::LoadModules { names }, why));
    }
    plan
}

fn iptables(facts: &NetfilterFacts, private_dir: &Path) -> NetfilterPlan {
    if facts.tools.is_empty() {
        return NetfilterPlan::refused(NetfilterRefusal::NoTools {
            program: "iptables",
        });
    }
    let (preferred, because) = preference(facts);
    let order = match preferred {
        Backend::Legacy => [Backend::Legacy, Backend::Nft],
        Backend::Nft | Backend::Nftables => [Backend::Nft, Backend::Legacy],
    };
    let candidates = order
        .into_iter()
        .filter_map(|backend| Some((facts.tools(backend)?, facts.probe(backend))));
    let mut failures = Vec::new();
    for (tools, probe) in candidates {
        let backend = tools.backend;
        let Some(probe) = probe else { continue };
        let mut plan = match &probe.v4 {
            ProbeResult::Known(known) if known.works() => {
                let why = match (because, failures.last()) {
                    (Some(because), None) => because.to_owned(),
                    (_, Some(_)) => format!("{} does not work here", order[0].name()),
                    (None, None) => "it takes all rules that dockerd writes".to_owned(),
                };
                NetfilterPlan::new(Some(backend), why)
            }
            ProbeResult::Known(known) => {
                failures.push((backend, known.clone()));
                continue;
            }
            ProbeResult::Unknown(why) => {
                let mut plan = NetfilterPlan::new(Some(backend), "it could not be tried");
                let name = backend.name();
                plan.warnings
                    .push(format!("whether {name} works is not known: {why}"));
                plan
            }
        };
        if let (Some(because), Some((failed, _))) = (because, failures.last()) {
            plan.warnings.push(format!(
                "{because}, but it does not take dockerd's rules: {} is used beside {}, and \
                 packets may be lost between the two",
                backend.name(),
                failed.name()
            ));
        }
        reach(&mut plan, tools, private_dir);
        return plan;
    }
    NetfilterPlan::refused(NetfilterRefusal::NothingWorks {
        failures,
        modules: facts.modules,
    })
}

/// The backend that comes first, and why it is not simply the newer one.
fn preference(facts: &NetfilterFacts) -> (Backend, Option<&'static str>) {
    let existing = &facts.existing;
    let nft = existing.nft_rules.unwrap_or(0);
    if existing.legacy_tables.is_empty() {
        let because = (nft > 0).then_some("nft has rules in this network namespace");
        return (Backend::Nft, because);
    }
    if nft > 0 && nft >= existing.legacy_rules.unwrap_or(0) {
        return (
            Backend::Nft,
            Some("nft has the most rules in this network namespace"),
        );
    }
    (
        Backend::Legacy,
        Some("iptables-legacy has tables in this network namespace"),
    )
}

/// Makes dockerd find these tools when it looks for `iptables`.
fn reach(plan: &mut NetfilterPlan, tools: &Tools, private_dir: &Path) {
    match &tools.reach {
        Reach::Path => {}
        Reach::Directory(dir) => plan.path = Some(dir.clone()),
        Reach::Links => {
            let dir = private_dir.join(tools.backend.name());
            let action = Action::LinkTools {
                dir: dir.clone(),
                links: links(tools),
            };
            plan.steps.push(Step::must(
                action,
                "dockerd looks for the name iptables in PATH",
            ));
            plan.path = Some(dir);
        }
    }
}

/// Each name with its program: `iptables-restore` → `/usr/sbin/iptables-legacy-restore`.
fn links(tools: &Tools) -> Vec<(String, PathBuf)> {
    let target = |name: &str| {
        let (family, program) = match name.starts_with("ip6") {
            true => ("ip6tables", tools.ip6tables.as_ref()?),
            false => ("iptables", &tools.iptables),
        };
        let suffix = name.strip_prefix(family)?;
        let mut target = program.clone().into_os_string();
        target.push(suffix);
        Some((name.to_owned(), target.into()))
    };
    TOOL_NAMES.iter().filter_map(|name| target(name)).collect()
}

/// IPv6 rules are left out where there is no IPv6 or no backend for it.
fn ipv6(config: &Config, file: &DaemonFile, facts: &NetfilterFacts, plan: &mut NetfilterPlan) {
    let Some(backend) = plan.backend else { return };
    let because = match facts.probe(backend).map(|probe| &probe.v6) {
        _ if !facts.ipv6 => "the kernel has no IPv6".to_owned(),
        // Nothing was tried, or IPv6 is no business of the tools.
        None => return,
        Some(_) if backend == Backend::Nftables => return,
        Some(None) => "there is no ip6tables in PATH".to_owned(),
        Some(Some(ProbeResult::Unknown(why))) => {
            plan.warnings
                .push(format!("whether ip6tables works is not known: {why}"));
            return;
        }
        Some(Some(ProbeResult::Known(probe))) if probe.works() => return,
        Some(Some(ProbeResult::Known(probe))) => format!("ip6tables: {}", refusal::said(probe)),
    };
    if user_set(config, file, "ip6tables", &[]) {
        if !switched_off(config, file, "ip6tables") {
            plan.warnings
                .push(format!("ip6tables is asked for, but {because}"));
        }
        return;
    }
    plan.flags.push(AddedFlag {
        name: "ip6tables",
        value: "false".into(),
        why: because,
    });
}

/// Engines from 28 on protect published ports with the table `raw`.
fn raw(config: &Config, facts: &NetfilterFacts, engine: &EngineFacts, plan: &mut NetfilterPlan) {
    let uses_raw = engine.major().is_none_or(|major| major >= 28);
    let probe = plan.backend.and_then(|backend| facts.probe(backend));
    let said = probe.and_then(|probe| probe.v4.known()?.no_raw.as_ref());
    let accepted = config
        .env
        .non_empty("DOCKER_INSECURE_NO_IPTABLES_RAW")
        .is_some();
    if let Some(said) = said.filter(|_| uses_raw && !accepted) {
        plan.warnings.push(format!(
            "iptables has no table raw here ({said}): containers with published ports will not \
             start; load iptable_raw on the node (CONFIG_IP_NF_RAW), or set \
             DOCKER_INSECURE_NO_IPTABLES_RAW=1, which lets neighbours on the network reach ports \
             that are published on 127.0.0.1 only"
        ));
    }
}

fn sysctls(config: &Config, file: &DaemonFile, facts: &NetfilterFacts, plan: &mut NetfilterPlan) {
    let needs_bridge_calls =
        switched_off(config, file, "icc") || switched_off(config, file, "userland-proxy");
    if needs_bridge_calls && facts.bridge_calls.is_none() && facts.modules {
        let names = vec!["br_netfilter".to_owned()];
        // Warn: dockerd tries itself, too, and says what does not work without it.
        let why = "icc=false and userland-proxy=false filter packets between ports of a bridge";
        plan.steps
            .push(Step::may(Action::LoadModules { names }, why));
    }
}

/// What does not work, if a probe says that something does not.
fn failed(tried: &ProbeResult<FamilyProbe>) -> Option<&FamilyProbe> {
    tried.known().filter(|probe| !probe.works())
}

#[cfg(test)]
mod tests;
