//! `/etc/hosts`: text to addresses. Pure.

use std::collections::HashSet;
use std::net::IpAddr;

/// The addresses that a hosts file gives a name, in its order; names compare without case.
#[must_use]
pub fn lookup(text: &[u8], name: &str) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for line in String::from_utf8_lossy(text).lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(address) = words.next() else {
            continue;
        };
        if !words.any(|word| word.eq_ignore_ascii_case(name)) {
            continue;
        }
        // Addresses with a zone (fe80::1%eth0) are passed over: a daemon is never reached so.
        if let Ok(address) = address.parse()
            && seen.insert(address)
        {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_names_and_aliases_of_both_families() {
        let text = b"127.0.0.1\tlocalhost\n::1 localhost ip6-localhost # local\n\
            172.17.0.2 docker DinD # docker-comment other\nfe80::1%eth0 docker\n\
            not-an-address docker\n172.17.0.2 docker\n# 1.2.3.4 docker\n\xff\xfe x\n";
        let table: [(&str, Vec<IpAddr>); 6] = [
            ("docker", vec![Ipv4Addr::new(172, 17, 0, 2).into()]),
            ("dind", vec![Ipv4Addr::new(172, 17, 0, 2).into()]),
            ("docker.", vec![Ipv4Addr::new(172, 17, 0, 2).into()]),
            (
                "localhost",
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            ),
            ("other", vec![]),
            ("", vec![]),
        ];
        for (name, want) in table {
            assert_eq!(lookup(text, name), want, "{name}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..200), name in "\\PC{0,8}") {
            let _ = lookup(&text, &name);
        }

        #[test]
        fn finds_any_address_among_other_lines(
            address in any::<IpAddr>(),
            noise in "[ -\"$-~\n]{0,60}",
            name in "[a-z]{12,20}",
        ) {
            let text = format!("{noise}\n{address}\tother {name}\n{noise}\n");
            prop_assert_eq!(lookup(text.as_bytes(), &name), vec![address]);
        }
    }
}
