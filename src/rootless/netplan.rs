//! The network of the namespace: driver, addresses, MTU. Pure.
//!
//! The addresses are those of slirp4netns, which every guide names: 10.0.2.100 inside, gateway
//! 10.0.2.2, name server 10.0.2.3. Where the outer network uses that range already, its hosts
//! would be out of reach, so another range is taken.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use super::options::{NetDriver, Options, PortDriver};
use crate::host::net4::Net4;
use crate::host::uplink::{Link, UplinkFacts};
use crate::plan::network;

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
    /// Its name.
    pub name: String,
    /// Its MTU.
    pub mtu: u32,
    /// Its network.
    pub network: Net4,
    /// Whether it carries IPv6 as well.
    pub ipv6: bool,
}

impl Tap {
    /// Our address.
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

/// What is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetPlan {
    /// The driver.
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
    /// What was looked for.
    pub wanted: Vec<String>,
}

/// Decides; `has` tells whether a program is installed.
///
/// # Errors
/// [`NoDriver`] when the program of the wanted driver, or of every driver, is missing.
pub fn plan(
    options: &Options,
    uplink: &UplinkFacts,
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
            ipv6: options.ipv6,
        }),
    };
    let mut outer = uplink.on_link.clone();
    outer.sort_unstable();
    outer.dedup();
    // What a wished --cidr hides stays hidden, which has been said.
    outer.retain(|net| tap.as_ref().is_some_and(|tap| !tap.network.overlaps(*net)));
    if network::left_for_dockerd(&outer) < FEWEST {
        notes.push(format!(
            "the networks outside leave dockerd fewer than {FEWEST} of its own: it is not shown \
             them, so that one inside may hide one outside; --bip and --default-address-pool decide"
        ));
        outer.clear();
    }
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

/// The program of a driver.
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
            routes,
            on_link: outer.on_link.clone(),
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
mod tests {
    use super::*;
    use crate::cli::environment::Environment;
    use proptest::prelude::*;

    fn decide(flags: &str, routes: &[&str], installed: &[NetDriver]) -> Result<NetPlan, NoDriver> {
        let env: Environment = [("DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS", flags)]
            .into_iter()
            .collect();
        let uplink = UplinkFacts {
            routes: routes.iter().map(|route| route.parse().unwrap()).collect(),
            ..UplinkFacts::default()
        };
        let options = Options::for_dockerd(&env).unwrap();
        plan(&options, &uplink, |driver| installed.contains(&driver))
    }

    const BOTH: &[NetDriver] = &[NetDriver::Pasta, NetDriver::Slirp4netns];

    #[test]
    fn the_usual_addresses_are_taken() {
        let plan = decide("", &["172.17.0.0/16"], BOTH).unwrap();
        let tap = plan.tap.unwrap();
        assert_eq!(plan.driver, NetDriver::Slirp4netns);
        assert_eq!((tap.name.as_str(), tap.mtu), ("tap0", 65520));
        assert_eq!(tap.address(), Ipv4Addr::new(10, 0, 2, 100));
        assert_eq!(tap.gateway(), Ipv4Addr::new(10, 0, 2, 2));
        assert_eq!(tap.resolver(), Ipv4Addr::new(10, 0, 2, 3));
        assert!(plan.notes.is_empty());
    }

    #[test]
    fn the_addresses_move_when_the_outer_network_has_them() {
        for (routes, network) in [
            (&["10.0.2.0/24"][..], "10.241.2.0/24"),
            (&["10.0.0.0/8"], "172.31.254.0/24"),
            (&["10.0.0.0/8", "172.16.0.0/12"], "192.168.241.0/24"),
        ] {
            let plan = decide("", routes, BOTH).unwrap();
            assert_eq!(plan.tap.unwrap().network.to_string(), network);
            assert_eq!(plan.notes.len(), 1, "it is said");
        }
        let plan = decide("--cidr=10.1.0.0/16", &["10.0.0.0/8"], BOTH).unwrap();
        assert_eq!(plan.tap.unwrap().network.to_string(), "10.1.0.0/16");
        assert!(plan.notes[0].contains("overlaps the outer network 10.0.0.0/8"));
    }

    #[test]
    fn dockerd_is_shown_the_networks_of_the_outer_links() {
        let decide = |flags: &str, on_link: &[&str]| {
            let env = [("DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS", flags)];
            let options = Options::for_dockerd(&env.into_iter().collect()).unwrap();
            let nets: Vec<Net4> = on_link.iter().map(|net| net.parse().unwrap()).collect();
            let uplink = UplinkFacts {
                routes: nets.clone(),
                on_link: nets,
                ..UplinkFacts::default()
            };
            let outer = plan(&options, &uplink, |_| true).unwrap().outer;
            outer.iter().map(Net4::to_string).collect::<Vec<_>>()
        };
        let twice = ["172.18.0.0/16", "172.17.0.0/16", "172.17.0.0/16"];
        assert_eq!(decide("", &twice), ["172.17.0.0/16", "172.18.0.0/16"]);
        assert_eq!(decide("--cidr=172.17.5.0/24", &twice), ["172.18.0.0/16"]);
        assert!(decide("--net=none", &twice).is_empty());
        let all = ["172.16.0.0/12", "192.168.0.0/17"];
        assert_eq!(decide("", &all), all);
        assert!(decide("", &["172.16.0.0/12", "192.168.0.0/16"]).is_empty());
    }

    #[test]
    fn a_driver_that_was_asked_for_is_never_replaced() {
        let only_pasta = &[NetDriver::Pasta][..];
        let chosen = decide("", &[], only_pasta).unwrap();
        assert_eq!((chosen.driver, chosen.notes.len()), (NetDriver::Pasta, 1));
        let missing = decide("--net=slirp4netns", &[], only_pasta).unwrap_err();
        assert_eq!(missing.wanted, ["slirp4netns"]);
        assert_eq!(decide("", &[], &[]).unwrap_err().wanted.len(), 2);
        assert_eq!(decide("--net=none", &[], &[]).unwrap().tap, None);
    }

    #[test]
    fn dockerds_networks_get_the_tap_devices_mtu() {
        let plan = decide("--mtu=9000", &["172.17.0.0/16"], BOTH).unwrap();
        let inside = plan.inside(&UplinkFacts::default());
        assert_eq!(inside.mtu(), Some(9000));
        assert_eq!(plan.resolvers(), inside.resolvers);
    }

    proptest! {
        #[test]
        fn the_chosen_network_is_free_while_one_is(a in 0u8..255, b in 0u8..255, length in 8u32..25) {
            let route = Net4::new(Ipv4Addr::new(a, b, 0, 0), length);
            let plan = decide("", &[&route.to_string()], BOTH).unwrap();
            prop_assert!(!plan.tap.unwrap().network.overlaps(route));
        }
    }
}
