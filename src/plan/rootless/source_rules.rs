//! What the child network namespace needs so that answers find transparent sockets: data for the
//! launcher, which applies it before the relay starts.
//!
//! What leaves with an address that is not local gets a connection mark, TCP or UDP; its answers,
//! from a container or over loopback, get a packet mark when they come in, and so do the errors
//! about it (ICMP), which belong to the same connection. Marked packets are taken for local
//! whatever their address (a routing table of its own). `tcp_fwmark_accept` hands the mark on to
//! sockets that docker-proxy accepts.

use crate::host::rootless::Filter;

/// The mark, and the number of the routing table: those of rootlesskit.
const MARK: &str = "100";

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Runs a program. When it fails, source addresses cannot be kept.
    Run(Vec<&'static str>),
    /// Runs a program that may fail: the namespace may be without IPv6.
    RunV6(Vec<&'static str>),
    /// Writes a value below `/proc/sys`.
    Sysctl {
        path: &'static str,
        value: &'static str,
    },
}

/// Every step, in order. Not to be applied twice: it belongs into a fresh namespace.
#[must_use]
pub fn rules(filter: Filter) -> Vec<Rule> {
    let mut rules = vec![Rule::Sysctl {
        path: "/proc/sys/net/ipv4/tcp_fwmark_accept",
        value: "1",
    }];
    for family in ["-4", "-6"] {
        let run = if family == "-4" {
            Rule::Run
        } else {
            Rule::RunV6
        };
        rules.push(run(vec![
            "ip", family, "route", "add", "local", "default", "dev", "lo", "table", MARK,
        ]));
        rules.push(run(vec![
            "ip", family, "rule", "add", "fwmark", MARK, "lookup", MARK, "priority", MARK,
        ]));
    }
    match filter {
        Filter::Nft => rules.push(Rule::Run(vec!["nft", NFT])),
        Filter::Iptables => {
            rules.extend(iptables("iptables").map(Rule::Run));
            rules.extend(iptables("ip6tables").map(Rule::RunV6));
        }
    }
    rules
}

/// One table for both families. `fib saddr type` is what iptables calls `addrtype`.
const NFT: &str = "\
add table inet dind-source
add chain inet dind-source output { type filter hook output priority mangle; }
add chain inet dind-source prerouting { type filter hook prerouting priority mangle; }
add rule inet dind-source output meta l4proto tcp fib saddr type != local ct mark set 100
add rule inet dind-source output meta l4proto udp fib saddr type != local ct mark set 100
add rule inet dind-source prerouting ct mark 100 meta mark set 100
";

fn iptables(program: &'static str) -> [Vec<&'static str>; 3] {
    let append = |chain: &'static str, rest: &[&'static str]| {
        let mut command = vec![program, "-w", "-t", "mangle", "-A", chain];
        command.extend(rest);
        command
    };
    let leaving = |transport: &'static str| {
        let not_ours = [
            "-p",
            transport,
            "-m",
            "addrtype",
            "!",
            "--src-type",
            "LOCAL",
        ];
        let mark = ["-j", "CONNMARK", "--set-mark", MARK];
        append("OUTPUT", &[&not_ours[..], &mark[..]].concat())
    };
    let marked = [
        "-m",
        "connmark",
        "--mark",
        MARK,
        "-j",
        "MARK",
        "--set-mark",
        MARK,
    ];
    [
        leaving("tcp"),
        leaving("udp"),
        append("PREROUTING", &marked),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_filter_marks_what_leaves_and_what_comes_in() {
        for filter in [Filter::Nft, Filter::Iptables] {
            let text = format!("{:?}", rules(filter));
            for word in [
                "output",
                "prerouting",
                "tcp",
                "udp",
                "tcp_fwmark_accept",
                "100",
            ] {
                assert!(text.to_lowercase().contains(word), "{filter:?}: {word}");
            }
        }
    }
}
