//! Where dockerd certainly cannot program the packet filter.

use crate::base::explain::{Advice, Explain, samples};
use crate::host::netfilter::rules::{FamilyProbe, Piece};
use crate::host::netfilter::tools::Backend;

/// A refusal because of the packet filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetfilterRefusal {
    /// There is no program for it.
    #[error("{program} is not in PATH")]
    NoTools { program: &'static str },
    /// No backend takes the rules that dockerd writes.
    #[error("the packet filter does not take the rules that dockerd writes")]
    NothingWorks {
        /// Each backend that was tried, with what does not work.
        failures: Vec<(Backend, FamilyProbe)>,
        /// Whether this kernel can load modules.
        modules: bool,
    },
    /// nftables came with engine 29.
    #[error("nftables needs engine 29 or newer")]
    EngineTooOld { version: Option<String> },
}

/// Modules of a backend that the kernel can be asked for by name (15 letters at most).
#[must_use]
pub(super) fn modules(backend: Backend) -> &'static [&'static str] {
    match backend {
        Backend::Nft => &[
            "nf_tables",
            "nft_compat",
            "nft_chain_nat",
            "nf_nat",
            "nf_conntrack",
            "xt_addrtype",
            "xt_conntrack",
            "xt_MASQUERADE",
            "xt_nat",
        ],
        Backend::Legacy => &[
            "ip_tables",
            "iptable_filter",
            "iptable_nat",
            "iptable_raw",
            "xt_addrtype",
            "xt_conntrack",
            "xt_MASQUERADE",
            "xt_nat",
            "ip6_tables",
            "ip6table_filter",
            "ip6table_nat",
        ],
        Backend::Nftables => &[
            "nf_tables",
            "nft_chain_nat",
            "nft_nat",
            "nft_masq",
            "nft_ct",
            "nft_fib_ipv4",
        ],
    }
}

/// The kernel option and the module of a piece.
fn option(backend: Backend, piece: Piece) -> Option<(&'static str, &'static str)> {
    use Backend::{Legacy, Nft, Nftables};
    Some(match (backend, piece) {
        (_, Piece::Program) => return None,
        (Legacy, Piece::Filter) => ("CONFIG_IP_NF_FILTER", "iptable_filter"),
        (Legacy, Piece::Nat) => ("CONFIG_IP_NF_NAT", "iptable_nat"),
        (Nft | Nftables, Piece::Filter) => ("CONFIG_NF_TABLES_IPV4", "nf_tables"),
        (Nft | Nftables, Piece::Nat) => ("CONFIG_NFT_NAT", "nft_chain_nat"),
        (Legacy, Piece::Return) => ("CONFIG_IP_NF_IPTABLES", "ip_tables"),
        (Nft, Piece::Return) => ("CONFIG_NFT_COMPAT", "nft_compat"),
        (Nftables, Piece::Return) => return None,
        (Nftables, Piece::Addrtype) => ("CONFIG_NFT_FIB_IPV4", "nft_fib_ipv4"),
        (_, Piece::Addrtype) => ("CONFIG_NETFILTER_XT_MATCH_ADDRTYPE", "xt_addrtype"),
        (Nftables, Piece::Conntrack) => ("CONFIG_NFT_CT", "nft_ct"),
        (_, Piece::Conntrack) => ("CONFIG_NETFILTER_XT_MATCH_CONNTRACK", "xt_conntrack"),
        (Nftables, Piece::Masquerade) => ("CONFIG_NFT_MASQ", "nft_masq"),
        (_, Piece::Masquerade) => ("CONFIG_NETFILTER_XT_TARGET_MASQUERADE", "xt_MASQUERADE"),
        (Nftables, Piece::Dnat) => ("CONFIG_NFT_NAT", "nft_nat"),
        (_, Piece::Dnat) => ("CONFIG_NETFILTER_XT_NAT", "xt_nat"),
    })
}

/// How a piece is called.
fn word(piece: Piece) -> &'static str {
    match piece {
        Piece::Program => "the program",
        Piece::Filter => "table filter",
        Piece::Nat => "table nat",
        Piece::Return => "-j RETURN",
        Piece::Addrtype => "addrtype",
        Piece::Conntrack => "conntrack",
        Piece::Masquerade => "MASQUERADE",
        Piece::Dnat => "DNAT",
    }
}

/// What does not work, with the first complaint.
pub(super) fn said(probe: &FamilyProbe) -> String {
    let pieces: Vec<_> = probe
        .missing
        .iter()
        .map(|missing| word(missing.piece))
        .collect();
    let said = probe.missing.first().map_or("", |missing| &missing.said);
    format!("{}: {said}", pieces.join(", "))
}

impl Explain for NetfilterRefusal {
    fn advice(&self) -> Advice {
        const OFF: &str = "or start with --iptables=false --ip6tables=false: nested containers \
                           then have no way out and no published ports";
        match self {
            Self::NoTools { program } => {
                let package = if *program == "nft" {
                    "nftables"
                } else {
                    "iptables"
                };
                Advice::new(
                    "dockerd runs it to connect containers to the network, and ends without it",
                    format!("install {package} in the image, {OFF}"),
                )
            }
            Self::NothingWorks { failures, modules } => {
                let line = |(backend, probe): &(Backend, FamilyProbe)| {
                    format!("{}: {}", backend.name(), said(probe))
                };
                let why = failures.iter().map(line).collect::<Vec<_>>().join("\n");
                let mut options: Vec<(&str, &str)> = Vec::new();
                // One backend is enough: the one that lacks least.
                let nearest = failures.iter().min_by_key(|(_, probe)| probe.missing.len());
                if let Some((backend, probe)) = nearest {
                    let missing = probe.missing.iter();
                    options.extend(missing.filter_map(|m| option(*backend, m.piece)));
                }
                let names = |pick: fn(&(&'static str, &'static str)) -> &'static str| {
                    options.iter().map(pick).collect::<Vec<_>>().join(" ")
                };
                let (configs, names) = (names(|(config, _)| config), names(|(_, name)| name));
                let fix = match (names.is_empty(), modules) {
                    (true, _) => format!("install a program that fits this kernel, {OFF}"),
                    (false, true) => format!(
                        "on the node: modprobe -a {names} (kernel options {configs}), {OFF}"
                    ),
                    (false, false) => format!("use a kernel with {configs}, {OFF}"),
                };
                Advice::new(why, fix)
            }
            Self::EngineTooOld { version } => Advice::new(
                match version {
                    Some(version) => format!("this is engine {version}"),
                    None => "this is an older engine".into(),
                },
                "remove DIND_FIREWALL=nftables, or use an image with engine 29",
            ),
        }
    }
}

samples! { NetfilterRefusal {
    NoTools { program: "iptables" },
    NothingWorks { failures: failures(Piece::Nat), modules: true },
    NothingWorks { failures: failures(Piece::Nat), modules: false },
    NothingWorks { failures: failures(Piece::Program), modules: false },
    EngineTooOld { version: Some("28.5.2".into()) },
} }

#[cfg(test)]
fn failures(piece: Piece) -> Vec<(Backend, FamilyProbe)> {
    let missing = vec![crate::host::netfilter::rules::Missing {
        piece,
        said: "what iptables says".into(),
    }];
    let probe = FamilyProbe {
        missing,
        no_raw: None,
    };
    vec![(Backend::Nft, probe)]
}
