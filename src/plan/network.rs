//! The networks that dockerd makes: MTU, addresses, and a resolver that nested containers can
//! reach. Nothing is set that the user has set.

pub mod addresses;
mod ipv6;

use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

use self::addresses::Addresses;
use super::dockerd::{AddedFlag, user_set, user_text};
use super::keyed::NETWORK;
use crate::config::{Config, SocketHolder, Switch};
use crate::host::daemon_json::DaemonFile;
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
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// The forwarder for names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forwarder {
    /// The address of the default bridge, which nested containers reach from every network.
    pub address: Ipv4Addr,
    /// The resolvers that only we can reach.
    pub upstream: Vec<IpAddr>,
    /// The interfaces of the way out: nobody is answered there.
    pub outside: Vec<String>,
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
        ..NetworkPlan::default()
    };
    plan.mtu(config, file, facts, version);
    let forwards = only_loopback(&facts.resolvers)
        && facts.names_port
        && config.dns == Switch::Auto
        && !user_set(config, file, "dns", &["dns"])
        && !user_set(config, file, "bridge", &["bridge"]);
    let addresses = Addresses::new(config, file, facts, remembered);
    let collides = addresses.hide_a_resolver();
    let why = if forwards {
        Some("the forwarder for names needs a fixed address".to_owned())
    } else if collides {
        Some("dockerd's first choice holds a resolver of this container".to_owned())
    } else {
        addresses
            .overtaken()
            .map(|(inner, outer)| format!("docker0 was {inner}, and {outer} is outside by now"))
    };
    let fixed = user_set(config, file, "bip", &["bip"])
        || user_set(config, file, "bridge", &["bridge"])
        || facts.docker0.is_some();
    let bip = match why {
        Some(_) if fixed => {
            user_bip(config, file).or_else(|| facts.docker0.map(|docker0| docker0.address))
        }
        Some(why) => addresses.free().map(|net| {
            let address = net.host(1);
            plan.flags.push(AddedFlag {
                name: "bip",
                value: format!("{address}/{}", net.length()),
                why,
            });
            address
        }),
        None => None,
    };
    if collides && !addresses.pools_are_the_users() {
        plan.flags.extend(addresses.pools());
    }
    if let (true, Some(address)) = (forwards, bip) {
        let names = list(&facts.resolvers);
        plan.flags.push(AddedFlag {
            name: "dns",
            value: address.to_string(),
            why: format!(
                "{names} answers only this container: nested ones ask dind-init's forwarder"
            ),
        });
        if !user_set(config, file, "dns-opt", &["dns-opts"]) {
            plan.flags.extend(short_names(&facts.resolver_options));
        }
        plan.forwarder = Some(Forwarder {
            address,
            upstream: facts.resolvers.clone(),
            outside: facts.links.iter().map(|link| link.name.clone()).collect(),
        });
    } else if forwards {
        plan.warnings.push(format!(
            "{} answers only this container, and docker0 can have no address that is free: names of nested \
             containers are not resolved; choose one with --bip",
            list(&facts.resolvers)
        ));
    }
    ipv6::plan(&mut plan, config, file, facts, version);
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
        why: "without this container's ndots:0, for names without a dot in new networks".into(),
    };
    kept.into_iter().map(flag).collect()
}

/// The option of a bridge network.
const NETWORK_MTU: [&str; 2] = ["bridge", "com.docker.network.driver.mtu"];

impl NetworkPlan {
    fn mtu(
        &mut self,
        config: &Config,
        file: &DaemonFile,
        facts: &UplinkFacts,
        version: Option<u32>,
    ) {
        let differs = |mtu: &u32| *mtu != DEFAULT_MTU && config.mtu == Switch::Auto;
        let Some(mtu) = facts.mtu().filter(differs) else {
            return;
        };
        let why = format!(
            "{} has it",
            list(facts.links.iter().filter(|l| l.mtu == mtu).map(|l| &l.name))
        );
        if !user_set(config, file, "mtu", &["mtu"]) {
            self.flags.push(AddedFlag {
                name: "mtu",
                value: mtu.to_string(),
                why: why.clone(),
            });
        }
        let [driver, option] = NETWORK_MTU;
        // What is larger than what the link takes is lost on the way; what is smaller only costs.
        let mut lost = |why: String| {
            if mtu < DEFAULT_MTU {
                self.warnings.push(format!(
                    "networks that you make get an MTU of {DEFAULT_MTU} where {} takes {mtu}, and \
                 large packets are lost: {why}",
                    list(facts.links.iter().filter(|l| l.mtu == mtu).map(|l| &l.name))
                ));
            }
        };
        if NETWORK.get(config, file, &NETWORK_MTU).is_some() {
            return;
        }
        match version {
            // An older dockerd would not start with it.
            Some(..24) => lost(format!(
                "this engine has no setting for it; docker network create --opt {option}={mtu}"
            )),
            None => lost(format!(
                "which engine this is, and so whether it has a setting for it, is not known; docker \
             network create --opt {option}={mtu}"
            )),
            Some(_) if !NETWORK.takes_flags(file) => lost(format!(
                "{} has {}, to which no flag can add; add \"{option}\": \"{mtu}\" to \"{driver}\" there",
                file.path.display(),
                NETWORK.key
            )),
            Some(_) => self.flags.push(AddedFlag {
                name: NETWORK.flag,
                value: format!("{driver}={option}={mtu}"),
                why,
            }),
        }
    }
}

/// Whether [`plan`] needs dockerd's version: asking costs a start of dockerd, so it is asked for
/// only where the answer decides something.
#[must_use]
pub fn needs_version(facts: &UplinkFacts) -> bool {
    facts.only_ipv6 || facts.mtu().is_some_and(|mtu| mtu != DEFAULT_MTU)
}

fn user_bip(config: &Config, file: &DaemonFile) -> Option<Ipv4Addr> {
    let text = user_text(config, file, "bip")?;
    text.split('/').next()?.parse().ok()
}

fn list(items: impl IntoIterator<Item = impl ToString>) -> String {
    items
        .into_iter()
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests;
