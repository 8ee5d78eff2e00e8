//! The packet filter: which tools there are, what rules are here already, and which backend takes
//! the rules that dockerd writes. That is tried in network namespaces that end with the probe.

pub mod existing;
pub mod rules;
pub mod tools;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::files::find_program;
use crate::files::kernel;
use crate::sys::probe::{ProbeResult, Probes, Results, Ticket, UnshareFlags};
use crate::sys::program;
use existing::Existing;
use rules::{Family, FamilyProbe, FamilyTools};
use tools::{Backend, Tools};

/// The kernel may load a handful of modules meanwhile.
const DEADLINE: Duration = Duration::from_secs(10);

/// Facts about the packet filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetfilterFacts {
    /// Rules that are here already.
    pub existing: Existing,
    /// The tools of the image.
    pub tools: Vec<Tools>,
    /// `nft` in PATH.
    pub nft: Option<PathBuf>,
    /// What was tried, in order.
    pub probes: Vec<BackendProbe>,
    /// Whether the kernel has IPv6.
    pub ipv6: bool,
    /// Whether packets are forwarded (`net.ipv4.ip_forward`).
    pub forwarding: bool,
    /// Whether bridged packets pass iptables; nothing without the module br_netfilter.
    pub bridge_calls: Option<bool>,
    /// Whether this kernel can load modules.
    pub modules: bool,
    /// Modules that were asked for before these probes, in this very start.
    #[serde(default)]
    pub requested: Vec<String>,
}

/// How a backend did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendProbe {
    pub backend: Backend,
    /// IPv4.
    pub v4: ProbeResult<FamilyProbe>,
    /// IPv6, where the kernel and the image have it.
    pub v6: Option<ProbeResult<FamilyProbe>>,
}

impl NetfilterFacts {
    #[must_use]
    pub fn probe(&self, backend: Backend) -> Option<&BackendProbe> {
        self.probes.iter().find(|probe| probe.backend == backend)
    }

    #[must_use]
    pub fn tools(&self, backend: Backend) -> Option<&Tools> {
        self.tools.iter().find(|tools| tools.backend == backend)
    }
}

/// What is wanted to be known; the user's word can make probes needless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Which backend of iptables works.
    Iptables {
        /// Whether IPv6 is wanted, too.
        ipv6: bool,
    },
    /// Whether nftables works without iptables.
    Nftables,
    /// Nothing: it is decided.
    Nothing,
}

/// Facts whose first probes run.
#[derive(Debug)]
pub struct Probing {
    facts: NetfilterFacts,
    question: Question,
    env: Vec<OsString>,
    first: Vec<Tickets>,
    legacy_rules: Option<Ticket<usize>>,
}

/// Answers to come about a backend.
#[derive(Debug)]
struct Tickets {
    backend: Backend,
    v4: Ticket<FamilyProbe>,
    v6: Option<Ticket<FamilyProbe>>,
}

impl Probing {
    /// Reads, and starts the probes of the backends that come first: those with rules here, or
    /// nft. The legacy tables are loaded into the kernel by trying them, so they come last.
    #[must_use]
    pub fn start(
        config: &Config,
        question: Question,
        requested: Vec<String>,
        probes: &mut Probes,
    ) -> Self {
        let path = config.env.get("PATH");
        // The legacy tools share a lock file with everybody on this file system. In a namespace
        // of its own a probe needs no lock, must not wait for one, and leaves no file.
        let env = config.env.clone().with("XTABLES_LOCKFILE", "/dev/null");
        let env = env.words();
        let default = find_program("iptables".as_ref(), path);
        let default = default.and_then(|iptables| {
            tools::variant(&iptables).or_else(|| ask_version(&iptables, &env))
        });
        let mut existing = Existing::read();
        if question != Question::Nothing && existing::may_ask_nft() {
            existing.nft_rules = existing::nft_rules().ok();
        }
        let read = |path: &str| kernel::text(path).ok();
        let on = |text: String| text.trim() == "1";
        let facts = NetfilterFacts {
            tools: tools::find(path, default),
            nft: find_program("nft".as_ref(), path),
            probes: Vec::new(),
            ipv6: ipv6(),
            forwarding: read("/proc/sys/net/ipv4/ip_forward").is_some_and(on),
            bridge_calls: read("/proc/sys/net/bridge/bridge-nf-call-iptables").map(on),
            modules: existing::modules_exist(),
            requested,
            existing,
        };
        let mut probing = Self {
            facts,
            question,
            env,
            first: Vec::new(),
            legacy_rules: None,
        };
        probing.first = probing
            .order()
            .iter()
            .filter_map(|backend| probing.try_backend(*backend, probes))
            .collect();
        if probing.first.len() > 1 {
            probing.legacy_rules = probing.count_legacy_rules(probes);
        }
        probing
    }

    /// The backends of the first round.
    fn order(&self) -> &'static [Backend] {
        let has = |backend| self.facts.tools(backend).is_some();
        let existing = &self.facts.existing;
        match self.question {
            Question::Nothing => &[],
            Question::Nftables => &[Backend::Nftables],
            Question::Iptables { .. } if existing.legacy_tables.is_empty() => {
                if has(Backend::Nft) {
                    &[Backend::Nft]
                } else {
                    &[Backend::Legacy]
                }
            }
            Question::Iptables { .. } if existing.nft_rules.is_some_and(|rules| rules > 0) => {
                &[Backend::Legacy, Backend::Nft]
            }
            Question::Iptables { .. } if has(Backend::Legacy) => &[Backend::Legacy],
            Question::Iptables { .. } => &[Backend::Nft],
        }
    }

    fn try_backend(&self, backend: Backend, probes: &mut Probes) -> Option<Tickets> {
        let net = UnshareFlags::NEWNET;
        if backend == Backend::Nftables {
            let (nft, env) = (self.facts.nft.clone()?, self.env.clone());
            return Some(Tickets {
                backend,
                v4: probes.start("nftables", net, DEADLINE, move || {
                    rules::run_nft(&nft, &env)
                }),
                v6: None,
            });
        }
        let tools = self.facts.tools(backend)?;
        let family = |family, program: &Path, restore: Option<&PathBuf>| FamilyTools {
            family,
            program: program.to_owned(),
            restore: restore.cloned(),
            env: self.env.clone(),
        };
        let names = match backend {
            Backend::Legacy => ["iptables-legacy", "ip6tables-legacy"],
            Backend::Nft | Backend::Nftables => ["iptables-nft", "ip6tables-nft"],
        };
        let [name, name6] = names;
        let v4 = family(Family::V4, &tools.iptables, tools.restore.as_ref());
        let wanted = self.question == Question::Iptables { ipv6: true } && self.facts.ipv6;
        let v6 = tools.ip6tables.as_ref().filter(|_| wanted);
        let v6 = v6.map(|program| family(Family::V6, program, tools.restore6.as_ref()));
        Some(Tickets {
            backend,
            v4: probes.start(name, net, DEADLINE, move || rules::run(&v4)),
            v6: v6.map(|tools| probes.start(name6, net, DEADLINE, move || rules::run(&tools))),
        })
    }

    /// Takes the answers, and tries the other backend where none of the first ones works.
    #[must_use]
    pub fn finish(mut self, results: &mut Results) -> NetfilterFacts {
        for tickets in std::mem::take(&mut self.first) {
            self.facts.probes.push(tickets.take(results));
        }
        if let Some(ticket) = self.legacy_rules.take() {
            self.facts.existing.legacy_rules = results.take(ticket).known().copied();
        }
        let other = match self.facts.probes.as_slice() {
            [only] if only.v4.known().is_some_and(|probe| !probe.works()) => match only.backend {
                Backend::Nft => Some(Backend::Legacy),
                Backend::Legacy => Some(Backend::Nft),
                Backend::Nftables => None,
            },
            _ => None,
        };
        let mut probes = Probes::new();
        if let Some(tickets) = other.and_then(|backend| self.try_backend(backend, &mut probes)) {
            let mut results = probes.collect();
            self.facts.probes.push(tickets.take(&mut results));
        }
        // A probe of nft has loaded what there is to load: now asking loads nothing.
        let existing = &mut self.facts.existing;
        if existing.nft_rules.is_none()
            && self.facts.probes.iter().any(|t| t.backend == Backend::Nft)
        {
            existing.nft_rules = existing::nft_rules().ok();
        }
        self.facts
    }

    /// Counts the legacy rules of our own namespace, reading only.
    fn count_legacy_rules(&self, probes: &mut Probes) -> Option<Ticket<usize>> {
        let program = self.facts.tools(Backend::Legacy)?.iptables.clone();
        let env = self.env.clone();
        let tables = ["filter", "nat", "mangle", "raw"];
        Some(
            probes.start("legacy rules", UnshareFlags::empty(), DEADLINE, move || {
                let count = |table: &str| {
                    let argv = ["iptables", "-w", "3", "-t", table, "-S"].map(OsString::from);
                    let output = program::run(&program, &argv, &env, b"").ok()?;
                    let rules = output.text.lines().filter(|line| line.starts_with("-A"));
                    Some(rules.count())
                };
                let listed = kernel::text("/proc/net/ip_tables_names").unwrap_or_default();
                let listed = |table: &&str| listed.lines().any(|line| line == *table);
                tables
                    .into_iter()
                    .filter(listed)
                    .filter_map(count)
                    .sum::<usize>()
            }),
        )
    }
}

impl Tickets {
    fn take(self, results: &mut Results) -> BackendProbe {
        BackendProbe {
            backend: self.backend,
            v4: results.take(self.v4),
            v6: self.v6.map(|ticket| results.take(ticket)),
        }
    }
}

/// Whether IPv6 sockets can be made.
fn ipv6() -> bool {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    let flags = SocketFlags::CLOEXEC;
    rustix::net::socket_with(AddressFamily::INET6, SocketType::DGRAM, flags, None).is_ok()
}

/// For an `iptables` that is neither of the known programs: a wrapper, a renamed one.
fn ask_version(iptables: &Path, env: &[OsString]) -> Option<Backend> {
    let (program, env) = (iptables.to_owned(), env.to_owned());
    let mut probes = Probes::new();
    let ticket = probes.start(
        "iptables version",
        UnshareFlags::empty(),
        DEADLINE,
        move || {
            let argv = ["iptables", "--version"].map(OsString::from);
            let output = program::run(&program, &argv, &env, b"");
            output.map(|output| output.text).unwrap_or_default()
        },
    );
    let text = probes.collect().take::<String>(ticket);
    text.known()
        .and_then(|text| tools::variant_by_version(text))
}
