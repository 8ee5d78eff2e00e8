use super::*;
use crate::cli::said;
use crate::host::uplink::Link;

fn facts(mtu: u32, routes: &[&str], resolvers: &[&str]) -> UplinkFacts {
    UplinkFacts {
        links: vec![Link {
            name: "eth0".into(),
            mtu,
        }],
        routes: routes.iter().map(|net| net.parse().unwrap()).collect(),
        on_link: Vec::new(),
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

#[test]
fn a_smaller_mtu_is_set_for_the_bridge_and_for_new_networks() {
    let small = facts(1400, &[], &[]);
    let network = "default-network-opt=bridge=com.docker.network.driver.mtu=1400";
    assert_eq!(flags(&small, &[], "{}", 28), ["mtu=1400", network]);
    assert_eq!(flags(&small, &[], "{}", 20), ["mtu=1400"]);
    assert_eq!(flags(&small, &["--mtu=1300"], "{}", 28), [network]);
    assert_eq!(
        flags(&small, &[], r#"{"mtu":1,"default-network-opts":{}}"#, 28),
        NONE
    );
    assert!(needs_version(&small));
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
    let full = [
        "172.16.0.0/12".parse().unwrap(),
        "192.168.0.0/16".parse().unwrap(),
    ];
    assert_eq!(
        free_network(&full, None),
        Some("10.200.0.0/16".parse().unwrap())
    );
    assert_eq!(free_network(&["0.0.0.0/0".parse().unwrap()], None), None);
}

#[test]
fn networks_that_are_left_for_dockerd_are_counted() {
    let left = |taken: &[&str]| {
        let taken: Vec<Net4> = taken.iter().map(|net| net.parse().unwrap()).collect();
        left_for_dockerd(&taken)
    };
    assert_eq!(left(&[]), 31);
    assert_eq!(left(&["172.17.0.0/16", "192.168.1.0/24"]), 29);
    assert_eq!(left(&["172.16.0.0/12"]), 16);
    assert_eq!(left(&["172.16.0.0/12", "192.168.0.0/16"]), 0);
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
