//! The network of the namespace: driver, addresses, MTU. Pure.
//!
//! The addresses are those of slirp4netns, which every guide names: 10.0.2.100 inside, gateway
//! 10.0.2.2, name server 10.0.2.3. Where the outer network uses that range already, its hosts
//! would be out of reach, so another range is taken.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use crate::base::net4::Net4;
use crate::config::rootless::{NetDriver, Options, PortDriver};
use crate::host::uplink::{Link, UplinkFacts};
use crate::plan::network::addresses::Inner;

/// Ranges for the tap device, in order of preference.
const CANDIDATES: [(u8, u8, u8); 6] = [
    (10, 0, 2),
    (10, 241, 2),
    (172, 31, 254),
    (192, 168, 241),
    (100, 127, 2),
    (198, 18, 2),
];

/// The largest MTU that both drivers take; TCP ends in the driver, so packets inside may be large.
const MTU: u32 = 65520;

/// dockerd does not start without a network for docker0, and users make more. A host with many
/// bridges may have them all.
const FEWEST: usize = 8;

/// A tap device and its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tap {
    pub name: String,
    pub mtu: u32,
    pub network: Net4,
    /// Whether it carries IPv6 as well.
    pub ipv6: bool,
}

impl Tap {
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.network.host(100)
    }

    /// The driver's address.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        self.network.host(2)
    }

    /// The name server, which the driver plays.
    #[must_use]
    pub fn resolver(&self) -> Ipv4Addr {
        self.network.host(3)
    }

    /// Our IPv6 address.
    #[must_use]
    pub fn address6() -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100)
    }

    /// The driver's IPv6 address.
    #[must_use]
    pub fn gateway6() -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetPlan {
    pub driver: NetDriver,
    /// Its tap device.
    pub tap: Option<Tap>,
    /// Networks on the outer links. dockerd keeps its own networks clear of those that it sees on
    /// links, as a rootful one does here, so that it is shown them: else a client or a server of
    /// 172.17.0.0/16 outside would be hidden by 172.17.0.0/16 inside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outer: Vec<Net4>,
    /// Who serves published ports.
    pub port_driver: PortDriver,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// No driver can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoDriver {
    pub wanted: Vec<String>,
}

/// Decides; `inner` is what dockerd will have inside, and `has` tells whether a program is installed.
///
/// # Errors
/// [`NoDriver`] when the program of the wanted driver, or of every driver, is missing.
pub fn plan(
    options: &Options,
    uplink: &UplinkFacts,
    inner: &Inner,
    has: impl Fn(NetDriver) -> bool,
) -> Result<NetPlan, NoDriver> {
    let mut notes = Vec::new();
    let driver = match options.net {
        Some(driver @ (NetDriver::Host | NetDriver::None)) => driver,
        Some(driver) if has(driver) => driver,
        Some(driver) => {
            let wanted = vec![program(options, driver).to_owned()];
            return Err(NoDriver { wanted });
        }
        None if has(NetDriver::Slirp4netns) => NetDriver::Slirp4netns,
        None if has(NetDriver::Pasta) => {
            notes.push("slirp4netns is not installed: pasta is the network driver".into());
            NetDriver::Pasta
        }
        None => {
            let drivers = [NetDriver::Slirp4netns, NetDriver::Pasta];
            let wanted = drivers.map(|driver| program(options, driver).to_owned());
            return Err(NoDriver {
                wanted: wanted.to_vec(),
            });
        }
    };
    let tap = match driver {
        NetDriver::Host | NetDriver::None => None,
        NetDriver::Pasta | NetDriver::Slirp4netns => Some(Tap {
            name: options.ifname.clone(),
            mtu: options.mtu.unwrap_or(MTU),
            network: tap_network(options, uplink, &mut notes),
            ipv6: options.ipv6 || uplink.only_ipv6,
        }),
    };
    let outer = outer(uplink, tap.as_ref(), inner, &mut notes);
    Ok(NetPlan {
        driver,
        outer,
        port_driver: match driver {
            NetDriver::Host => PortDriver::None,
            _ => options.port_driver,
        },
        tap,
        notes,
    })
}

/// What dockerd is shown of the networks outside.
fn outer(
    uplink: &UplinkFacts,
    tap: Option<&Tap>,
    inner: &Inner,
    notes: &mut Vec<String>,
) -> Vec<Net4> {
    let Some(tap) = tap else { return Vec::new() };
    let mut outer = uplink.on_link.clone();
    outer.sort_unstable();
    outer.dedup();
    outer.retain(|net| {
        // What a requested --cidr hides stays hidden, which has been said; and a part of a network
        // that dockerd makes again would take addresses from it.
        let part_of_kept = inner
            .kept
            .iter()
            .any(|kept| kept.holds(*net) && kept != net);
        !tap.network.holds(*net) && !part_of_kept
    });
    let (before, left) = (inner.left(&[]), inner.left(&outer));
    if left < before && left < FEWEST {
        notes.push(format!(
            "the networks outside leave dockerd fewer than {FEWEST} of its own: it is not shown \
             them, so that one inside may hide one outside; --bip and --default-address-pool decide"
        ));
        outer.clear();
    }
    outer
}

#[must_use]
pub fn program(options: &Options, driver: NetDriver) -> &str {
    match driver {
        NetDriver::Pasta => &options.pasta,
        NetDriver::Slirp4netns => &options.slirp4netns,
        NetDriver::Host | NetDriver::None => "",
    }
}

fn tap_network(options: &Options, uplink: &UplinkFacts, notes: &mut Vec<String>) -> Net4 {
    let taken = |net: Net4| {
        uplink
            .routes
            .iter()
            .copied()
            .find(|route| route.overlaps(net))
    };
    if let Some(net) = options.cidr {
        if let Some(route) = taken(net) {
            notes.push(format!(
                "--cidr={net} overlaps the outer network {route}, which cannot be reached from \
                 inside"
            ));
        }
        return net;
    }
    let candidates = CANDIDATES.map(|(a, b, c)| Net4::new(Ipv4Addr::new(a, b, c, 0), 24));
    let [first, ..] = candidates;
    let hidden = |net: Net4| {
        let resolver =
            |ip: &IpAddr| matches!(ip, IpAddr::V4(ip) if net.overlaps(Net4::new(*ip, 32)));
        taken(net).is_some() || uplink.resolvers.iter().any(resolver)
    };
    let net = candidates
        .into_iter()
        .find(|net| !hidden(*net))
        .unwrap_or(first);
    if net != first {
        notes.push(format!(
            "the outer network uses {first}: {net} is taken for the tap device; \
             DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS=--cidr=… decides otherwise"
        ));
    }
    net
}

impl NetPlan {
    /// The way out as dockerd will see it inside, for the plan of its networks.
    #[must_use]
    pub fn inside(&self, outer: &UplinkFacts) -> UplinkFacts {
        let Some(tap) = &self.tap else {
            return UplinkFacts::default();
        };
        // Networks of the outer side stay out of reach of inner ones, so that both can be reached.
        let mut routes = outer.routes.clone();
        routes.push(tap.network);
        UplinkFacts {
            links: vec![Link {
                name: tap.name.clone(),
                mtu: tap.mtu,
            }],
            only_ipv6: outer.only_ipv6,
            routes,
            on_link: outer.on_link.clone(),
            docker0: None,
            resolvers: vec![IpAddr::V4(tap.resolver())],
            names_port: false,
            resolver_options: Vec::new(),
        }
    }

    /// The addresses of name servers inside.
    #[must_use]
    pub fn resolvers(&self) -> Vec<IpAddr> {
        self.tap.iter().map(|tap| tap.resolver().into()).collect()
    }
}

#[cfg(test)]
#[path = "net_tests.rs"]
mod tests;
