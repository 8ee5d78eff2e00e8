//! Names and addresses of this machine, as the server certificate must carry them (S24).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::listen::parse_hosts;
use crate::files;
use crate::tls::Names;

/// Names and addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkFacts {
    /// Host names: the node name, /etc/hostname, and the full name from /etc/hosts.
    pub names: Vec<String>,
    /// Every address of every interface.
    pub addresses: Vec<IpAddr>,
}

impl NetworkFacts {
    /// Reads names and addresses.
    #[must_use]
    pub fn read() -> Self {
        let text = |path: &str| files::text(std::path::Path::new(path)).unwrap_or_default();
        let node = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let mut addresses = crate::sys::netdev::addresses();
        addresses.sort_unstable();
        addresses.dedup();
        Self {
            names: names(&node, &text("/etc/hostname"), &text("/etc/hosts")),
            addresses,
        }
    }
}

impl NetworkFacts {
    /// What the server certificate must carry.
    #[must_use]
    pub fn certificate_names(&self) -> Names {
        Names {
            dns: self.names.clone(),
            addresses: self.addresses.clone(),
        }
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
    fn full_and_short_names_are_collected_once() {
        let hosts = "127.0.0.1 localhost\n172.17.0.2 box.example.org box\n";
        assert_eq!(names("box", "box\n", hosts), ["box", "box.example.org"]);
        assert_eq!(names("a.b", "", ""), ["a.b", "a"]);
        assert_eq!(names("(none)", "", ""), Vec::<String>::new());
    }
}
