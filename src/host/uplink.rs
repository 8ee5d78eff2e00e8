//! The way out: the link of the default route and its MTU, what addresses and routes are taken,
//! and the resolvers.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::net4::Net4;
use crate::files::{self, kernel};
use crate::sys::tap;

/// Facts about the way out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkFacts {
    /// Links of default routes, with their MTU in bytes.
    pub links: Vec<Link>,
    /// Whether all of these routes are of IPv6.
    #[serde(default)]
    pub only_ipv6: bool,
    /// Networks to which this namespace has a route.
    pub routes: Vec<Net4>,
    /// Those of them that no gateway leads to: a dockerd that saw them would keep clear of them.
    #[serde(default)]
    pub on_link: Vec<Net4>,
    /// docker0, where it is there already: dockerd keeps its address.
    #[serde(default)]
    pub docker0: Option<BridgeAddress>,
    /// Name servers of /etc/resolv.conf.
    pub resolvers: Vec<IpAddr>,
    /// Options of /etc/resolv.conf.
    #[serde(default)]
    pub resolver_options: Vec<String>,
    /// Whether port 53 can be had beside what listens already; only tried when it could be
    /// needed, because every resolver is on loopback.
    pub names_port: bool,
}

/// The IPv4 address of a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeAddress {
    pub address: Ipv4Addr,
    pub network: Net4,
}

/// A link that carries a default route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    pub name: String,
    /// Its MTU in bytes.
    pub mtu: u32,
}

impl UplinkFacts {
    /// Reads /proc/net, /sys/class/net and /etc/resolv.conf.
    #[must_use]
    pub fn read() -> Self {
        let text = |path: &str| kernel::text(path).unwrap_or_default();
        let Ipv4Routes {
            default_links: mut names,
            routes,
            on_link,
        } = ipv4_routes(&text("/proc/net/route"));
        let six = ipv6_default_links(&text("/proc/net/ipv6_route"));
        let only_ipv6 = names.is_empty() && !six.is_empty();
        names.extend(six);
        names.sort_unstable();
        names.dedup();
        let resolv_conf = files::text(Path::new("/etc/resolv.conf")).unwrap_or_default();
        let resolvers = resolvers(&resolv_conf);
        let link = |name: String| {
            let path = Path::new("/sys/class/net").join(&name).join("mtu");
            let mtu = kernel::text(path).ok()?.trim().parse().ok()?;
            Some(Link { name, mtu })
        };
        Self {
            links: names.into_iter().filter_map(link).collect(),
            only_ipv6,
            routes,
            on_link,
            docker0: tap::ipv4_of("docker0").map(|(address, length)| BridgeAddress {
                address,
                network: Net4::new(address, length),
            }),
            names_port: only_loopback(&resolvers) && crate::forwarder::Sockets::bind(TRIAL).is_ok(),
            resolvers,
            resolver_options: resolver_options(&resolv_conf),
        }
    }

    /// The smallest MTU of the links that carry a default route.
    #[must_use]
    pub fn mtu(&self) -> Option<u32> {
        self.links.iter().map(|link| link.mtu).min()
    }
}

/// An address of the loopback network that nobody uses: a listener on every address is found by
/// it, one on 127.0.0.53 is not in its way.
const TRIAL: Ipv4Addr = Ipv4Addr::new(127, 254, 53, 53);

/// Whether there are resolvers, and none of them can be reached from a container.
#[must_use]
pub fn only_loopback(resolvers: &[IpAddr]) -> bool {
    !resolvers.is_empty() && resolvers.iter().all(IpAddr::is_loopback)
}

/// The links of our default routes.
#[must_use]
pub fn default_links() -> Vec<String> {
    let text = |path: &str| kernel::text(path).unwrap_or_default();
    let mut links = ipv4_routes(&text("/proc/net/route")).default_links;
    links.extend(ipv6_default_links(&text("/proc/net/ipv6_route")));
    links
}

/// What `/proc/net/route` has.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ipv4Routes {
    default_links: Vec<String>,
    /// Every other destination.
    routes: Vec<Net4>,
    /// Those without a gateway.
    on_link: Vec<Net4>,
}

/// Flag of a route that has a gateway (linux/route.h).
const RTF_GATEWAY: u32 = 0x0002;

/// The interface of a route that leads nowhere (unreachable, blackhole).
const NOWHERE: &str = "*";

/// Reads `/proc/net/route` (hexadecimal; addresses in the byte order of the machine).
fn ipv4_routes(text: &str) -> Ipv4Routes {
    let mut found = Ipv4Routes::default();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let hex = |field: usize| u32::from_str_radix(fields.get(field)?, 16).ok();
        let (Some(name), Some(destination), Some(flags), Some(mask)) =
            (fields.first(), hex(1), hex(3), hex(7))
        else {
            continue;
        };
        let (destination, mask) = (u32::from_be(destination), u32::from_be(mask));
        if mask == 0 {
            found.default_links.push((*name).to_owned());
            continue;
        }
        let net = Net4::new(Ipv4Addr::from(destination), mask.leading_ones());
        found.routes.push(net);
        if flags & RTF_GATEWAY == 0 && *name != NOWHERE {
            found.on_link.push(net);
        }
    }
    found
}

/// Links of default routes in `/proc/net/ipv6_route`; the kernel's own rejecting routes are on
/// `lo` and count for nothing.
fn ipv6_default_links(text: &str) -> Vec<String> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let default = fields.get(1) == Some(&"00");
        fields
            .last()
            .filter(|name| default && **name != "lo")
            .map(|name| (*name).to_owned())
    };
    text.lines().filter_map(line).collect()
}

/// The `nameserver` lines of a resolv.conf (`resolv.conf(5)`); a zone (`%eth0`) is cut off.
#[must_use]
pub fn resolvers(text: &str) -> Vec<IpAddr> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let address = words
            .next()
            .filter(|word| *word == "nameserver")
            .and_then(|_| words.next())?;
        address.split('%').next()?.parse().ok()
    };
    text.lines().filter_map(line).collect()
}

/// The words of the `options` lines of a resolv.conf.
fn resolver_options(text: &str) -> Vec<String> {
    let mut options = Vec::new();
    for line in text.lines() {
        // Like the resolver, only at the beginning of a line.
        if let Some(words) = line
            .strip_prefix("options")
            .filter(|words| words.starts_with([' ', '\t']))
        {
            options.extend(words.split_whitespace().map(str::to_owned));
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn default_links_and_taken_networks_are_read() {
        let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n\
                    eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                    eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                    eth0\t000012AC\t010011AC\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                    *\t000013AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        let nets = |texts: &[&str]| -> Vec<Net4> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let found = ipv4_routes(text);
        assert_eq!(found.default_links, ["eth0"]);
        let routes = ["172.17.0.0/16", "172.18.0.0/16", "172.19.0.0/16"];
        assert_eq!(found.routes, nets(&routes));
        assert_eq!(found.on_link, nets(&routes[..1]));
        let six = "00000000000000000000000000000000 00 0 00 fe80 00000400 1 0 00000003 eth1\n\
                   00000000000000000000000000000000 00 0 00 0 ffffffff 1 0 00200200 lo\n";
        assert_eq!(ipv6_default_links(six), ["eth1"]);
    }

    #[test]
    fn resolvers_are_read_and_other_lines_passed_over() {
        let text =
            "search x\nnameserver 127.0.0.11\n# nameserver 1.1.1.1\nnameserver fe80::1%eth0\n";
        assert_eq!(
            resolvers(text),
            [
                "127.0.0.11".parse::<IpAddr>().unwrap(),
                "fe80::1".parse().unwrap()
            ]
        );
    }

    #[test]
    fn options_of_all_lines_are_read() {
        let text = "options ndots:0 edns0\n#options x\noptionsy z\noptions\trotate\n";
        assert_eq!(resolver_options(text), ["ndots:0", "edns0", "rotate"]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(.{0,60}\n){0,4}") {
            let _ = (ipv4_routes(&text), ipv6_default_links(&text), resolvers(&text));
        }
    }
}
