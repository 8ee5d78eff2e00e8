//! What the machine is: readers of /proc, /sys and /etc, and probes in throw-away children. They
//! change nothing.
//!
//! [`Facts`] is data: `dind-init facts` prints it, a bug report carries it, and a fixture replays
//! it in a test of the plan.

pub mod activity;
pub mod aliases;
pub mod apparmor;
pub mod certs;
pub mod cgroup;
pub mod daemon_json;
pub mod devices;
pub mod engine;
pub mod limits;
pub mod listen;
pub mod mountinfo;
pub mod mounts;
pub mod netfilter;
pub mod network;
pub mod private;
pub mod process;
pub mod rootless;
#[cfg(test)]
pub(crate) mod said;
pub mod sandbox;
pub mod script;
pub mod stale;
pub mod storage;
pub mod uplink;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::{Config, Mode};
use crate::files;
use crate::sys::probe::{Probes, Results, Ticket};
use apparmor::{AppArmorFacts, Profile};
use cgroup::{CgroupFacts, Group};
use daemon_json::DaemonFile;
use engine::{EngineFacts, Generation};
use limits::LimitFacts;
use mountinfo::Mount;
use mounts::MountFacts;
use netfilter::NetfilterFacts;
use network::NetworkFacts;
use private::PrivatePlace;
use process::ProcessFacts;
use sandbox::Sandbox;
use stale::StaleFile;
use storage::StorageFacts;
use storage::bridges::Bridge;
use uplink::UplinkFacts;

/// Everything that the `HostPlan` needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// `uname -r`.
    pub kernel: String,
    /// Whether that is the machine's kernel.
    #[serde(default)]
    pub sandbox: Sandbox,
    /// Rights of this process.
    pub process: ProcessFacts,
    /// The cgroup tree.
    pub cgroup: CgroupFacts,
    /// Mount points that matter.
    pub mounts: MountFacts,
    /// Limits of this process and of the node.
    pub limits: LimitFacts,
    /// Names and addresses.
    pub network: NetworkFacts,
    /// The way out.
    pub uplink: UplinkFacts,
    /// Places for the program's own directory.
    #[serde(default)]
    pub private: Vec<PrivatePlace>,
    /// Left-overs of a run that was killed.
    pub stale: Vec<StaleFile>,
    /// Programs found in PATH.
    pub programs: Programs,
    /// Which dockerd it is.
    #[serde(default)]
    pub engine: EngineFacts,
    /// Where images will live; nothing where no dockerd will be started.
    pub storage: Option<StorageFacts>,
    /// The packet filter; likewise.
    pub netfilter: Option<NetfilterFacts>,
}

/// Programs found in PATH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Programs {
    /// `dockerd`.
    pub dockerd: Option<PathBuf>,
    /// `dind` and `docker-init` that are not this binary.
    pub foreign: Vec<PathBuf>,
}

/// What the decisions want to know, and what is not worth a probe otherwise: the plan says it.
#[derive(Debug, Clone, Copy)]
pub struct Questions {
    /// The names that the network around us has for this container.
    pub aliases: bool,
    /// The packet filter.
    pub netfilter: netfilter::Question,
    /// Whether the choice of the storage depends on the engine's version, so that dockerd itself
    /// is asked where its file does not tell.
    pub needs_engine: fn(&Config, &DaemonFile, &StorageFacts) -> bool,
}

impl Facts {
    /// Reads the machine, and tries what dockerd will do.
    #[must_use]
    pub fn probe(config: &Config, file: &DaemonFile, questions: Questions) -> Self {
        let mounts = mountinfo::read();
        let root = config.mode() == Mode::Rootful;
        // Certificates are the only ones who ask.
        let network = NetworkFacts::read();
        let asking = questions.aliases.then(|| network.ask(&config.env));
        // The probes run while we read. The container comes first: its cgroup does not hold them yet.
        let mut probes = Probes::new();
        let mut container = Container::read(&mounts);
        // A rootless daemon leaves the container as it is, and its packet filter is that of its
        // own namespaces.
        if root {
            container.start_probes(&mut probes);
        }
        let netfilter = root.then(|| {
            netfilter::Probing::start(config, questions.netfilter, Vec::new(), &mut probes)
        });
        let storage = storage::Probing::start(config, file, &mounts, &mut probes);
        let mut facts = Self::read(config, &container, network);
        let dockerd = facts.programs.dockerd.clone();
        facts.engine = dockerd
            .as_deref()
            .map(EngineFacts::read)
            .unwrap_or_default();
        let mut results = collect(probes);
        container.finish(&mut facts, &mut results);
        let storage = storage.finish(&mut results);
        let unclear = facts.engine.generation == Generation::Unknown;
        if unclear && (questions.needs_engine)(config, file, &storage) {
            let asked = dockerd.map(|dockerd| EngineFacts::ask(&dockerd, &config.env.words()));
            facts.engine = asked.unwrap_or_default();
        }
        facts.storage = Some(storage);
        facts.netfilter = netfilter.map(|probing| probing.finish(&mut results));
        facts.network.aliases = asking
            .flatten()
            .map(aliases::Asking::finish)
            .unwrap_or_default();
        facts
    }

    /// Tries the packet filter again, after modules were asked for.
    pub fn probe_netfilter_again(
        &mut self,
        config: &Config,
        question: netfilter::Question,
        asked: &[String],
    ) {
        let before = self.netfilter.take().map(|facts| facts.requested);
        let requested = before.into_iter().flatten().chain(asked.iter().cloned());
        let mut probes = Probes::new();
        let probing = netfilter::Probing::start(config, question, requested.collect(), &mut probes);
        self.netfilter = Some(probing.finish(&mut collect(probes)));
    }

    /// Looks at the container, whether or not dockerd will run in it.
    #[must_use]
    pub fn of_container(config: &Config) -> Self {
        let mounts = mountinfo::read();
        let mut probes = Probes::new();
        let mut container = Container::read(&mounts);
        container.start_probes(&mut probes);
        let mut facts = Self::read(config, &container, NetworkFacts::read());
        container.finish(&mut facts, &mut collect(probes));
        facts
    }

    /// The networks of an earlier dockerd.
    #[must_use]
    pub fn remembered(&self) -> &[Bridge] {
        let storage = self.storage.as_ref();
        storage.map_or(&[], |storage| &storage.content.bridges)
    }

    fn read(config: &Config, container: &Container<'_>, network: NetworkFacts) -> Self {
        let kernel = rustix::system::uname();
        let release = kernel.release().to_string_lossy().into_owned();
        let version = kernel.version().to_string_lossy();
        Self {
            sandbox: Sandbox::of(&release, &version, container.all),
            kernel: release,
            process: ProcessFacts::read(),
            cgroup: container.cgroup.clone(),
            mounts: container.mounts.clone(),
            limits: LimitFacts::read(),
            network,
            uplink: UplinkFacts::read(),
            private: private::read(config),
            stale: stale::find(&stale::Places::of(config)),
            programs: Programs::find(config),
            engine: EngineFacts::default(),
            storage: None,
            netfilter: None,
        }
    }
}

/// What is read and tried of the container itself.
struct Container<'a> {
    all: &'a [Mount],
    cgroup: CgroupFacts,
    mounts: MountFacts,
    fresh: Option<Ticket<Result<Group, String>>>,
    rewritten: Option<Ticket<Result<(), String>>>,
    profile: Option<Ticket<Profile>>,
}

impl<'a> Container<'a> {
    fn read(all: &'a [Mount]) -> Self {
        Self {
            all,
            cgroup: CgroupFacts::read(all),
            mounts: MountFacts::read(all),
            fresh: None,
            rewritten: None,
            profile: None,
        }
    }

    fn start_probes(&mut self, probes: &mut Probes) {
        self.fresh = self.cgroup.try_fresh_mount(probes);
        self.rewritten = self.cgroup.try_rewriting(probes);
        if self.mounts.apparmor.enabled {
            let securityfs = self.mounts.securityfs;
            self.profile = Some(AppArmorFacts::try_profile(probes, securityfs));
        }
    }

    fn finish(self, facts: &mut Facts, results: &mut Results) {
        facts.cgroup.fresh = self.fresh.map(|ticket| results.take(ticket));
        facts.cgroup.rewritten = self.rewritten.map(|ticket| results.take(ticket));
        facts.mounts.apparmor.profile = self.profile.map(|ticket| results.take(ticket));
    }
}

/// Waits for probes, and says how long they took.
fn collect(probes: Probes) -> Results {
    let results = probes.collect();
    for (name, took) in results.times() {
        tracing::debug!("probe {name}: {:.1} ms", took.as_secs_f64() * 1000.0);
    }
    results
}

impl Programs {
    fn find(config: &Config) -> Self {
        let path = config.env.get("PATH");
        let find = |name: &str| crate::files::find_program(name.as_ref(), path);
        // The same file under another name is this binary, /proc/self/exe survives renames; or a
        // script that executes it.
        let ours = |path: &PathBuf| {
            files::is_same(path, Path::new("/proc/self/exe"))
                || script::read(path).is_some_and(|text| script::is_ours(&text))
        };
        let foreign = ["dind", "docker-init"].iter().filter_map(|name| find(name));
        // dockerd-rootless.sh has a variable for it.
        let named = config
            .env
            .non_empty("DOCKERD")
            .and_then(|name| name.to_str());
        let named = named.filter(|_| config.mode() == Mode::Rootless);
        Self {
            dockerd: find(named.unwrap_or("dockerd")),
            foreign: foreign.filter(|path| !ours(path)).collect(),
        }
    }
}
