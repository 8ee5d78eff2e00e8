use super::*;
use crate::base::environment::Environment;
use crate::plan::network::addresses::Pool;
use proptest::prelude::*;

fn decide(flags: &str, routes: &[&str], installed: &[NetDriver]) -> Result<NetPlan, NoDriver> {
    let env: Environment = [("DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS", flags)]
        .into_iter()
        .collect();
    let uplink = UplinkFacts {
        routes: routes.iter().map(|route| route.parse().unwrap()).collect(),
        ..UplinkFacts::default()
    };
    let options = Options::for_dockerd(&env).unwrap();
    plan(&options, &uplink, &Inner::default(), |driver| {
        installed.contains(&driver)
    })
}

const BOTH: &[NetDriver] = &[NetDriver::Pasta, NetDriver::Slirp4netns];

#[test]
fn the_usual_addresses_are_taken() {
    let plan = decide("", &["172.17.0.0/16"], BOTH).unwrap();
    let tap = plan.tap.unwrap();
    assert_eq!(plan.driver, NetDriver::Slirp4netns);
    assert_eq!((tap.name.as_str(), tap.mtu), ("tap0", 65520));
    assert_eq!(tap.address(), Ipv4Addr::new(10, 0, 2, 100));
    assert_eq!(tap.gateway(), Ipv4Addr::new(10, 0, 2, 2));
    assert_eq!(tap.resolver(), Ipv4Addr::new(10, 0, 2, 3));
    assert!(plan.notes.is_empty());
}

#[test]
fn the_addresses_move_when_the_outer_network_has_them() {
    for (routes, network) in [
        (&["10.0.2.0/24"][..], "10.241.2.0/24"),
        (&["10.0.0.0/8"], "172.31.254.0/24"),
        (&["10.0.0.0/8", "172.16.0.0/12"], "192.168.241.0/24"),
    ] {
        let plan = decide("", routes, BOTH).unwrap();
        assert_eq!(plan.tap.unwrap().network.to_string(), network);
        assert_eq!(plan.notes.len(), 1, "it is said");
    }
    let plan = decide("--cidr=10.1.0.0/16", &["10.0.0.0/8"], BOTH).unwrap();
    assert_eq!(plan.tap.unwrap().network.to_string(), "10.1.0.0/16");
    assert!(plan.notes[0].contains("overlaps the outer network 10.0.0.0/8"));
}

#[test]
fn dockerd_is_shown_the_networks_of_the_outer_links() {
    let nets =
        |texts: &[&str]| -> Vec<Net4> { texts.iter().map(|net| net.parse().unwrap()).collect() };
    let shown = |flags: &str, on_link: &[&str], inner: &Inner| {
        let env = [("DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS", flags)];
        let options = Options::for_dockerd(&env.into_iter().collect()).unwrap();
        let uplink = UplinkFacts {
            routes: nets(on_link),
            on_link: nets(on_link),
            ..UplinkFacts::default()
        };
        let outer = plan(&options, &uplink, inner, |_| true).unwrap().outer;
        outer.iter().map(Net4::to_string).collect::<Vec<_>>()
    };
    let usual = Inner::default();
    let twice = ["172.18.0.0/16", "172.17.0.0/16", "172.17.0.0/16"];
    let both = ["172.17.0.0/16", "172.18.0.0/16"];
    assert_eq!(shown("", &twice, &usual), both);
    assert_eq!(shown("--cidr=172.17.0.0/16", &twice, &usual), both[1..]);
    assert_eq!(shown("--cidr=172.17.5.0/24", &twice, &usual), both);
    assert!(shown("--net=none", &twice, &usual).is_empty());

    let kept = Inner {
        kept: nets(&["172.18.0.0/16"]),
        ..Inner::default()
    };
    let parts = ["172.18.0.0/16", "172.18.4.0/24", "172.19.4.0/24"];
    assert_eq!(shown("", &parts, &kept), [parts[0], parts[2]]);
}

#[test]
fn dockerd_is_shown_nothing_where_too_little_is_left() {
    let shown = |on_link: &[&str], pools: &[Pool]| {
        let uplink = UplinkFacts {
            on_link: on_link.iter().map(|net| net.parse().unwrap()).collect(),
            ..UplinkFacts::default()
        };
        let mut inner = Inner::default();
        if !pools.is_empty() {
            inner.pools = pools.to_vec();
        }
        let options = Options::for_dockerd(&Environment::default()).unwrap();
        let plan = plan(&options, &uplink, &inner, |_| true).unwrap();
        assert_eq!(plan.outer.is_empty(), !plan.notes.is_empty(), "it is said");
        plan.outer.len()
    };
    assert_eq!(shown(&["172.16.0.0/12", "192.168.0.0/17"], &[]), 2);
    assert_eq!(shown(&["172.16.0.0/12", "192.168.0.0/16"], &[]), 0);
    let one = Pool {
        base: "10.99.0.0/24".parse().unwrap(),
        length: 24,
    };
    assert_eq!(
        shown(&["172.17.0.0/16"], &[one]),
        1,
        "nothing is taken from it"
    );
    assert_eq!(shown(&["10.0.0.0/8"], &[one]), 0);
}

#[test]
fn a_driver_that_was_asked_for_is_never_replaced() {
    let only_pasta = &[NetDriver::Pasta][..];
    let chosen = decide("", &[], only_pasta).unwrap();
    assert_eq!((chosen.driver, chosen.notes.len()), (NetDriver::Pasta, 1));
    let missing = decide("--net=slirp4netns", &[], only_pasta).unwrap_err();
    assert_eq!(missing.wanted, ["slirp4netns"]);
    assert_eq!(decide("", &[], &[]).unwrap_err().wanted.len(), 2);
    assert_eq!(decide("--net=none", &[], &[]).unwrap().tap, None);
}

#[test]
fn dockerds_networks_get_the_tap_devices_mtu() {
    let plan = decide("--mtu=9000", &["172.17.0.0/16"], BOTH).unwrap();
    let inside = plan.inside(&UplinkFacts::default());
    assert_eq!(inside.mtu(), Some(9000));
    assert_eq!(plan.resolvers(), inside.resolvers);
}

proptest! {
    #[test]
    fn the_chosen_network_is_free_while_one_is(a in 0u8..255, b in 0u8..255, length in 8u32..25) {
        let route = Net4::new(Ipv4Addr::new(a, b, 0, 0), length);
        let plan = decide("", &[&route.to_string()], BOTH).unwrap();
        prop_assert!(!plan.tap.unwrap().network.overlaps(route));
    }
}
