//! Which packet filter dockerd programs: the real engine with doctored tools, and with rules that
//! are there already.

use crate::container::Container;
use crate::lab::{Lab, NESTED};

/// Leaves a tool of which the kernel has nothing.
fn broken(backend: &str) -> String {
    format!(
        "tool=$(readlink -f $(command -v iptables-{backend}))
         printf '#!/bin/sh\\necho no table nat >&2; exit 3\\n' >$tool"
    )
}

/// A nested container reaches the outer network by the rules of this backend.
#[track_caller]
fn filters_with(dind: &Container, backend: &str) {
    dind.import_nested();
    let gateway = dind.sh("ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p'");
    dind.docker(["run", "--rm", NESTED, "ping", "-c1", "-w9", &gateway]);
    let rules = dind.sh(&format!("iptables-{backend} -t nat -S"));
    assert!(rules.contains("MASQUERADE"), "{rules}");
}

#[test]
fn nft_is_used_where_both_work() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().start();
    filters_with(&dind, "nft");
    let legacy = dind.sh("cat /proc/net/ip_tables_names");
    assert_eq!(legacy, "", "the legacy tables were not even looked at");
}

#[test]
fn legacy_is_used_where_nft_does_not_work_or_legacy_has_rules_already() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().before(&broken("nft")).start();
    filters_with(&dind, "legacy");
    // On a base without the farm of the official image, links of ours do.
    let script = format!("{}; rm -r /usr/local/sbin/.iptables-legacy", broken("nft"));
    filters_with(&lab.dind().before(&script).start(), "legacy");

    let rule = "iptables-legacy -t nat -A POSTROUTING -j RETURN";
    filters_with(&lab.dind().before(rule).start(), "legacy");
}

#[test]
fn where_nothing_works_it_is_refused_unless_the_user_turned_it_off() {
    let Some(lab) = Lab::find() else { return };
    let script = format!("{}; {}", broken("nft"), broken("legacy"));
    let (_dind, output) = lab.dind().before(&script).run_to_end();
    output.assert_refused("the packet filter does not take the rules that dockerd writes");
    let off = ["--iptables=false", "--ip6tables=false"];
    let dind = lab.dind().args(off).before(&script).start();
    dind.docker(["version"]);
}

#[test]
fn without_ip6tables_dockerd_is_told_so() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().before("rm $(command -v ip6tables)").start();
    filters_with(&dind, "nft");
    let argv = dind.sh("tr '\\0' ' ' </proc/$(cat /run/docker.pid)/cmdline");
    assert!(argv.contains("--ip6tables=false"), "{argv}");
}
