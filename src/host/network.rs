//! Names and addresses of this machine, as the server certificate must carry them.

use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::aliases::Asking;
use super::listen::parse_hosts;
use super::uplink;
use crate::base::environment::Environment;
use crate::files::{self, kernel};
use crate::tls::Names;

/// Names and addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkFacts {
    /// Host names: the node name, /etc/hostname, and the full name from /etc/hosts.
    pub names: Vec<String>,
    /// The addresses under which others reach us.
    pub addresses: Vec<IpAddr>,
    /// Link-local addresses, and those of bridges and links of networks inside.
    #[serde(default)]
    pub inner: Vec<IpAddr>,
    /// Names that the network around us has for us.
    #[serde(default)]
    pub aliases: Vec<String>,
}

impl NetworkFacts {
    /// Reads names and addresses.
    #[must_use]
    pub fn read() -> Self {
        let text = |path: &str| files::text(Path::new(path)).unwrap_or_default();
        let node = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let ways_out = uplink::default_links();
        let (mut addresses, mut inner) = (Vec::new(), Vec::new());
        for (link, address) in crate::sys::netdev::interface_addresses() {
            let bridge = || {
                let link = Path::new("/sys/class/net").join(&link);
                kernel::exists(link.join("bridge"))
            };
            let inside = !ways_out.contains(&link) && (is_inner_name(&link) || bridge());
            if inside || is_link_local(address) {
                inner.push(address);
            } else {
                addresses.push(address);
            }
        }
        for list in [&mut addresses, &mut inner] {
            list.sort_unstable();
            list.dedup();
        }
        Self {
            names: names(&node, &text("/etc/hostname"), &text("/etc/hosts")),
            addresses,
            inner,
            aliases: Vec::new(),
        }
    }

    /// Asks the network around us for its names for us; the answers are read later.
    #[must_use]
    pub fn ask(&self, env: &Environment) -> Option<Asking> {
        Asking::start(env, &self.addresses)
    }

    /// The same at once.
    #[must_use]
    pub fn with_aliases(mut self, env: &Environment) -> Self {
        self.aliases = self.ask(env).map(Asking::finish).unwrap_or_default();
        self
    }

    /// What the server certificate must carry.
    #[must_use]
    pub fn certificate_names(&self) -> Names {
        let mut dns = self.names.clone();
        dns.extend(self.aliases.iter().cloned());
        Names {
            dns,
            addresses: self.addresses.clone(),
            welcome: self.inner.clone(),
        }
    }
}

/// Links as dockerd names them: they come and go with its networks and containers. A way out of
/// our own never counts as one of them, whatever it is called (the host's network).
fn is_inner_name(link: &str) -> bool {
    ["docker0", "docker_gwbridge"].contains(&link)
        || link.starts_with("br-")
        || link.starts_with("veth")
}

/// No client can name such an address in a `DOCKER_HOST` without saying by which link.
fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// The node name, the configured name, the full name that /etc/hosts gives either of them (what
/// `hostname -f` prints), and the short forms.
fn names(node: &str, hostname: &str, hosts: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !name.is_empty() && name != "(none)" && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    };
    for name in [node, hostname.trim()] {
        add(name);
        add(name.split('.').next().unwrap_or_default());
        let hosts = parse_hosts(hosts);
        let of_same_address = hosts
            .iter()
            .filter(|(host, ip)| host == name && !ip.is_loopback())
            .filter_map(|(_, ip)| hosts.iter().find(|(_, other)| other == ip));
        for (canonical, _) in of_same_address {
            add(canonical);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inside_is_welcome_and_not_required() {
        for (link, inner) in [
            ("docker0", true),
            ("br-0123456789ab", true),
            ("veth1a2b3c", true),
            ("docker_gwbridge", true),
            ("eth0", false),
            ("lo", false),
            ("br0", false),
            ("docker1", false),
        ] {
            assert_eq!(is_inner_name(link), inner, "{link}");
        }
        for (address, local) in [
            ("fe80::1", true),
            ("169.254.169.254", true),
            ("fd00::1", false),
            ("172.17.0.1", false),
        ] {
            assert_eq!(is_link_local(address.parse().unwrap()), local, "{address}");
        }
        let facts = NetworkFacts {
            names: vec!["box".into()],
            addresses: vec!["10.0.0.2".parse().unwrap()],
            inner: vec!["172.17.0.1".parse().unwrap()],
            aliases: vec!["dind".into()],
        };
        let names = facts.certificate_names();
        assert_eq!(names.dns, ["box", "dind"]);
        assert_eq!(
            (names.addresses, names.welcome),
            (facts.addresses, facts.inner)
        );
    }

    #[test]
    fn full_and_short_names_are_collected_once() {
        let hosts = "127.0.0.1 localhost\n172.17.0.2 box.example.org box\n";
        assert_eq!(names("box", "box\n", hosts), ["box", "box.example.org"]);
        assert_eq!(names("a.b", "", ""), ["a.b", "a"]);
        assert_eq!(names("(none)", "", ""), Vec::<String>::new());
    }
}
