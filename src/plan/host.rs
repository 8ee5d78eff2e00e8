//! The `HostPlan`: every step between the bound sockets and the exec of dockerd.

mod text;

use std::ffi::OsString;
use std::path::PathBuf;

use super::cgroup::Maker;
use super::cgroup::refusal::CgroupRefusal;
use super::dockerd::{AddedFlag, user_set};
use super::host_refusal::{self, HostRefusal};
use super::limits::OomScores;
use super::listen::ListenPlan;
use super::mode::{ModePlan, Surroundings};
use super::netfilter::{self, NetfilterPlan};
use super::network::{self, Forwarder};
use super::step::{Action, CertificateStep, Step};
use super::storage::{self, StoragePlan};
use super::{cgroup, dockerd, mounts, tls_mode};
use crate::base::environment::Environment;
use crate::config::settings;
use crate::config::{Config, Mode, Preflight, SocketHolder, TlsOption};
use crate::host::Facts;
use crate::host::daemon_json::DaemonFile;
use crate::host::private;
use crate::host::sandbox::Sandbox;
use crate::plan::rootless::RootlessPlan;
use crate::plan::rootless::proxy::Wanted;

/// Where the program's own files are: the first place that nobody else can change or replace.
/// Facts of an earlier version have no places; the usual one is meant then.
fn private_dir(config: &Config, facts: &Facts) -> Result<PathBuf, HostRefusal> {
    let places = &facts.private;
    let usual = || private::candidates(config).into_iter().next();
    let chosen = match &places[..] {
        [] => usual(),
        places => places
            .iter()
            .find(|place| place.private)
            .map(|place| place.path.clone()),
    };
    chosen.ok_or_else(|| HostRefusal::NoPrivateDirectory {
        tried: places.iter().map(|place| place.path.clone()).collect(),
    })
}

/// A program with everything that it is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonCommand {
    /// The executable.
    pub program: PathBuf,
    pub argv: Vec<OsString>,
    pub env: Environment,
    /// dockerd's notifications come here.
    pub notify_socket: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPlan {
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// The program's own directory, which nobody else can change or replace.
    pub private_dir: PathBuf,
    /// What is started at the end.
    pub daemon: DaemonCommand,
    /// Flags for dockerd that the machine asks for.
    pub flags: Vec<AddedFlag>,
    /// The forwarder for names, where one is needed.
    pub forwarder: Option<Forwarder>,
    /// As whom dockerd runs.
    pub mode: ModePlan,
    /// Where images will live.
    pub storage: Option<StoragePlan>,
    /// Who programs the packet filter.
    pub netfilter: Option<NetfilterPlan>,
    /// What is kept of our memory for dockerd.
    pub keep: Option<cgroup::Keep>,
    /// Scores for the OOM killer, where ours is not what we were given.
    pub oom_scores: Option<OomScores>,
    /// One line about the machine.
    pub summary: String,
}

/// What is done before any command that makes containers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetUp {
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// Flags for dockerd.
    pub flags: Vec<AddedFlag>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// What holds for cgroups.
    pub cgroup: String,
    /// Why no nested container can start.
    pub refusal: Option<CgroupRefusal>,
    /// What is kept of our memory for dockerd.
    pub keep: Option<cgroup::Keep>,
}

/// Decides about the machine.
///
/// # Errors
/// [`HostRefusal`] where dockerd certainly cannot work; with `DIND_PREFLIGHT=warn` every refusal
/// that leaves something to try becomes a warning.
pub fn plan(
    config: &Config,
    file: &DaemonFile,
    listen: &ListenPlan,
    facts: &Facts,
    certificates: Option<CertificateStep>,
    mode: ModePlan,
) -> Result<HostPlan, HostRefusal> {
    let mut warnings = Vec::new();
    let storage = facts.storage.as_ref();
    let storage = storage.map(|found| storage::plan(config, file, found, &facts.engine));
    let private_dir = private_dir(config, facts)?;
    let netfilter = facts.netfilter.as_ref();
    let netfilter =
        netfilter.map(|found| netfilter::plan(config, file, found, &facts.engine, &private_dir));
    let mut refusals = host_refusal::find(config, file, facts, &mode);
    let refused = storage.as_ref().and_then(|plan| plan.refusal.clone());
    refusals.extend(refused.map(HostRefusal::Storage));
    let refused = netfilter.as_ref().and_then(|plan| plan.refusal.clone());
    refusals.extend(refused.map(|refusal| match facts.sandbox {
        Sandbox::Gvisor => HostRefusal::Gvisor(refusal),
        Sandbox::None | Sandbox::Sysbox => HostRefusal::Netfilter(refusal),
    }));
    let Surroundings {
        set_up,
        limits,
        oom_scores,
        uplink,
        warnings: said,
    } = mode.surroundings(config, file, facts);
    refusals.extend(set_up.refusal.map(HostRefusal::Cgroup));
    for refusal in refusals {
        match config.preflight {
            Preflight::Refuse => return Err(refusal),
            Preflight::Warn => warnings.push(format!("DIND_PREFLIGHT=warn: {refusal}")),
        }
    }
    let program = facts
        .programs
        .dockerd
        .clone()
        .ok_or(HostRefusal::NoDockerd)?;
    warnings.extend(misspelt(config));
    for path in &facts.programs.foreign {
        let path = path.display();
        warnings.push(format!(
            "{path} is not dind-init: ignored, its work is done here"
        ));
    }

    let mut steps = Vec::new();
    if let Some(storage) = &storage {
        steps.extend(storage.steps.iter().cloned());
        warnings.extend(storage.warnings.iter().cloned());
    }
    steps.extend(stale(facts));
    let path = config.lifetime.ready_file.clone();
    // May: a directory in its place must not keep the daemon from starting.
    steps.push(Step::may(
        Action::WithdrawReady { path },
        "nothing is ready yet",
    ));
    let own = Action::CreatePrivate {
        path: private_dir.clone(),
        mode: mode.private_dir_mode(),
    };
    steps.push(Step::must(own, "sockets and state of dind-init"));
    steps.extend(certificates.map(|step| {
        Step::must(
            Action::Certificates(step),
            "TCP speaks TLS with client certificates",
        )
    }));
    steps.extend(set_up.steps);
    steps.extend(limits);
    warnings.extend(said);
    let version = facts.engine.major();
    let network = network::plan(config, file, &uplink, facts.remembered(), version);
    warnings.extend(network.warnings);
    let mut flags = network.flags;
    flags.extend(mode.flags());
    let mut asked = set_up.flags;
    asked.extend(storage.iter().flat_map(|plan| plan.flags.clone()));
    let mut path = mode.untried_tools(config);
    if let Some(netfilter) = &netfilter {
        steps.extend(netfilter.steps.iter().cloned());
        warnings.extend(netfilter.warnings.iter().cloned());
        asked.extend(netfilter.flags.iter().cloned());
        path = netfilter.path.as_deref();
    }
    match config.holder {
        SocketHolder::Us => flags.extend(asked),
        SocketHolder::Dockerd => warnings.extend(asked.iter().map(AddedFlag::left_out)),
    }
    let notify_socket = private_dir.join("notify.sock");
    let mut env = mode.environment(dockerd::environment(config, path, &notify_socket));
    let driver = storage
        .as_ref()
        .and_then(|plan| plan.driver_variable.clone());
    if let Some(driver) = driver {
        env = env.with(settings::DRIVER.name, driver);
    }
    Ok(HostPlan {
        steps,
        warnings,
        keep: set_up.keep,
        oom_scores,
        private_dir,
        summary: summary(config, listen, &set_up.cgroup, facts),
        daemon: DaemonCommand {
            program,
            argv: dockerd::argv(config, file, listen, &flags),
            env,
            notify_socket,
        },
        flags,
        forwarder: network.forwarder,
        mode,
        storage,
        netfilter,
    })
}

/// Whether a rootless dockerd may be told which docker-proxy to start: where the user has not, and
/// wants one.
#[must_use]
pub fn proxy_wanted(config: &Config, file: &DaemonFile) -> Wanted {
    let theirs = user_set(config, file, "userland-proxy-path", &[])
        || netfilter::switched_off(config, file, "userland-proxy");
    match config.holder {
        SocketHolder::Us if !theirs => Wanted::Yes,
        SocketHolder::Us | SocketHolder::Dockerd => Wanted::No,
    }
}

/// What both the daemon and the `dind` persona need.
#[must_use]
pub fn set_up(config: &Config, maker: Maker<'_>, facts: &Facts) -> SetUp {
    let mut steps = mounts::plan(config, &facts.process, &facts.mounts);
    let cgroup = cgroup::plan(config, maker, &facts.cgroup);
    steps.extend(cgroup.steps);
    steps.extend(mounts::share(&facts.mounts));
    SetUp {
        steps,
        flags: cgroup.flags,
        warnings: cgroup.warnings,
        cgroup: cgroup.summary,
        refusal: cgroup.refusal,
        keep: cgroup.keep,
    }
}

fn stale(facts: &Facts) -> Vec<Step> {
    let step = |file: &crate::host::stale::StaleFile| {
        let path = file.path.clone();
        let action = if file.tree {
            Action::RemoveTree { path }
        } else {
            Action::RemoveFile { path }
        };
        // Warn: dockerd itself says what it cannot live with.
        Step::may(action, format!("stale: {}", file.proof))
    };
    facts.stale.iter().map(step).collect()
}

fn misspelt(config: &Config) -> impl Iterator<Item = String> {
    config.misspelt.iter().map(|(name, meant)| match meant {
        Some(meant) => format!("{name} is not a setting; did you mean {meant}?"),
        None => format!("{name} is not a setting of this version"),
    })
}

fn summary(config: &Config, listen: &ListenPlan, cgroup: &str, facts: &Facts) -> String {
    let user = if config.mode() == Mode::Rootful {
        format!("root, {cgroup}")
    } else {
        // What holds for limits is a choice.
        "rootless".to_owned()
    };
    let tls = match config.tls {
        TlsOption::Directory { .. } if tls_mode::adds_tls(config) => "TLS",
        _ => "no TLS of ours",
    };
    let sockets = listen.sockets.len();
    format!(
        "{user}, {tls}, {sockets} sockets held, kernel {}",
        facts.kernel
    )
}

impl HostPlan {
    /// Modules without which nothing could be decided, where there are any to be asked for.
    #[must_use]
    pub fn modules_first(&self) -> Option<&[String]> {
        let netfilter = self.netfilter.as_ref()?;
        (!netfilter.again.is_empty()).then_some(netfilter.again.as_slice())
    }

    /// What was chosen where the machine left a choice, and why.
    #[must_use]
    pub fn choices(&self) -> Vec<String> {
        let storage = self.storage.iter().map(ToString::to_string);
        let netfilter = self.netfilter.iter().map(ToString::to_string);
        let limits = self.mode.rootless().and_then(RootlessPlan::limits);
        storage.chain(netfilter).chain(limits).collect()
    }
}
