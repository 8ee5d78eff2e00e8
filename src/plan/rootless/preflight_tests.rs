use super::*;
use crate::base::environment::Environment;
use crate::base::explain::Explain as _;
use crate::config::rootless::Options;
use crate::host::rootless::ids::{IdFacts, Range};
use crate::host::rootless::probe::NamespaceProbe;
use crate::host::uplink::UplinkFacts;
use crate::plan::network::addresses::Inner;
use crate::plan::rootless;
use crate::plan::rootless::idmap;
use crate::plan::rootless::net;
use crate::sys::probe::ProbeResult;

fn helper(name: &str) -> MapHelper {
    MapHelper {
        name: name.into(),
        path: Some(format!("/usr/bin/{name}").into()),
        setuid: false,
        capabilities: true,
        nosuid: false,
    }
}

/// A container in which everything works.
pub(crate) fn good() -> RootlessFacts {
    let full = vec![Range {
        start: 0,
        count: u32::MAX,
    }];
    let subs = vec![Range {
        start: 100_000,
        count: 65536,
    }];
    RootlessFacts {
        ids: IdFacts {
            uid: 1000,
            gid: 1000,
            sub_uids: subs.clone(),
            sub_gids: subs,
            odd_uids: Vec::new(),
            odd_gids: Vec::new(),
            outer_uids: full.clone(),
            outer_gids: full,
            may_write: false,
        },
        user: Some("rootless".into()),
        host: "box".into(),
        slirp4netns: Some("/usr/bin/slirp4netns".into()),
        pasta: None,
        map_helpers: vec![helper("newuidmap"), helper("newgidmap")],
        sysctls: vec![("user.max_user_namespaces".into(), "95000".into())],
        seccomp: Some(0),
        no_new_privs: false,
        bounding: ["CAP_SETUID", "CAP_SETGID", "CAP_SYS_ADMIN"]
            .map(String::from)
            .to_vec(),
        filter: None,
        docker_proxy: Some("/usr/bin/docker-proxy".into()),
        own_program: Some("/usr/local/bin/dind-init".into()),
        outer_ipv6: false,
        probe: ProbeResult::Known(NamespaceProbe {
            sysfs: Sysfs::Writable,
            ..NamespaceProbe::default()
        }),
    }
}

fn probe(change: impl FnOnce(&mut NamespaceProbe)) -> RootlessFacts {
    let mut facts = good();
    let mut tried = facts.probe.known().cloned().unwrap();
    change(&mut tried);
    facts.probe = ProbeResult::Known(tried);
    facts
}

fn first(facts: &RootlessFacts) -> RootlessRefusal {
    let maps = idmap::plan(&facts.ids, false).unwrap();
    refusals(facts, &maps).into_iter().next().unwrap()
}

#[test]
fn a_good_container_is_neither_refused_nor_warned_about() {
    let facts = good();
    let maps = idmap::plan(&facts.ids, false).unwrap();
    assert_eq!(refusals(&facts, &maps), []);
    let options = Options::for_dockerd(&Environment::default()).unwrap();
    let net = net::plan(&options, &UplinkFacts::default(), &Inner::default(), |_| {
        true
    })
    .unwrap();
    assert_eq!(warnings(&facts, &net), Vec::<String>::new());
}

#[test]
fn each_row_has_its_refusal_and_remedy() {
    let with = |change: fn(&mut RootlessFacts)| {
        let mut facts = good();
        change(&mut facts);
        facts
    };
    for (facts, what, remedy) in [
        (
            with(|f| {
                f.sysctls
                    .push(("kernel.unprivileged_userns_clone".into(), "0".into()))
            }),
            "kernel.unprivileged_userns_clone",
            "sysctl -w",
        ),
        (
            with(|f| f.sysctls[0].1 = "0".into()),
            "user.max_user_namespaces",
            "sysctl -w",
        ),
        (
            probe(|t| t.user = Some(libc::ENOSPC)),
            "new user namespace",
            "user.max_user_namespaces=28633",
        ),
        (
            probe(|t| t.network = Some(libc::ENOSPC)),
            "new network namespace",
            "user.max_net_namespaces",
        ),
        (
            with(|f| f.no_new_privs = true),
            "no_new_privs",
            "DIND_ROOTLESS=1",
        ),
        (
            with(|f| f.map_helpers[0].path = None),
            "newuidmap cannot write id maps: it is not in PATH",
            "uidmap",
        ),
        (
            with(|f| f.map_helpers[1].capabilities = false),
            "neither the set-user-ID bit nor",
            "setcap cap_setgid=ep newgidmap",
        ),
        (with(|f| f.map_helpers[0].nosuid = true), "nosuid", "nosuid"),
        (
            with(|f| f.bounding.clear()),
            "CAP_SETUID is not in the bounding set",
            "--cap-add SETUID",
        ),
        (
            probe(|t| t.tap = Some(("open /dev/net/tun".into(), libc::ENOENT))),
            "no tap device can be made: open /dev/net/tun",
            "--device /dev/net/tun",
        ),
        (
            probe(|t| t.tap = Some(("open /dev/net/tun".into(), libc::EACCES))),
            "Permission denied",
            "chmod 0666",
        ),
        (
            probe(|t| t.proc = Some(libc::EPERM)),
            "no inner container could start",
            "systempaths=unconfined",
        ),
    ] {
        let refusal = first(&facts);
        assert!(refusal.to_string().contains(what), "{refusal}");
        assert!(refusal.fix().contains(remedy), "{}", refusal.fix());
        assert!(!refusal.why().is_empty());
        assert_eq!(refusal.exit_code(), 78);
    }
}

#[test]
fn eperm_is_told_apart_by_what_stands_behind_it() {
    let mut facts = probe(|t| t.user = Some(libc::EPERM));
    facts.seccomp = Some(2);
    assert!(
        first(&facts)
            .fix()
            .starts_with("--security-opt seccomp=unconfined")
    );
    facts.sysctls.push((
        "kernel.apparmor_restrict_unprivileged_userns".into(),
        "1".into(),
    ));
    assert!(first(&facts).why().starts_with("AppArmor"));
}

#[test]
fn the_setuid_build_needs_sys_admin_in_the_bounding_set() {
    let mut facts = good();
    facts.bounding.retain(|name| name != "CAP_SYS_ADMIN");
    for helper in &mut facts.map_helpers {
        (helper.setuid, helper.capabilities) = (true, false);
    }
    let refusal = first(&facts);
    assert!(
        refusal.fix().contains("chmod u-s newuidmap"),
        "{}",
        refusal.fix()
    );
    facts.ids.may_write = true;
    let maps = idmap::plan(&facts.ids, false).unwrap();
    assert_eq!(refusals(&facts, &maps), [], "maps are written without them");
}

#[test]
fn the_first_failure_is_the_one_that_dockerd_would_meet_first() {
    let mut facts = probe(|t| {
        t.proc = Some(libc::EPERM);
        t.tap = Some(("open /dev/net/tun".into(), libc::ENOENT));
    });
    facts.no_new_privs = true;
    let maps = idmap::plan(&facts.ids, false).unwrap();
    let found = refusals(&facts, &maps);
    assert!(matches!(
        found[..],
        [
            RootlessRefusal::NoNewPrivs,
            RootlessRefusal::Tap { .. },
            RootlessRefusal::MaskedProc(_)
        ]
    ));
}

#[test]
fn missing_ids_and_drivers_are_refused_with_the_official_words() {
    let mut facts = good();
    facts.ids.sub_uids.clear();
    let none = idmap::plan(&facts.ids, false).unwrap_err();
    let refusal = RootlessRefusal::no_map(none, &facts);
    assert!(
        refusal
            .to_string()
            .contains("missing necessary entries in /etc/subuid")
    );
    assert!(refusal.fix().contains("rootless:100000:65536"));
    facts.ids.sub_uids = good().ids.sub_uids;
    facts.ids.outer_uids[0].count = 65536;
    let none = idmap::plan(&facts.ids, false).unwrap_err();
    let refusal = RootlessRefusal::no_map(none, &facts);
    assert!(
        refusal.fix().contains("rootless:1001:64535"),
        "{}",
        refusal.fix()
    );

    let facts = RootlessFacts {
        slirp4netns: None,
        ..good()
    };
    let options = Options::for_dockerd(&Environment::default()).unwrap();
    let places =
        crate::config::rootless::places::decide(Environment::default(), 1000, None, |_| true);
    let refused = rootless::plan(
        options,
        &places.unwrap(),
        &facts,
        &UplinkFacts::default(),
        &Inner::default(),
        crate::plan::rootless::proxy::Wanted::Yes,
    );
    let refusal = refused.unwrap_err();
    assert!(refusal.to_string().contains("slirp4netns, pasta not found"));
    assert!(!refusal.why().is_empty() && refusal.fix().contains("passt"));
}
