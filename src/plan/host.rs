//! The `HostPlan`: every step between the bound sockets and the exec of dockerd.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::cgroup::Maker;
use super::cgroup::refusal::CgroupRefusal;
use super::dockerd::{AddedFlag, user_set, user_text};
use super::host_refusal::{self, HostRefusal};
use super::limits::OomScores;
use super::listen::ListenPlan;
use super::netfilter::{self, NetfilterPlan};
use super::network::{self, Forwarder};
use super::step::{Action, CertificateStep, OnFailure, Step};
use super::storage::{self, StoragePlan};
use super::{cgroup, dockerd, limits, mounts, tls_mode};
use crate::base::environment::Environment;
use crate::base::printable::line;
use crate::config::settings;
use crate::config::{Config, IptablesOption, Preflight, SocketHolder, TlsOption};
use crate::host::Facts;
use crate::host::daemon_json::DaemonFile;
use crate::host::netfilter::tools::LEGACY_FARM;
use crate::host::private;
use crate::host::sandbox::Sandbox;
use crate::plan::rootless::proxy::Wanted;
use crate::plan::rootless::{RootlessPlan, without_effect};

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
    /// The namespaces of a rootless dockerd.
    pub rootless: Option<RootlessPlan>,
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
    rootless: Option<RootlessPlan>,
) -> Result<HostPlan, HostRefusal> {
    let mut warnings = Vec::new();
    let storage = facts.storage.as_ref();
    let storage = storage.map(|found| storage::plan(config, file, found, &facts.engine));
    let private_dir = private_dir(config, facts)?;
    let netfilter = facts.netfilter.as_ref();
    let netfilter =
        netfilter.map(|found| netfilter::plan(config, file, found, &facts.engine, &private_dir));
    let mut refusals = host_refusal::find(config, file, facts, rootless.as_ref());
    let refused = storage.as_ref().and_then(|plan| plan.refusal.clone());
    refusals.extend(refused.map(HostRefusal::Storage));
    let refused = netfilter.as_ref().and_then(|plan| plan.refusal.clone());
    refusals.extend(refused.map(|refusal| match facts.sandbox {
        Sandbox::Gvisor => HostRefusal::Gvisor(refusal),
        Sandbox::None | Sandbox::Sysbox => HostRefusal::Netfilter(refusal),
    }));
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
        // Others may reach the status socket in it, and nothing else.
        mode: if rootless.is_some() { 0o700 } else { 0o711 },
    };
    steps.push(Step::must(own, "sockets and state of dind-init"));
    steps.extend(certificates.map(|step| {
        Step::must(
            Action::Certificates(step),
            "TCP speaks TLS with client certificates",
        )
    }));
    let mut oom_scores = None;
    let (set_up, uplink) = match &rootless {
        None => {
            let maker = match (user_text(config, file, "cgroup-parent"), config.holder) {
                // Exactly the official arguments were asked for.
                (None, SocketHolder::Dockerd) => Maker::Command,
                (parent, _) => Maker::Dockerd { parent },
            };
            let set_up = set_up(config, maker, facts);
            if let Some(refusal) = set_up.refusal.clone().map(HostRefusal::Cgroup) {
                match config.preflight {
                    Preflight::Refuse => return Err(refusal),
                    Preflight::Warn => warnings.push(format!("DIND_PREFLIGHT=warn: {refusal}")),
                }
            }
            steps.extend(set_up.steps.iter().cloned());
            warnings.extend(set_up.warnings.iter().cloned());
            let limits = limits::plan(config, &facts.process, &facts.limits, &mut warnings);
            oom_scores = limits::given_oom_score(&limits, &facts.limits);
            steps.extend(limits);
            (set_up, &facts.uplink)
        }
        // the dind script has no part in rootless mode.
        Some(rootless) => {
            warnings.extend(rootless.warnings.iter().cloned());
            warnings.extend(without_effect(config));
            warnings.extend(publishes_nothing(config, file, facts.engine.major()));
            (SetUp::default(), &rootless.net.inside(&facts.uplink))
        }
    };
    let version = facts.engine.major();
    let network = network::plan(config, file, uplink, facts.remembered(), version);
    warnings.extend(network.warnings);
    let mut flags = network.flags;
    flags.extend(rootless.iter().flat_map(RootlessPlan::flags));
    let mut asked = set_up.flags;
    asked.extend(storage.iter().flat_map(|plan| plan.flags.clone()));
    // Inside the namespaces, dockerd is the first to look at the packet filter.
    let legacy = rootless.is_some() && config.iptables == IptablesOption::Legacy;
    let mut path = legacy.then_some(Path::new(LEGACY_FARM));
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
    let mut env = dockerd::environment(config, path, &notify_socket);
    let driver = storage
        .as_ref()
        .and_then(|plan| plan.driver_variable.clone());
    if let Some(driver) = driver {
        env = env.with(settings::DRIVER.name, driver);
    }
    if let Some(rootless) = &rootless {
        env = rootless.environment(env);
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
        rootless,
        storage,
        netfilter,
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
    let user = if config.identity.uid == 0 {
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
        let limits = self.rootless.as_ref().and_then(RootlessPlan::limits);
        storage.chain(netfilter).chain(limits).collect()
    }
}

impl fmt::Display for HostPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "host plan ({}): {} steps",
            line(&self.summary),
            self.steps.len() + 1
        )?;
        for (index, step) in self.steps.iter().enumerate() {
            let tolerated = if step.on_failure == OnFailure::Warn {
                " [or warn]"
            } else {
                ""
            };
            let action = step.action.to_string();
            // Details of an action go below it, so that the reasons stay in one column.
            let (first, details) = action.split_once('\n').unwrap_or((&action, ""));
            let first = line(first).to_string();
            let why = line(&step.why);
            writeln!(f, "{:>2} {first:<50} {why}{tolerated}", index + 1)?;
            details
                .lines()
                .try_for_each(|detail| writeln!(f, "          {}", line(detail.trim_start())))?;
        }
        if let Some(rootless) = &self.rootless {
            write!(f, "{rootless}")?;
        }
        if let Some(Forwarder {
            address, upstream, ..
        }) = &self.forwarder
        {
            writeln!(
                f,
                "   start  forwarder for names on {address}, which asks {upstream:?}"
            )?;
        }
        for flag in &self.flags {
            let (value, why) = (line(&flag.value), line(&flag.why));
            writeln!(f, "   flag   --{}={value}: {why}", flag.name)?;
        }
        let argv: Vec<_> = self
            .daemon
            .argv
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        self.choices()
            .iter()
            .try_for_each(|choice| writeln!(f, "   choice {}", line(choice)))?;
        writeln!(
            f,
            "{:>2} exec   {}",
            self.steps.len() + 1,
            line(&argv.join(" "))
        )?;
        self.warnings
            .iter()
            .try_for_each(|warning| writeln!(f, "   warn   {}", line(warning)))
    }
}

impl Serialize for HostPlan {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View<'a> {
            summary: &'a str,
            steps: &'a [Step],
            program: &'a Path,
            argv: Vec<String>,
            flags: &'a [AddedFlag],
            forwarder: Option<&'a Forwarder>,
            #[serde(skip_serializing_if = "Option::is_none")]
            rootless: Option<&'a RootlessPlan>,
            storage: Option<&'a StoragePlan>,
            netfilter: Option<&'a NetfilterPlan>,
            warnings: &'a [String],
        }
        let argv = self
            .daemon
            .argv
            .iter()
            .map(|word| word.to_string_lossy().into_owned());
        View {
            summary: &self.summary,
            steps: &self.steps,
            program: &self.daemon.program,
            argv: argv.collect(),
            flags: &self.flags,
            forwarder: self.forwarder.as_ref(),
            rootless: self.rootless.as_ref(),
            storage: self.storage.as_ref(),
            netfilter: self.netfilter.as_ref(),
            warnings: &self.warnings,
        }
        .serialize(serializer)
    }
}
