use super::addresses::Inner;
use super::*;
use crate::base::net4::Net4;
use crate::host::said;
use crate::host::uplink::{BridgeAddress, Link};

fn facts(mtu: u32, routes: &[&str], resolvers: &[&str]) -> UplinkFacts {
    UplinkFacts {
        links: vec![Link {
            name: "eth0".into(),
            mtu,
        }],
        only_ipv6: false,
        routes: routes.iter().map(|net| net.parse().unwrap()).collect(),
        on_link: Vec::new(),
        docker0: None,
        resolvers: resolvers.iter().map(|ip| ip.parse().unwrap()).collect(),
        names_port: true,
        resolver_options: Vec::new(),
    }
}

fn flags(facts: &UplinkFacts, words: &[&str], json: &str, version: u32) -> Vec<String> {
    let (config, file) = (said::config(words, &[]), said::file(json));
    let plan = plan(&config, &file, facts, &[], Some(version));
    plan.flags
        .iter()
        .map(|flag| format!("{}={}", flag.name, flag.value))
        .collect()
}

const NONE: [&str; 0] = [];

#[test]
fn an_ordinary_uplink_needs_no_flags() {
    let ordinary = facts(1500, &["172.17.0.0/16"], &["10.0.0.53"]);
    assert_eq!(flags(&ordinary, &[], "{}", 28), NONE);
    assert!(!needs_version(&ordinary));
}

/// A pod of an IPv6-only cluster.
#[test]
fn with_a_way_out_by_ipv6_alone_the_bridge_has_ipv6_or_it_is_said() {
    let six = UplinkFacts {
        only_ipv6: true,
        ..facts(1500, &[], &["fd00::a"])
    };
    let added = ["ipv6=true", "fixed-cidr-v6=fd9c:e0a7:d1d0::/64"];
    let loud = |words: &[&str], json, version| {
        let (config, file) = (said::config(words, &[]), said::file(json));
        let warnings = plan(&config, &file, &six, &[], version).warnings;
        warnings.iter().any(|line| line.starts_with("NO WAY OUT"))
    };
    assert!(needs_version(&six));
    assert_eq!(flags(&six, &[], "{}", 28), added);
    assert!(!loud(&[], "{}", Some(28)));
    for (words, json, version, is_loud) in [
        (&[][..], "{}", Some(26), true),
        (&[], "{}", None, true),
        (&["--ip6tables=false"], "{}", Some(28), true),
        (
            &["--ipv6", "--fixed-cidr-v6=fd00::/64"],
            "{}",
            Some(28),
            false,
        ),
        (&[], r#"{"ipv6":false}"#, Some(28), false),
    ] {
        let found = plan(
            &said::config(words, &[]),
            &said::file(json),
            &six,
            &[],
            version,
        );
        assert!(found.flags.is_empty(), "{words:?}");
        assert_eq!(loud(words, json, version), is_loud, "{words:?} {json}");
    }
}

#[test]
fn a_smaller_mtu_is_set_for_the_bridge_and_for_new_networks() {
    let small = facts(1400, &[], &[]);
    let network = "default-network-opt=bridge=com.docker.network.driver.mtu=1400";
    assert_eq!(flags(&small, &[], "{}", 28), ["mtu=1400", network]);
    assert_eq!(flags(&small, &[], "{}", 20), ["mtu=1400"]);
    assert_eq!(flags(&small, &["--mtu=1300"], "{}", 28), [network]);
    let ours =
        r#"{"mtu":1,"default-network-opts":{"bridge":{"com.docker.network.driver.mtu":"9"}}}"#;
    assert_eq!(flags(&small, &[], ours, 28), NONE);
    let theirs = "--default-network-opt=bridge=com.docker.network.driver.mtu=1200";
    assert_eq!(flags(&small, &[theirs], "{}", 28), ["mtu=1400"]);
    // Another key of the same map is nobody's word about the MTU.
    let other = "--default-network-opt=bridge=com.docker.network.bridge.enable_icc=false";
    assert_eq!(flags(&small, &[other], "{}", 28), ["mtu=1400", network]);
    assert!(needs_version(&small));
}

/// What cannot be set is said, as far as it does harm.
#[test]
fn an_mtu_that_new_networks_cannot_get_is_told() {
    let warnings = |mtu, json: &str, version| {
        let (config, file) = (said::config(&[], &[]), said::file(json));
        plan(&config, &file, &facts(mtu, &[], &[]), &[], version).warnings
    };
    let map =
        r#"{"default-network-opts":{"bridge":{"com.docker.network.bridge.enable_icc":"false"}}}"#;
    for (json, version, part) in [
        (
            map,
            Some(28),
            "add \"com.docker.network.driver.mtu\": \"1400\" to \"bridge\"",
        ),
        ("{}", Some(20), "docker network create --opt"),
        ("{}", None, "is not known"),
    ] {
        let told = warnings(1400, json, version);
        assert!(told.len() == 1 && told[0].contains(part), "{told:?}");
        assert!(warnings(9000, json, version).is_empty());
        assert!(warnings(1500, json, version).is_empty());
    }
    assert!(warnings(1400, "{}", Some(28)).is_empty());
}

#[test]
fn a_loopback_resolver_is_forwarded_from_the_bridges_address() {
    let loopback = facts(1500, &["172.18.0.0/16", "172.17.0.0/16"], &["127.0.0.11"]);
    assert_eq!(
        flags(&loopback, &[], "{}", 28),
        ["bip=172.19.0.1/16", "dns=172.19.0.1"]
    );
    assert_eq!(
        flags(&loopback, &["--bip=10.9.0.1/24"], "{}", 28),
        ["dns=10.9.0.1"]
    );
    assert_eq!(flags(&loopback, &["--dns=1.1.1.1"], "{}", 28), NONE);
    assert_eq!(flags(&loopback, &[], r#"{"bridge":"none"}"#, 28), NONE);
    let both = facts(1500, &[], &["127.0.0.53", "10.0.0.53"]);
    assert_eq!(
        flags(&both, &[], "{}", 28),
        NONE,
        "one of them can be reached"
    );
}

#[test]
fn names_without_a_dot_are_forwarded_from_new_networks_too() {
    let with = |options: &[&str]| UplinkFacts {
        resolver_options: options.iter().map(|&option| option.to_owned()).collect(),
        ..facts(1500, &[], &["127.0.0.11"])
    };
    let options = |facts: &UplinkFacts, words: &[&str]| {
        let mut flags = flags(facts, words, "{}", 28);
        flags.retain(|flag| flag.starts_with("dns-opt="));
        flags
    };
    assert_eq!(options(&with(&["ndots:0"]), &[]), ["dns-opt=attempts:2"]);
    assert_eq!(
        options(&with(&["edns0", "ndots:0", "rotate"]), &[]),
        ["dns-opt=edns0", "dns-opt=rotate"]
    );
    assert_eq!(options(&with(&["ndots:5"]), &[]), NONE);
    assert_eq!(options(&with(&["ndots:0"]), &["--dns-opt=x"]), NONE);
}

#[test]
fn a_resolver_inside_the_default_pools_moves_bridge_and_pools() {
    let hidden = facts(1500, &["10.244.0.0/24"], &["172.17.0.1"]);
    let flags = flags(&hidden, &[], "{}", 20);
    assert_eq!(flags.first().map(String::as_str), Some("bip=172.18.0.1/16"));
    assert!(flags.contains(&"default-address-pool=base=172.18.0.0/16,size=16".into()));
    assert!(flags.contains(&"default-address-pool=base=192.168.0.0/16,size=20".into()));
    assert!(
        !flags.iter().any(|flag| flag.contains("base=172.17.")),
        "{flags:?}"
    );
}

#[test]
fn a_network_outside_the_default_pools_is_taken_when_they_are_full() {
    let bip = |routes: &[&str]| {
        let loopback = facts(1500, routes, &["127.0.0.11"]);
        flags(&loopback, &[], "{}", 28).into_iter().next()
    };
    assert_eq!(bip(&["172.16.0.0/12"]).unwrap(), "bip=192.168.0.1/20");
    let home = ["172.16.0.0/12", "192.168.1.0/24"];
    assert_eq!(bip(&home).unwrap(), "bip=192.168.16.1/20");
    let full = ["172.16.0.0/12", "192.168.0.0/16"];
    assert_eq!(bip(&full).unwrap(), "bip=10.200.0.1/16");

    assert_eq!(bip(&["0.0.0.0/1", "128.0.0.0/1"]), None);
    let (config, file) = (said::config(&[], &[]), said::file("{}"));
    let none = facts(1500, &["0.0.0.0/1", "128.0.0.0/1"], &["127.0.0.11"]);
    let plan = plan(&config, &file, &none, &[], Some(28));
    assert!(
        plan.forwarder.is_none() && plan.warnings[0].contains("--bip"),
        "it is said"
    );
}

#[test]
fn a_bip_of_ours_fits_to_what_the_user_has_said() {
    let moved = |words: &[&str], json: &str| {
        let loopback = facts(1500, &["172.17.0.0/16"], &["127.0.0.11"]);
        let mut flags = flags(&loopback, words, json, 28);
        flags.retain(|flag| flag.starts_with("bip="));
        flags.pop()
    };
    assert_eq!(moved(&[], "{}").unwrap(), "bip=172.18.0.1/16");
    let pools = r#"{"default-address-pools":[{"base":"10.99.0.0/16","size":24}]}"#;
    assert_eq!(moved(&[], pools).unwrap(), "bip=10.99.0.1/24");
    let pool = "--default-address-pool=base=10.98.0.0/16,size=24";
    assert_eq!(moved(&[pool], "{}").unwrap(), "bip=10.98.0.1/24");
    let gateway = "--default-gateway=172.22.0.254";
    assert_eq!(moved(&[gateway], "{}").unwrap(), "bip=172.22.0.1/16");
    let fixed = "--fixed-cidr=172.22.1.0/24";
    assert_eq!(moved(&[fixed], "{}").unwrap(), "bip=172.22.0.1/16");
    assert_eq!(
        moved(&["--fixed-cidr=9.5.0.0/24"], "{}").unwrap(),
        "bip=9.5.0.1/24"
    );
    assert_eq!(
        moved(&[fixed, "--default-gateway=172.23.0.254"], "{}"),
        None
    );
    assert_eq!(
        moved(&[], r#"{"bip":""}"#),
        None,
        "dockerd takes no setting twice"
    );
}

/// In a network namespace that outlives us, or is the host's.
#[test]
fn a_docker0_that_is_there_stays_and_is_no_network_outside() {
    let there = |resolver: &str| UplinkFacts {
        on_link: vec!["172.17.0.0/16".parse().unwrap()],
        docker0: Some(BridgeAddress {
            address: Ipv4Addr::new(172, 17, 0, 1),
            network: "172.17.0.0/16".parse().unwrap(),
        }),
        ..facts(1500, &["172.17.0.0/16"], &[resolver])
    };
    let remembered = [Bridge {
        network: "172.17.0.0/16".parse().unwrap(),
        default: true,
    }];
    let (config, file) = (said::config(&[], &[]), said::file("{}"));
    let quiet = plan(&config, &file, &there("10.0.0.53"), &remembered, Some(28));
    assert_eq!(quiet, NetworkPlan::default());
    let plan = plan(&config, &file, &there("127.0.0.53"), &remembered, Some(28));
    assert_eq!(
        plan.forwarder.unwrap().address,
        Ipv4Addr::new(172, 17, 0, 1)
    );
    assert!(!plan.flags.iter().any(|flag| flag.name == "bip"));
}

#[test]
fn networks_that_are_left_for_dockerd_are_counted() {
    let left = |words: &[&str], taken: &[&str]| {
        let taken: Vec<Net4> = taken.iter().map(|net| net.parse().unwrap()).collect();
        Inner::of(&said::config(words, &[]), &said::file("{}"), &[]).left(&taken)
    };
    assert_eq!(left(&[], &[]), 31);
    assert_eq!(left(&[], &["172.17.0.0/16", "192.168.1.0/24"]), 29);
    assert_eq!(left(&[], &["172.16.0.0/12"]), 16);
    assert_eq!(left(&[], &["172.16.0.0/12", "192.168.0.0/16"]), 0);
    let pool = "--default-address-pool=base=10.99.0.0/16,size=24";
    assert_eq!(left(&[pool], &["172.16.0.0/12", "10.99.7.0/28"]), 255);
    assert_eq!(
        left(&["--default-address-pool=base=10.0.0.0/8,size=32"], &[]),
        1 << 16
    );
}

#[test]
fn a_remembered_docker0_moves_when_its_network_is_outside_by_now() {
    let bridge = |network: &str, default| Bridge {
        network: network.parse().unwrap(),
        default,
    };
    let remembered = [
        bridge("172.17.0.0/16", true),
        bridge("172.18.0.0/16", false),
    ];
    let outside = |network: &str, resolver: &str| UplinkFacts {
        on_link: vec![network.parse().unwrap()],
        ..facts(1500, &[network], &[resolver])
    };
    let flags = |facts: &UplinkFacts, words: &[&str]| {
        let (config, file) = (said::config(words, &[]), said::file("{}"));
        let plan = plan(&config, &file, facts, &remembered, Some(28));
        let mut flags = plan.flags;
        flags.retain(|flag| flag.name == "bip");
        let value = |flag: AddedFlag| (flag.value, flag.why);
        flags.into_iter().map(value).next()
    };
    let (bip, why) = flags(&outside("172.17.0.0/16", "10.0.0.53"), &[]).unwrap();
    assert_eq!(bip, "172.19.0.1/16", "another network has 172.18.0.0/16");
    assert_eq!(
        why,
        "docker0 was 172.17.0.0/16, and 172.17.0.0/16 is outside by now"
    );
    assert_eq!(flags(&outside("172.19.0.0/16", "10.0.0.53"), &[]), None);
    assert_eq!(
        flags(
            &outside("172.17.0.0/16", "10.0.0.53"),
            &["--bip=10.9.0.1/24"]
        ),
        None
    );
    assert_eq!(
        flags(
            &outside("172.17.0.0/16", "10.0.0.53"),
            &["--fixed-cidr=172.17.1.0/24"]
        ),
        None,
        "no bridge that is free holds it"
    );
    let fixed = ["--fixed-cidr=172.22.1.0/24"];
    let (bip, _) = flags(&outside("172.17.0.0/16", "10.0.0.53"), &fixed).unwrap();
    assert_eq!(bip, "172.22.0.1/16");

    let (bip, _) = flags(&outside("172.17.0.0/16", "127.0.0.11"), &[]).unwrap();
    assert_eq!(bip, "172.19.0.1/16", "the forwarder's, too");
    let (bip, _) = flags(&outside("172.19.0.0/16", "127.0.0.11"), &[]).unwrap();
    assert_eq!(bip, "172.17.0.1/16", "docker0 stays where it was");
}
