//! Known problems of packet filters, as a table of machines and what is decided.

use super::*;
use crate::base::explain::Explain;
use crate::host::netfilter::existing::Existing;
use crate::host::netfilter::rules::{Missing, Piece};
use crate::host::said;

fn tools(backend: Backend, reach: Reach) -> Tools {
    let infix = match (&reach, backend) {
        (Reach::Links, Backend::Legacy) => "-legacy",
        (Reach::Links, _) => "-nft",
        _ => "",
    };
    Tools {
        backend,
        reach,
        iptables: format!("/usr/sbin/iptables{infix}").into(),
        ip6tables: Some(format!("/usr/sbin/ip6tables{infix}").into()),
        restore: None,
        restore6: None,
    }
}

fn fine() -> FamilyProbe {
    FamilyProbe::default()
}

fn lacks(piece: Piece, said: &str) -> FamilyProbe {
    FamilyProbe {
        missing: vec![Missing {
            piece,
            said: said.into(),
        }],
        no_raw: None,
    }
}

fn probe(backend: Backend, v4: FamilyProbe, v6: FamilyProbe) -> BackendProbe {
    BackendProbe {
        backend,
        v4: ProbeResult::Known(v4),
        v6: Some(ProbeResult::Known(v6)),
    }
}

/// An image with both backends, as the official one is, on a kernel that has everything.
fn machine() -> NetfilterFacts {
    NetfilterFacts {
        existing: Existing::default(),
        tools: vec![
            tools(Backend::Nft, Reach::Path),
            tools(Backend::Legacy, Reach::Directory(LEGACY_FARM.into())),
        ],
        nft: Some("/usr/sbin/nft".into()),
        probes: vec![probe(Backend::Nft, fine(), fine())],
        ipv6: true,
        forwarding: false,
        bridge_calls: Some(true),
        modules: false,
        requested: Vec::new(),
    }
}

const NO_NAT: &str = "TABLE_ADD failed (Not supported): table nat";
const NO_TABLE: &str = "can't initialize iptables table `nat': Table does not exist";

/// Words for dockerd, variables, daemon.json.
type Said<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
const NOTHING: Said<'_> = (&[], &[], "{}");

fn with<R>(said: Said<'_>, use_it: impl FnOnce(&Config, &DaemonFile) -> R) -> R {
    let (words, env, json) = said;
    use_it(&said::config(words, env), &said::file(json))
}

fn engine(version: &str) -> EngineFacts {
    EngineFacts::from_version_line(&format!("Docker version {version}, build 1\n"))
}

fn decide_with(facts: &NetfilterFacts, version: &str, said: Said<'_>) -> NetfilterPlan {
    with(said, |config, file| {
        plan(
            config,
            file,
            facts,
            &engine(version),
            Path::new("/run/dind-init"),
        )
    })
}

fn decide(facts: &NetfilterFacts, said: Said<'_>) -> NetfilterPlan {
    decide_with(facts, "28.5.2", said)
}

/// The decision in one line: backend, PATH, flags, steps, and whether it warns or refuses.
fn line(plan: &NetfilterPlan) -> String {
    let mut text = plan.backend.map_or("none", Backend::name).to_owned();
    if let Some(path) = &plan.path {
        text.push_str(&format!(" PATH={}", path.display()));
    }
    for flag in &plan.flags {
        text.push_str(&format!(" --{}={}", flag.name, flag.value));
    }
    for step in &plan.steps {
        text.push_str(&format!(" [{}]", step.action));
    }
    if !plan.warnings.is_empty() {
        text.push_str(" warned");
    }
    if plan.refusal.is_some() {
        text.push_str(" refused");
    }
    text
}

const FARM: &str = "PATH=/usr/local/sbin/.iptables-legacy";

#[test]
fn nft_is_used_where_both_could_work() {
    let plan = decide(&machine(), NOTHING);
    assert_eq!(line(&plan), "iptables-nft");
    assert_eq!(
        plan.to_string(),
        "firewall: iptables-nft: it takes all rules that dockerd writes"
    );
}

#[test]
fn legacy_is_used_where_nft_lacks_a_piece_and_legacy_does_not() {
    // the core of nft is there, its compat or nat parts are not
    for piece in [
        Piece::Nat,
        Piece::Addrtype,
        Piece::Conntrack,
        Piece::Masquerade,
    ] {
        let facts = NetfilterFacts {
            probes: vec![
                probe(Backend::Nft, lacks(piece, NO_NAT), fine()),
                probe(Backend::Legacy, fine(), fine()),
            ],
            ..machine()
        };
        let plan = decide(&facts, NOTHING);
        assert_eq!(line(&plan), format!("iptables-legacy {FARM}"));
        assert_eq!(plan.why, "iptables-nft does not work here");
    }
}

#[test]
fn legacy_tools_without_the_farm_are_reached_by_links_of_ours() {
    let mut facts = NetfilterFacts {
        probes: vec![
            probe(Backend::Nft, lacks(Piece::Nat, NO_NAT), fine()),
            probe(Backend::Legacy, fine(), fine()),
        ],
        ..machine()
    };
    facts.tools[1] = tools(Backend::Legacy, Reach::Links);
    let plan = decide(&facts, NOTHING);
    let dir = "/run/dind-init/iptables-legacy";
    assert_eq!(
        line(&plan),
        format!("iptables-legacy PATH={dir} [link   programs in {dir}]")
    );
    let Action::LinkTools { links, .. } = &plan.steps[0].action else {
        panic!("no links")
    };
    let target = Path::new("/usr/sbin/ip6tables-legacy-save");
    assert!(
        links
            .iter()
            .any(|(name, to)| name == "ip6tables-save" && to == target),
        "{links:?}"
    );
    assert_eq!(links.len(), 6);
}

#[test]
fn a_legacy_default_is_left_for_nft_by_links() {
    // images whose iptables is the legacy one, on a kernel without its tables
    let facts = NetfilterFacts {
        tools: vec![
            tools(Backend::Legacy, Reach::Path),
            tools(Backend::Nft, Reach::Links),
        ],
        ..machine()
    };
    let dir = "/run/dind-init/iptables-nft";
    let expected = format!("iptables-nft PATH={dir} [link   programs in {dir}]");
    assert_eq!(line(&decide(&facts, NOTHING)), expected);
}

#[test]
fn rules_that_are_here_already_decide() {
    let existing = |tables: &[&str], legacy_rules, nft_rules| Existing {
        legacy_tables: tables.iter().map(|name| (*name).to_owned()).collect(),
        legacy_rules,
        nft_rules,
    };
    let legacy = &["ip_tables_names"][..];
    let both = vec![
        probe(Backend::Legacy, fine(), fine()),
        probe(Backend::Nft, fine(), fine()),
    ];
    for (existing, expected, why) in [
        (
            existing(legacy, None, None),
            "iptables-legacy",
            "iptables-legacy has tables",
        ),
        (
            existing(legacy, None, Some(0)),
            "iptables-legacy",
            "iptables-legacy has tables",
        ),
        (
            existing(legacy, Some(9), Some(2)),
            "iptables-legacy",
            "iptables-legacy has tables",
        ),
        (
            existing(legacy, Some(2), Some(9)),
            "iptables-nft",
            "nft has the most rules",
        ),
        (
            existing(legacy, Some(2), Some(2)),
            "iptables-nft",
            "nft has the most rules",
        ),
        (
            existing(&[], None, Some(3)),
            "iptables-nft",
            "nft has rules",
        ),
    ] {
        let facts = NetfilterFacts {
            existing,
            probes: both.clone(),
            ..machine()
        };
        let plan = decide(&facts, NOTHING);
        assert_eq!(plan.backend.unwrap().name(), expected);
        assert!(plan.why.starts_with(why), "{}", plan.why);
        assert!(plan.warnings.is_empty());
    }
    // Rules that do not work any more: the other one, and the mixture is said.
    let facts = NetfilterFacts {
        existing: existing(legacy, None, None),
        probes: vec![
            probe(Backend::Legacy, lacks(Piece::Nat, NO_TABLE), fine()),
            probe(Backend::Nft, fine(), fine()),
        ],
        ..machine()
    };
    let plan = decide(&facts, NOTHING);
    assert_eq!(line(&plan), "iptables-nft warned");
    assert!(
        plan.warnings[0].contains("packets may be lost"),
        "{}",
        plan.warnings[0]
    );
}

#[test]
fn without_ipv6_its_rules_are_left_out_unless_the_user_said_otherwise() {
    let no_ipv6 = NetfilterFacts {
        ipv6: false,
        probes: vec![BackendProbe {
            v6: None,
            ..probe(Backend::Nft, fine(), fine())
        }],
        ..machine()
    };
    let no_tables = NetfilterFacts {
        probes: vec![probe(
            Backend::Nft,
            fine(),
            lacks(Piece::Nat, "Address family"),
        )],
        ..machine()
    };
    for (facts, because) in [
        (&no_ipv6, "the kernel has no IPv6"),
        (&no_tables, "ip6tables: table nat: Address family"),
    ] {
        let plan = decide(facts, NOTHING);
        assert_eq!(line(&plan), "iptables-nft --ip6tables=false");
        assert_eq!(plan.flags[0].why, because);
        for said in [
            (&["--ip6tables=false"][..], &[][..], "{}"),
            (&[], &[], r#"{"ip6tables":false}"#),
        ] {
            assert_eq!(line(&decide(facts, said)), "iptables-nft");
        }
        let said = (&["--ip6tables"][..], &[][..], "{}");
        assert_eq!(line(&decide(facts, said)), "iptables-nft warned");
    }
    let forced = (&[][..], &[("DOCKER_IPTABLES_LEGACY", "")][..], "{}");
    assert_eq!(
        line(&decide(&no_ipv6, forced)),
        "iptables-nft --ip6tables=false"
    );
}

#[test]
fn the_users_word_needs_no_probe() {
    let untried = NetfilterFacts {
        probes: Vec::new(),
        modules: true,
        ..machine()
    };
    let legacy = format!("iptables-legacy {FARM} [module ip_tables ip6_tables]");
    for (said, question_expected, expected) in [
        (
            (&[][..], &[("DOCKER_IPTABLES_LEGACY", "1")][..], "{}"),
            Question::Nothing,
            &*legacy,
        ),
        (
            (&[], &[("DOCKER_IPTABLES_LEGACY", "")], "{}"),
            Question::Nothing,
            "iptables-nft [module nf_tables]",
        ),
        (
            (&["--iptables=false"], &[], "{}"),
            Question::Nothing,
            "none",
        ),
        (
            (&[], &[], r#"{"iptables":false}"#),
            Question::Nothing,
            "none",
        ),
    ] {
        assert_eq!(with(said, question), question_expected);
        assert_eq!(line(&decide(&untried, said)), expected, "{said:?}");
    }
    let no_v6 = (&["--ip6tables=false"][..], &[][..], "{}");
    assert_eq!(with(no_v6, question), Question::Iptables { ipv6: false });
    assert_eq!(with(NOTHING, question), Question::Iptables { ipv6: true });
}

#[test]
fn where_nothing_works_it_is_listed_what_is_missing() {
    let facts = NetfilterFacts {
        probes: vec![
            probe(
                Backend::Nft,
                FamilyProbe {
                    missing: [Piece::Addrtype, Piece::Masquerade]
                        .map(|piece| Missing {
                            piece,
                            said: "No such file or directory".into(),
                        })
                        .into(),
                    no_raw: None,
                },
                fine(),
            ),
            probe(Backend::Legacy, lacks(Piece::Nat, NO_TABLE), fine()),
        ],
        ..machine()
    };
    let plan = decide(&facts, NOTHING);
    assert_eq!(line(&plan), "none refused");
    let refusal = plan.refusal.unwrap();
    expect_test::expect![[r#"
        error: the packet filter does not take the rules that dockerd writes
          why    iptables-nft: addrtype, MASQUERADE: No such file or directory
                 iptables-legacy: table nat: can't initialize iptables table `nat': Table does not exist
          fix    use a kernel with CONFIG_IP_NF_NAT, or start with --iptables=false --ip6tables=false: nested containers then have no way out and no published ports
    "#]]
    .assert_eq(&crate::base::explain::frame(&refusal));
    assert_eq!(refusal.exit_code(), 78);
}

#[test]
fn modules_are_asked_for_once_each_nft_first_and_then_it_is_refused() {
    let mut facts = NetfilterFacts {
        modules: true,
        probes: vec![
            probe(Backend::Nft, lacks(Piece::Nat, NO_NAT), fine()),
            probe(Backend::Legacy, lacks(Piece::Nat, NO_TABLE), fine()),
        ],
        ..machine()
    };
    let mut rounds = Vec::new();
    loop {
        let plan = decide(&facts, NOTHING);
        let Some(first) = plan.again.first() else {
            let refusal = plan.refusal.unwrap();
            assert!(
                refusal
                    .fix()
                    .starts_with("on the node: modprobe -a nft_chain_nat")
            );
            break;
        };
        assert!(plan.refusal.is_none() && plan.backend.is_none());
        rounds.push(first.clone());
        facts.requested.extend(plan.again);
    }
    assert_eq!(rounds, ["nf_tables", "ip_tables"]);
    for module in Backend::Nft.modules_of_all() {
        assert!(module.len() <= 15, "{module}: the kernel cuts longer names");
    }
}

impl Backend {
    fn modules_of_all(self) -> impl Iterator<Item = &'static str> {
        let all = [Self::Nft, Self::Legacy, Self::Nftables].into_iter();
        all.flat_map(|backend| refusal::modules(backend).iter().copied())
    }
}

#[test]
fn an_image_without_iptables_is_told_so() {
    let facts = NetfilterFacts {
        tools: Vec::new(),
        probes: Vec::new(),
        ..machine()
    };
    let refusal = decide(&facts, NOTHING).refusal.unwrap();
    assert_eq!(refusal.to_string(), "iptables is not in PATH");
    assert!(refusal.fix().starts_with("install iptables"));
}

#[test]
fn a_trial_without_an_answer_is_no_refusal() {
    // somebody holds the lock for ever
    let facts = NetfilterFacts {
        probes: vec![BackendProbe {
            v4: ProbeResult::Unknown("no answer within 5s: killed".into()),
            ..probe(Backend::Nft, fine(), fine())
        }],
        ..machine()
    };
    assert_eq!(line(&decide(&facts, NOTHING)), "iptables-nft warned");
}

#[test]
fn a_missing_raw_table_is_told_with_the_price_of_the_way_around() {
    let facts = NetfilterFacts {
        probes: vec![probe(
            Backend::Nft,
            FamilyProbe {
                no_raw: Some("Table does not exist".into()),
                ..fine()
            },
            fine(),
        )],
        ..machine()
    };
    let plan = decide(&facts, NOTHING);
    assert_eq!(line(&plan), "iptables-nft warned");
    for word in [
        "DOCKER_INSECURE_NO_IPTABLES_RAW=1",
        "CONFIG_IP_NF_RAW",
        "127.0.0.1",
    ] {
        assert!(plan.warnings[0].contains(word), "{word}");
    }
    assert_eq!(
        line(&decide_with(&facts, "26.1.5", NOTHING)),
        "iptables-nft"
    );
    let accepted = (
        &[][..],
        &[("DOCKER_INSECURE_NO_IPTABLES_RAW", "1")][..],
        "{}",
    );
    assert_eq!(line(&decide(&facts, accepted)), "iptables-nft");
}

#[test]
fn settings_and_modules_that_dockerd_needs_become_steps() {
    let plain = NetfilterFacts {
        bridge_calls: None,
        modules: true,
        ..machine()
    };
    assert_eq!(line(&decide(&plain, NOTHING)), "iptables-nft");
    let icc = (&["--icc=false"][..], &[][..], "{}");
    assert_eq!(
        line(&decide(&plain, icc)),
        "iptables-nft [module br_netfilter]"
    );
}

#[test]
fn nftables_is_passed_on_to_engine_29_with_forwarding_turned_on() {
    let facts = NetfilterFacts {
        probes: vec![BackendProbe {
            v6: None,
            ..probe(Backend::Nftables, fine(), fine())
        }],
        ..machine()
    };
    let request = (&[][..], &[("DIND_FIREWALL", "nftables")][..], "{}");
    let flag = (&["--firewall-backend=nftables"][..], &[][..], "{}");
    let forward = "[set    /proc/sys/net/ipv4/ip_forward to 1]";
    assert_eq!(with(request, question), Question::Nftables);
    assert_eq!(
        line(&decide_with(&facts, "29.1.0", request)),
        format!("nftables --firewall-backend=nftables {forward}")
    );
    assert_eq!(
        line(&decide_with(&facts, "29.1.0", flag)),
        format!("nftables {forward}")
    );
    let off = (
        &["--ip-forward=false"][..],
        &[("DIND_FIREWALL", "nftables")][..],
        "{}",
    );
    let line_off = line(&decide_with(&facts, "29.1.0", off));
    assert_eq!(line_off, "nftables --firewall-backend=nftables");

    let refusal = decide(&facts, request).refusal.unwrap();
    assert_eq!(refusal.to_string(), "nftables needs engine 29 or newer");
    assert_eq!(refusal.why(), "this is engine 28.5.2");
    let none = NetfilterFacts {
        probes: Vec::new(),
        nft: None,
        ..machine()
    };
    let refusal = decide_with(&none, "29.1.0", request).refusal.unwrap();
    assert_eq!(refusal.to_string(), "nft is not in PATH");
    // dockerd's own word wins over ours
    let both = (
        &["--firewall-backend=iptables"][..],
        &[("DIND_FIREWALL", "nftables")][..],
        "{}",
    );
    assert_eq!(with(both, question), Question::Iptables { ipv6: true });
}
