//! The way out: the link of the default route and its MTU, what addresses and routes are taken,
//! and the resolvers.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::net4::Net4;

/// Facts about the way out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkFacts {
    /// Links of default routes, with their MTU in bytes.
    pub links: Vec<Link>,
    /// Networks to which this namespace has a route.
    pub routes: Vec<Net4>,
    /// Name servers of /etc/resolv.conf.
    pub resolvers: Vec<IpAddr>,
    /// Options of /etc/resolv.conf.
    #[serde(default)]
    pub resolver_options: Vec<String>,
    /// Whether port 53 can be had beside what listens already; only tried when it could be
    /// needed, because every resolver is on loopback.
    pub names_port: bool,
}

/// A link that carries a default route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its MTU in bytes.
    pub mtu: u32,
}

impl UplinkFacts {
    /// Reads /proc/net, /sys/class/net and /etc/resolv.conf.
    #[must_use]
    pub fn read() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let (mut names, routes) = ipv4_routes(&text("/proc/net/route"));
        names.extend(ipv6_default_links(&text("/proc/net/ipv6_route")));
        names.sort_unstable();
        names.dedup();
        let resolv_conf = text("/etc/resolv.conf");
        let resolvers = resolvers(&resolv_conf);
        let link = |name: String| {
            let path = Path::new("/sys/class/net").join(&name).join("mtu");
            let mtu = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
            Some(Link { name, mtu })
        };
        Self {
            links: names.into_iter().filter_map(link).collect(),
            routes,
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

/// Links of default routes and the other destinations of `/proc/net/route`
/// (hexadecimal, in the byte order of the machine).
fn ipv4_routes(text: &str) -> (Vec<String>, Vec<Net4>) {
    let mut links = Vec::new();
    let mut routes = Vec::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (Some(name), Some(destination), Some(mask)) =
            (fields.first(), fields.get(1), fields.get(7))
        else {
            continue;
        };
        let number = |hex: &str| u32::from_str_radix(hex, 16).map(u32::from_be).ok();
        let (Some(destination), Some(mask)) = (number(destination), number(mask)) else {
            continue;
        };
        match mask {
            0 => links.push((*name).to_owned()),
            _ => routes.push(Net4::new(Ipv4Addr::from(destination), mask.leading_ones())),
        }
    }
    (links, routes)
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
                    eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        let (links, routes) = ipv4_routes(text);
        assert_eq!(links, ["eth0"]);
        assert_eq!(routes, ["172.17.0.0/16".parse().unwrap()]);
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
