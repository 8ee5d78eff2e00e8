use super::*;
use crate::host::uplink::UplinkFacts;
use crate::plan::rootless::preflight::tests::good;

/// A plan for variables and facts.
fn plan_of(env: &[(&str, &str)], proxy: Wanted, facts: &RootlessFacts) -> RootlessPlan {
    let env: Environment = env.iter().copied().collect();
    let options = Options::for_dockerd(&env).unwrap();
    let places = places::decide(env, 1000, None, |_| true).unwrap();
    let (uplink, inner) = (UplinkFacts::default(), Inner::default());
    plan(options, &places, facts, &uplink, &inner, proxy).unwrap()
}

#[test]
fn ports_are_on_loopback_where_docker_proxy_tells_of_containers() {
    const SIDE: &str = "DIND_ROOTLESS_PORTS";
    const DRIVER: &str = "DOCKERD_ROOTLESS_ROOTLESSKIT_PORT_DRIVER";
    let six = RootlessFacts {
        outer_ipv6: true,
        ..good()
    };
    for (env, proxy, facts, side, told) in [
        (
            &[][..],
            Wanted::Yes,
            good(),
            Some(ChildSide::Loopback),
            true,
        ),
        (&[], Wanted::No, good(), Some(ChildSide::Tap), false),
        (
            &[],
            Wanted::No,
            six.clone(),
            Some(ChildSide::Loopback),
            false,
        ),
        (&[], Wanted::Yes, six, Some(ChildSide::Loopback), true),
        (
            &[(SIDE, "tap")],
            Wanted::Yes,
            good(),
            Some(ChildSide::Tap),
            true,
        ),
        (
            &[(SIDE, "loopback")],
            Wanted::No,
            good(),
            Some(ChildSide::Loopback),
            false,
        ),
        (&[(DRIVER, "none")], Wanted::Yes, good(), None, false),
    ] {
        let plan = plan_of(env, proxy, &facts);
        assert_eq!(plan.child_side, side, "{env:?} {proxy:?}");
        assert_eq!(plan.own_proxy.is_some(), told, "{env:?} {proxy:?}");
        let flags: Vec<String> = plan.flags().into_iter().map(|flag| flag.value).collect();
        let link = plan.state.join("rootlesskit-docker-proxy");
        let expected: Vec<_> = told
            .then(|| link.display().to_string())
            .into_iter()
            .collect();
        assert_eq!(flags, expected);
        let lost = side == Some(ChildSide::Loopback) && !told && env.is_empty();
        let said = plan
            .warnings
            .iter()
            .any(|text| text.contains("behind another one"));
        assert_eq!(said, lost, "{:?}", plan.warnings);
    }
}

#[test]
fn without_the_real_docker_proxy_or_a_path_to_us_dockerd_starts_what_it_finds() {
    for facts in [
        RootlessFacts {
            docker_proxy: None,
            ..good()
        },
        RootlessFacts {
            own_program: None,
            ..good()
        },
    ] {
        let plan = plan_of(&[], Wanted::Yes, &facts);
        assert_eq!(plan.own_proxy, None);
        assert_eq!(plan.child_side, Some(ChildSide::Tap));
    }
}
