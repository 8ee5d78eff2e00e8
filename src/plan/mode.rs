//! Everything in which a rootful and a rootless dockerd differ once their facts are known. The rest
//! of the plan asks here, and nowhere else.

use std::borrow::Cow;
use std::path::Path;

use super::cgroup::Maker;
use super::dockerd::{AddedFlag, user_text};
use super::host::{SetUp, set_up};
use super::host_refusal::HostRefusal;
use super::limits::{self, OomScores};
use super::netfilter;
use super::rootless::refusal::RootlessRefusal;
use super::rootless::{RootlessPlan, without_effect};
use super::step::Step;
use crate::base::environment::Environment;
use crate::config::{Config, IptablesOption, SocketHolder};
use crate::host::Facts;
use crate::host::daemon_json::DaemonFile;
use crate::host::netfilter::Question;
use crate::host::netfilter::tools::LEGACY_FARM;
use crate::host::uplink::UplinkFacts;

/// As whom dockerd runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModePlan {
    /// As root of the container.
    Rootful,
    /// In namespaces of an ordinary user's.
    Rootless(Box<RootlessPlan>),
}

/// The container and the limits, as this dockerd needs them.
pub(super) struct Surroundings<'a> {
    pub(super) set_up: SetUp,
    pub(super) limits: Vec<Step>,
    pub(super) oom_scores: Option<OomScores>,
    /// The network that dockerd sees.
    pub(super) uplink: Cow<'a, UplinkFacts>,
    pub(super) warnings: Vec<String>,
}

impl ModePlan {
    #[must_use]
    pub fn rootless(&self) -> Option<&RootlessPlan> {
        match self {
            Self::Rootful => None,
            Self::Rootless(plan) => Some(plan),
        }
    }

    /// Every certain failure ahead that is this mode's own, worst first.
    pub(super) fn refusals(
        &self,
        config: &Config,
        file: &DaemonFile,
        facts: &Facts,
    ) -> Vec<HostRefusal> {
        match self {
            Self::Rootful => not_privileged(config, file, facts).into_iter().collect(),
            Self::Rootless(plan) => {
                let refusals = plan.refusals.iter().cloned();
                let refusals = refusals.chain(foreign_data_root(facts, plan));
                refusals.map(HostRefusal::Rootless).collect()
            }
        }
    }

    /// Mode of the program's own directory: others may reach the status socket of a rootful
    /// daemon in it, and nothing else.
    pub(super) fn private_dir_mode(&self) -> u32 {
        match self {
            Self::Rootful => 0o711,
            Self::Rootless(_) => 0o700,
        }
    }

    /// The dind script has no part in rootless mode.
    pub(super) fn surroundings<'a>(
        &self,
        config: &Config,
        file: &DaemonFile,
        facts: &'a Facts,
    ) -> Surroundings<'a> {
        let mut warnings = Vec::new();
        let Self::Rootless(plan) = self else {
            let maker = match (user_text(config, file, "cgroup-parent"), config.holder) {
                // Exactly the official arguments were asked for.
                (None, SocketHolder::Dockerd) => Maker::Command,
                (parent, _) => Maker::Dockerd { parent },
            };
            let set_up = set_up(config, maker, facts);
            warnings.extend(set_up.warnings.iter().cloned());
            let limits = limits::plan(config, &facts.process, &facts.limits, &mut warnings);
            return Surroundings {
                set_up,
                oom_scores: limits::given_oom_score(&limits, &facts.limits),
                limits,
                uplink: Cow::Borrowed(&facts.uplink),
                warnings,
            };
        };
        warnings.extend(plan.warnings.iter().cloned());
        warnings.extend(without_effect(config));
        warnings.extend(publishes_nothing(config, file, facts.engine.major()));
        Surroundings {
            set_up: SetUp::default(),
            limits: Vec::new(),
            oom_scores: None,
            uplink: Cow::Owned(plan.net.inside(&facts.uplink)),
            warnings,
        }
    }

    /// Flags of dockerd's.
    pub(super) fn flags(&self) -> Vec<AddedFlag> {
        self.rootless().map(RootlessPlan::flags).unwrap_or_default()
    }

    /// What comes first in PATH where no packet filter was tried: in its namespaces, dockerd is the
    /// first to look at one.
    pub(super) fn untried_tools(&self, config: &Config) -> Option<&'static Path> {
        match (self, config.iptables) {
            (Self::Rootless(_), IptablesOption::Legacy) => Some(Path::new(LEGACY_FARM)),
            _ => None,
        }
    }

    /// dockerd's environment.
    pub(super) fn environment(&self, env: Environment) -> Environment {
        match self {
            // As the dind script does, for AppArmor.
            Self::Rootful => env.with("container", "docker"),
            Self::Rootless(plan) => plan.environment(env),
        }
    }
}

fn not_privileged(config: &Config, file: &DaemonFile, facts: &Facts) -> Option<HostRefusal> {
    let filters = netfilter::question(config, file) != Question::Nothing;
    let needed = ["CAP_SYS_ADMIN"]
        .into_iter()
        .chain(filters.then_some("CAP_NET_ADMIN"));
    let mut missing = needed.filter(|name| !facts.process.may(name));
    let missing = missing.next()?;
    Some(HostRefusal::NotPrivileged { missing })
}

/// dockerd changes the mode of its data root, which only root of its namespaces may whose id the
/// owner's is one of.
fn foreign_data_root(facts: &Facts, rootless: &RootlessPlan) -> Option<RootlessRefusal> {
    let storage = facts.storage.as_ref()?;
    let owner = storage.data_root_uid?;
    (!rootless.maps.has_uid(owner)).then(|| RootlessRefusal::NotOwner {
        path: storage.data_root.clone(),
        owner,
        uid: rootless.ids.0,
    })
}

/// A rootless dockerd before 28 publishes by the program that it starts as docker-proxy, and is
/// silent where it starts none.
fn publishes_nothing(config: &Config, file: &DaemonFile, engine: Option<u32>) -> Option<String> {
    let none = netfilter::switched_off(config, file, "userland-proxy");
    let engine = engine.filter(|major| none && *major < 28)?;
    Some(format!(
        "userland-proxy=false: a rootless engine {engine} publishes no port without it, and does \
         not say so; leave it out, or use engine 28 or newer"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rootful_dockerd_is_told_that_it_is_in_a_container() {
        let env = ModePlan::Rootful.environment(Environment::default());
        assert_eq!(env.words(), ["container=docker"]);
    }
}
