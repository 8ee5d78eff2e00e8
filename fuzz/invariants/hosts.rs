//! A hosts file: the daemon's reader and the clients' agree on every name.

use std::collections::BTreeSet;
use std::net::IpAddr;

use dind_init::host::listen::parse_hosts;
use dind_init::net::resolve::hosts::lookup;

use super::shape;

/// The bytes of an /etc/hosts.
pub fn check(bytes: &[u8]) {
    let names = shape::text_lines(bytes, parse_hosts);
    let text = String::from_utf8_lossy(bytes);
    for (name, _) in names.iter().take(32) {
        let found = lookup(text.as_bytes(), name);
        let unique: BTreeSet<_> = found.iter().copied().collect();
        assert_eq!(unique.len(), found.len(), "each address once");
        let bare = name.strip_suffix('.').unwrap_or(name);
        let known = names
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(bare));
        let known: BTreeSet<IpAddr> = known.map(|(_, ip)| *ip).collect();
        assert_eq!(unique, known, "{name}");
    }
    assert!(lookup(bytes, "a name with blanks").is_empty());
}
