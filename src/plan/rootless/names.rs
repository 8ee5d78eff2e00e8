//! /etc/resolv.conf and /etc/hosts of the namespace. Pure.

use std::net::IpAddr;

/// resolv.conf inside: the driver is the name server; `search` and `options` of the outer file
/// stay, since names inside are resolved by the same servers in the end. Only `ndots:0`, which an
/// outer docker writes, goes: with it dockerd hands names without a dot to nobody from networks
/// that users make (moby, libnetwork/resolver.go).
#[must_use]
pub fn resolv_conf(outer: &str, resolvers: &[IpAddr]) -> String {
    let mut text = String::new();
    for resolver in resolvers {
        text.push_str(&format!("nameserver {resolver}\n"));
    }
    for line in outer.lines() {
        let keyword = line.split_whitespace().next().unwrap_or_default();
        if !["search", "domain", "options", "sortlist"].contains(&keyword) {
            continue;
        }
        let words: Vec<&str> = line
            .split_whitespace()
            .filter(|word| *word != "ndots:0")
            .collect();
        if words.len() > 1 {
            text.push_str(&words.join(" "));
            text.push('\n');
        }
    }
    text
}

/// hosts inside: the outer file, and our own name as loopback, since the outer address is not
/// inside.
#[must_use]
pub fn hosts(outer: &str, host: &str) -> String {
    let mut text = outer.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    if !host.is_empty() {
        text.push_str(&format!("127.0.0.1 {host}\n::1 {host}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_and_options_of_the_outer_file_stay() {
        let outer = "# made by kubelet\nnameserver 10.96.0.10\nsearch a.svc.cluster.local b\n\
                     options ndots:5\n";
        assert_eq!(
            resolv_conf(outer, &["10.0.2.3".parse().unwrap()]),
            "nameserver 10.0.2.3\nsearch a.svc.cluster.local b\noptions ndots:5\n"
        );
        assert_eq!(resolv_conf("", &[]), "");
        assert_eq!(resolv_conf("options ndots:0\n", &[]), "");
        assert_eq!(
            resolv_conf("options edns0 ndots:0 rotate\n", &[]),
            "options edns0 rotate\n"
        );
    }

    #[test]
    fn our_own_name_is_loopback() {
        assert_eq!(
            hosts("172.17.0.2 box", "box"),
            "172.17.0.2 box\n127.0.0.1 box\n::1 box\n"
        );
        assert_eq!(hosts("", ""), "");
    }
}
