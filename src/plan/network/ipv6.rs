//! A container that reaches the world by IPv6 alone, as a pod of an IPv6-only cluster: dockerd's
//! networks have IPv4, unless it is told otherwise.

use super::NetworkPlan;
use crate::config::Config;
use crate::host::daemon_json::DaemonFile;
use crate::host::uplink::UplinkFacts;
use crate::plan::dockerd::{AddedFlag, user_set};

/// Of the unique local addresses (RFC 4193), with a random part of its own.
const SUBNET: &str = "fd9c:e0a7:d1d0::/64";

/// Since then ip6tables is used without being asked for, which hides the containers' addresses.
const BY_ITSELF: u32 = 27;

/// Lets containers of the default bridge out, where nobody has decided about it.
pub(super) fn plan(
    plan: &mut NetworkPlan,
    config: &Config,
    file: &DaemonFile,
    facts: &UplinkFacts,
    version: Option<u32>,
) {
    const OTHERS: &str = "networks that are made later need `docker network create --ipv6`";
    let decided = ["ipv6", "fixed-cidr-v6", "ip6tables", "bridge"];
    if !facts.only_ipv6 {
        return;
    }
    let decided = decided
        .iter()
        .any(|name| user_set(config, file, name, &[name]));
    let lone = "this container has a way out by IPv6 only";
    if decided {
        if !user_set(config, file, "ipv6", &["ipv6"]) {
            plan.warnings.push(format!(
                "NO WAY OUT for nested containers: {lone}; --ipv6 --fixed-cidr-v6={SUBNET} help"
            ));
        }
    } else if version.is_some_and(|version| version >= BY_ITSELF) {
        let flag = |name, value: &str| AddedFlag {
            name,
            value: value.to_owned(),
            why: lone.to_owned(),
        };
        plan.flags.push(flag("ipv6", "true"));
        plan.flags.push(flag("fixed-cidr-v6", SUBNET));
        plan.warnings
            .push(format!("{lone}: docker0 has IPv6 addresses, too; {OTHERS}"));
    } else {
        plan.warnings.push(format!(
            "NO WAY OUT for nested containers: {lone}; --ipv6 --fixed-cidr-v6={SUBNET} help, with \
             --experimental --ip6tables before engine 27; {OTHERS}"
        ));
    }
}
