//! The netfilter probe: the rules that dockerd writes, written in a network namespace that ends
//! with the probe, by the very tools that dockerd will use.
//!
//! One call programs everything. Only when that fails is each piece tried by itself, so that the
//! refusal can name what is missing.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::sys::program::{self, Output};

/// Something that dockerd's rules are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    Program,
    /// A chain in the table `filter`.
    Filter,
    /// A chain in the table `nat`.
    Nat,
    /// `-j RETURN`.
    Return,
    /// `-m addrtype`.
    Addrtype,
    /// `-m conntrack`.
    Conntrack,
    /// `-j MASQUERADE`.
    Masquerade,
    /// `-j DNAT`.
    Dnat,
}

/// A piece that does not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    pub piece: Piece,
    /// What the program said.
    pub said: String,
}

/// How one family of addresses did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyProbe {
    pub missing: Vec<Missing>,
    /// What the program said about the table `raw`, which engines from 28 on use; nothing when
    /// it works.
    pub no_raw: Option<String>,
}

impl FamilyProbe {
    /// Whether dockerd can work with it.
    #[must_use]
    pub fn works(&self) -> bool {
        self.missing.is_empty()
    }
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// A network, a host in it, and the host with a port, as rules write them.
    fn addresses(self) -> [&'static str; 3] {
        match self {
            Self::V4 => ["192.0.2.0/24", "192.0.2.2", "192.0.2.2:80"],
            Self::V6 => ["2001:db8::/64", "2001:db8::2", "[2001:db8::2]:80"],
        }
    }
}

/// The programs of one family, and how they are run.
#[derive(Debug, Clone)]
pub struct FamilyTools {
    /// The addresses.
    pub family: Family,
    /// `iptables` or `ip6tables`.
    pub program: PathBuf,
    /// Its restore program.
    pub restore: Option<PathBuf>,
    pub env: Vec<OsString>,
}

const CHAIN: &str = "DIND-PROBE";

/// Waits for the lock of other legacy tools on this file system.
const WAIT: [&str; 2] = ["-w", "3"];

/// The probe, to be run in a network namespace of its own.
#[must_use]
pub fn run(tools: &FamilyTools) -> FamilyProbe {
    if let Some(restore) = &tools.restore {
        let argv = WAIT.map(OsString::from);
        let text = all_rules(tools.family);
        if call(restore, &argv, tools, text.as_bytes()).is_ok_and(|output| output.success()) {
            return FamilyProbe::default();
        }
    }
    one_by_one(tools)
}

/// Everything, for a restore program.
fn all_rules(family: Family) -> String {
    let mut text = String::new();
    for table in ["filter", "nat", "raw"] {
        text.push_str(&format!("*{table}\n"));
        if table != "raw" {
            text.push_str(&format!(":{CHAIN} - [0:0]\n"));
        }
        for (_, of, rule) in rules(family) {
            if of == table {
                text.push_str(&format!("-A {}\n", rule.join(" ")));
            }
        }
        text.push_str("COMMIT\n");
    }
    text
}

/// Rules with the piece that each of them needs, and its table; `raw` has no piece.
fn rules(family: Family) -> Vec<(Option<Piece>, &'static str, Vec<&'static str>)> {
    let [net, host, port] = family.addresses();
    vec![
        (Some(Piece::Return), "filter", vec![CHAIN, "-j", "RETURN"]),
        (
            Some(Piece::Conntrack),
            "filter",
            vec![
                CHAIN,
                "-m",
                "conntrack",
                "--ctstate",
                "RELATED,ESTABLISHED",
                "-j",
                "ACCEPT",
            ],
        ),
        (
            Some(Piece::Addrtype),
            "nat",
            vec![
                "PREROUTING",
                "-m",
                "addrtype",
                "--dst-type",
                "LOCAL",
                "-j",
                CHAIN,
            ],
        ),
        (
            Some(Piece::Masquerade),
            "nat",
            vec![
                "POSTROUTING",
                "-s",
                net,
                "!",
                "-o",
                "docker0",
                "-j",
                "MASQUERADE",
            ],
        ),
        (
            Some(Piece::Dnat),
            "nat",
            vec![
                CHAIN,
                "-p",
                "tcp",
                "--dport",
                "80",
                "-j",
                "DNAT",
                "--to-destination",
                port,
            ],
        ),
        (
            None,
            "raw",
            vec!["PREROUTING", "-d", host, "!", "-i", "docker0", "-j", "DROP"],
        ),
    ]
}

fn one_by_one(tools: &FamilyTools) -> FamilyProbe {
    let attempt = |table: &str, verb: &str, rule: &[&str]| -> Result<(), String> {
        let head = [WAIT[0], WAIT[1], "-t", table, verb];
        let argv: Vec<OsString> = head.iter().chain(rule).map(OsString::from).collect();
        match call(&tools.program, &argv, tools, b"") {
            Ok(output) if output.success() => Ok(()),
            Ok(output) => Err(first_line(&output)),
            Err(error) => Err(error.to_string()),
        }
    };
    let mut probe = FamilyProbe::default();
    let mut broken = Vec::new();
    for (piece, table) in [(Piece::Filter, "filter"), (Piece::Nat, "nat")] {
        if let Err(said) = attempt(table, "-N", &[CHAIN]) {
            probe.missing.push(Missing { piece, said });
            broken.push(table);
        }
    }
    for (piece, table, rule) in rules(tools.family) {
        let result = match broken.contains(&table) {
            true => Ok(()), // the table is named already
            false => attempt(table, "-A", &rule),
        };
        match (piece, result) {
            (_, Ok(())) => {}
            (Some(piece), Err(said)) => probe.missing.push(Missing { piece, said }),
            (None, Err(said)) => probe.no_raw = Some(said),
        }
    }
    probe
}

/// The native nftables of engine 29, by the program that it runs.
#[must_use]
pub fn run_nft(nft: &Path, env: &[OsString]) -> FamilyProbe {
    const HOOKS: [(Piece, &str); 6] = [
        (
            Piece::Filter,
            "add chain ip dind-probe filter { type filter hook forward priority 0; }",
        ),
        (
            Piece::Nat,
            "add chain ip dind-probe nat { type nat hook postrouting priority 100; }",
        ),
        (
            Piece::Conntrack,
            "add rule ip dind-probe filter ct state established,related accept",
        ),
        (
            Piece::Addrtype,
            "add rule ip dind-probe filter fib daddr type local return",
        ),
        (
            Piece::Masquerade,
            "add rule ip dind-probe nat oifname != docker0 masquerade",
        ),
        (
            Piece::Dnat,
            "add chain ip dind-probe dnat { type nat hook prerouting priority -100; }; \
                       add rule ip dind-probe dnat tcp dport 80 dnat to 192.0.2.2:80",
        ),
    ];
    let attempt = |text: &str| {
        let argv = ["nft", "-f", "-"].map(OsString::from);
        match program::run(nft, &argv, env, text.as_bytes()) {
            Ok(output) if output.success() => Ok(()),
            Ok(output) => Err(first_line(&output)),
            Err(error) => Err(error.to_string()),
        }
    };
    let table = "add table ip dind-probe";
    let all: Vec<_> = HOOKS.iter().map(|(_, rule)| *rule).collect();
    if attempt(&format!("{table}\n{}\n", all.join("\n"))).is_ok() {
        return FamilyProbe::default();
    }
    let mut probe = FamilyProbe::default();
    if let Err(said) = attempt(table) {
        let piece = Piece::Program;
        probe.missing.push(Missing { piece, said });
        return probe;
    }
    for (piece, rule) in HOOKS {
        if let Err(said) = attempt(rule) {
            probe.missing.push(Missing { piece, said });
        }
    }
    probe
}

fn call(
    program: &Path,
    argv: &[OsString],
    tools: &FamilyTools,
    input: &[u8],
) -> io::Result<Output> {
    let name = program.as_os_str().to_owned();
    let words: Vec<_> = [name].into_iter().chain(argv.to_vec()).collect();
    program::run(program, &words, &tools.env, input)
}

/// What a person needs of a program's complaint.
fn first_line(output: &Output) -> String {
    let lines = output.text.lines().map(str::trim);
    let useful = |line: &&str| !line.is_empty() && !line.starts_with("modprobe: ");
    match (lines.clone().find(useful), output.code) {
        (Some(line), _) => line.to_owned(),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "killed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_holds_every_rule_in_its_table() {
        let text = all_rules(Family::V6);
        let tables: Vec<_> = text.split("COMMIT\n").collect();
        assert_eq!(tables.len(), 4);
        assert!(
            tables[0].starts_with("*filter\n:DIND-PROBE - [0:0]\n"),
            "{text}"
        );
        for word in [
            "addrtype",
            "MASQUERADE",
            "DNAT --to-destination [2001:db8::2]:80",
        ] {
            assert!(tables[1].contains(word), "{word}: {text}");
        }
        assert!(
            tables[2].starts_with("*raw\n-A PREROUTING -d 2001:db8::2"),
            "{text}"
        );
    }

    #[test]
    fn the_useful_line_of_a_complaint_is_kept() {
        let said = |text: &str, code| {
            first_line(&Output {
                code,
                text: text.into(),
            })
        };
        let text = "modprobe: can't change directory to '/lib/modules': No such file\n\
                    iptables v1.8.10 (legacy): can't initialize iptables table `nat': Table does \
                    not exist\nPerhaps\n";
        assert!(said(text, Some(3)).starts_with("iptables v1.8.10 (legacy): can't initialize"));
        assert_eq!(said("", Some(127)), "exit code 127");
    }
}
