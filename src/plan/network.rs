//! The networks that dockerd makes: MTU, addresses, and a resolver that nested containers can
//! reach. Nothing is set that the user has set.

use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

use super::dockerd::{AddedFlag, user_set, user_text};
use crate::cli::config::{Config, SocketHolder, Switch};
use crate::host::daemon_json::DaemonFile;
use crate::host::net4::Net4;
use crate::host::storage::bridges::Bridge;
use crate::host::uplink::{UplinkFacts, only_loopback};

/// dockerd's own default, which needs no flag.
const DEFAULT_MTU: u32 = 1500;

/// What is decided about networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkPlan {
    /// Flags for dockerd.
    pub flags: Vec<AddedFlag>,
    /// Where the forwarder listens, and whom it asks.
    pub forwarder: Option<Forwarder>,
}

/// The forwarder for names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forwarder {
    /// The address of the default bridge, which nested containers reach from every network.
    pub address: Ipv4Addr,
    /// The resolvers that only we can reach.
    pub upstream: Vec<IpAddr>,
}

/// Decides, except where dockerd was to get exactly the official arguments. `version` is dockerd's major version where it is known.
#[must_use]
pub fn plan(
    config: &Config,
    file: &DaemonFile,
    facts: &UplinkFacts,
    remembered: &[Bridge],
    version: Option<u32>,
) -> NetworkPlan {
    if config.holder == SocketHolder::Dockerd {
        return NetworkPlan::default();
    }
    let mut plan = NetworkPlan {
        flags: mtu(config, file, facts, version),
        forwarder: None,
    };
    let forwards = only_loopback(&facts.resolvers)
        && facts.names_port
        && config.dns == Switch::Auto
        && !user_set(config, file, "dns", &["dns"])
        && !user_set(config, file, "bridge", &["bridge"]);
    let reserved = reserved(facts);
    let hidden: Vec<Net4> = reserved_resolvers(facts);
    let collides = hidden
        .iter()
        .any(|net| default_pools().any(|(pool, _)| pool.overlaps(*net)));

    let why = if forwards {
        Some("the forwarder for names needs a fixed address".to_owned())
    } else if collides {
        Some("dockerd's first choice holds a resolver of ours".to_owned())
    } else {
        overtaken(remembered, &facts.on_link)
            .map(|(inner, outer)| format!("docker0 was {inner}, and {outer} is outside by now"))
    };
    let bip = match (user_bip(config, file), why) {
        (Some(bip), _) => Some(bip),
        (None, Some(why)) if !user_set(config, file, "bridge", &["bridge"]) => {
            let others = remembered.iter().filter(|bridge| !bridge.default);
            let mut taken = reserved.clone();
            taken.extend(others.map(|bridge| bridge.network));
            let around = user_text(config, file, "fixed-cidr").and_then(|net| net.parse().ok());
            free_network(&taken, around).map(|net| {
                let address = net.host(1);
                plan.flags.push(AddedFlag {
                    name: "bip",
                    value: format!("{address}/{}", net.length()),
                    why,
                });
                address
            })
        }
        (None, _) => None,
    };
    if collides
        && !user_set(
            config,
            file,
            "default-address-pool",
            &["default-address-pools"],
        )
    {
        plan.flags.extend(pools(&reserved));
    }
    if let (true, Some(address)) = (forwards, bip) {
        let names = list(&facts.resolvers);
        plan.flags.push(AddedFlag {
            name: "dns",
            value: address.to_string(),
            why: format!("{names} answers only us: nested containers ask our forwarder"),
        });
        if !user_set(config, file, "dns-opt", &["dns-opts"]) {
            plan.flags.extend(short_names(&facts.resolver_options));
        }
        plan.forwarder = Some(Forwarder {
            address,
            upstream: facts.resolvers.clone(),
        });
    }
    plan
}

/// What lets containers of new networks ask for names without a dot.
///
/// The resolver that dockerd gives them hands a name without a dot to nobody outside as soon as
/// the resolv.conf that we were started with names any `ndots` (moby, libnetwork/resolver.go), and
/// an outer docker always writes `ndots:0` there. Options that are given replace all of those, so
/// the others are repeated; where there are none, one is given that is the default.
fn short_names(options: &[String]) -> Vec<AddedFlag> {
    if !options.iter().any(|option| option == "ndots:0") {
        return Vec::new();
    }
    let mut kept: Vec<&str> = options.iter().map(String::as_str).collect();
    kept.retain(|option| *option != "ndots:0");
    if kept.is_empty() {
        kept.push("attempts:2");
    }
    let flag = |option: &str| AddedFlag {
        name: "dns-opt",
        value: option.to_owned(),
        why: "without our ndots:0, for names without a dot in new networks".into(),
    };
    kept.into_iter().map(flag).collect()
}

fn mtu(
    config: &Config,
    file: &DaemonFile,
    facts: &UplinkFacts,
    version: Option<u32>,
) -> Vec<AddedFlag> {
    let differs = |mtu: &u32| *mtu != DEFAULT_MTU && config.mtu == Switch::Auto;
    let Some(mtu) = facts.mtu().filter(differs) else {
        return Vec::new();
    };
    let why = format!(
        "{} has it",
        list(facts.links.iter().filter(|l| l.mtu == mtu).map(|l| &l.name))
    );
    let mut flags = Vec::new();
    if !user_set(config, file, "mtu", &["mtu"]) {
        flags.push(AddedFlag {
            name: "mtu",
            value: mtu.to_string(),
            why: why.clone(),
        });
    }
    // Since 24.0; an older dockerd would not start with it.
    if version.is_some_and(|version| version >= 24)
        && !user_set(
            config,
            file,
            "default-network-opt",
            &["default-network-opts"],
        )
    {
        let value = format!("bridge=com.docker.network.driver.mtu={mtu}");
        flags.push(AddedFlag {
            name: "default-network-opt",
            value,
            why,
        });
    }
    flags
}

/// Whether [`plan`] needs dockerd's version: asking costs a start of dockerd, so it is asked for
/// only where the answer decides something.
#[must_use]
pub fn needs_version(facts: &UplinkFacts) -> bool {
    facts.mtu().is_some_and(|mtu| mtu != DEFAULT_MTU)
}

fn list(items: impl IntoIterator<Item = impl ToString>) -> String {
    items
        .into_iter()
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// The network of a docker0 that dockerd would make again, and the network of our links that has
/// come in its way: docker0 would have the address of our own gateway.
fn overtaken(remembered: &[Bridge], on_link: &[Net4]) -> Option<(Net4, Net4)> {
    let default = remembered.iter().filter(|bridge| bridge.default);
    default
        .flat_map(|bridge| on_link.iter().map(|net| (bridge.network, *net)))
        .find(|(inner, outer)| inner.overlaps(*outer))
}

fn user_bip(config: &Config, file: &DaemonFile) -> Option<Ipv4Addr> {
    let text = user_text(config, file, "bip")?;
    text.split('/').next()?.parse().ok()
}

/// dockerd's default pools, with the length of the networks that are cut from them (libnetwork
/// `ipamutils`, local scope).
fn default_pools() -> impl Iterator<Item = (Net4, u32)> {
    let large = (17..=31).map(|second| (Net4::new(Ipv4Addr::new(172, second, 0, 0), 16), 16));
    large.chain([(Net4::new(Ipv4Addr::new(192, 168, 0, 0), 16), 20)])
}

/// How many networks dockerd can still make by itself beside those that are taken.
#[must_use]
pub fn left_for_dockerd(taken: &[Net4]) -> usize {
    let cut = |(pool, length): (Net4, u32)| {
        let count = 1_u32 << length.saturating_sub(pool.length());
        let size = 1_u32 << (32 - length);
        (0..count).map(move |index| Net4::new(pool.host(index * size), length))
    };
    let free = |net: &Net4| !taken.iter().any(|other| other.overlaps(*net));
    default_pools().flat_map(cut).filter(free).count()
}

/// What must not be taken: our networks and every resolver.
fn reserved(facts: &UplinkFacts) -> Vec<Net4> {
    facts
        .routes
        .iter()
        .copied()
        .chain(reserved_resolvers(facts))
        .collect()
}

/// Resolvers that lie beyond our own networks: dockerd sees addresses and routes by itself, and
/// in old versions does not look at these.
fn reserved_resolvers(facts: &UplinkFacts) -> Vec<Net4> {
    let v4 = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) if !ip.is_loopback() => Some(Net4::new(*ip, 32)),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    };
    let own = |net: &Net4| facts.routes.iter().any(|route| route.overlaps(*net));
    facts
        .resolvers
        .iter()
        .filter_map(v4)
        .filter(|net| !own(net))
        .collect()
}

fn free_pools(reserved: &[Net4]) -> impl Iterator<Item = (Net4, u32)> {
    let free = |pool: &(Net4, u32)| !reserved.iter().any(|net| net.overlaps(pool.0));
    default_pools().filter(move |pool| free(pool))
}

/// The first network of dockerd's own order that is free, then one of 10.0.0.0/8; `around` is a
/// network that it must hold.
fn free_network(reserved: &[Net4], around: Option<Net4>) -> Option<Net4> {
    let defaults = free_pools(reserved).map(|(pool, length)| Net4::new(pool.host(0), length));
    let tens = (200..=255).map(|second| Net4::new(Ipv4Addr::new(10, second, 0, 0), 16));
    let free = |net: &Net4| !reserved.iter().any(|other| other.overlaps(*net));
    let holds = |net: &Net4| around.is_none_or(|inner| net.holds(inner));
    defaults.chain(tens).find(|net| free(net) && holds(net))
}

fn pools(reserved: &[Net4]) -> Vec<AddedFlag> {
    let flag = |(pool, length): (Net4, u32)| AddedFlag {
        name: "default-address-pool",
        value: format!("base={pool},size={length}"),
        why: "free of our resolvers and networks".into(),
    };
    free_pools(reserved).map(flag).collect()
}

#[cfg(test)]
mod tests;
