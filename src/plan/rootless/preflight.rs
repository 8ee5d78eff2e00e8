//! The rows of the preflight: facts → refusals, worst first, and warnings. Pure.

use std::io;

use super::idmap::{MapPlan, Writer};
use super::net::NetPlan;
use super::refusal::RootlessRefusal;
use crate::host::rootless::probe::Sysfs;
use crate::host::rootless::{MapHelper, RootlessFacts};

const UNCONFINED: &str = "--security-opt seccomp=unconfined (Kubernetes: seccompProfile type \
                          Unconfined), or --privileged";

/// Every certain failure ahead, in the order in which dockerd would meet them.
#[must_use]
pub fn refusals(facts: &RootlessFacts, maps: &MapPlan) -> Vec<RootlessRefusal> {
    let mut found = Vec::new();
    let sysctl = |name: &str| facts.sysctl(name);
    if sysctl("kernel.unprivileged_userns_clone").is_some_and(|value| value != "1") {
        found.push(RootlessRefusal::UsernsClone);
    }
    if sysctl("user.max_user_namespaces") == Some("0") {
        found.push(RootlessRefusal::NoUserNamespaces);
    }
    let probe = facts.probe.known();
    if let Some(errno) = probe.and_then(|probe| probe.user) {
        found.push(namespace("user", errno, facts));
    }
    if maps.writer == Writer::Helpers {
        if facts.no_new_privs {
            found.push(RootlessRefusal::NoNewPrivs);
        }
        let helpers = facts.map_helpers.iter();
        found.extend(helpers.filter_map(|helper| map_helper(helper, facts)));
    }
    if let Some(errno) = probe.and_then(|probe| probe.network) {
        found.push(namespace("network", errno, facts));
    }
    if let Some((step, errno)) = probe.and_then(|probe| probe.tap.as_ref()) {
        found.push(tap(step, *errno));
    }
    if let Some(errno) = probe.and_then(|probe| probe.proc) {
        found.push(RootlessRefusal::MaskedProc(text(errno)));
    }
    found
}

fn text(errno: i32) -> String {
    io::Error::from_raw_os_error(errno).to_string()
}

impl RootlessFacts {
    fn sysctl(&self, name: &str) -> Option<&str> {
        let found = self.sysctls.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    fn bounded(&self, capability: &str) -> bool {
        !self.bounding.iter().any(|known| known == capability)
    }
}

fn namespace(kind: &'static str, errno: i32, facts: &RootlessFacts) -> RootlessRefusal {
    let restricted = facts.sysctl("kernel.apparmor_restrict_unprivileged_userns") == Some("1");
    let (why, fix) = match errno {
        libc::ENOSPC | libc::EUSERS => (
            format!(
                "user.max_{}_namespaces of the node is {}, or namespaces are nested 32 deep",
                if kind == "network" { "net" } else { kind },
                facts
                    .sysctl(&format!(
                        "user.max_{}_namespaces",
                        if kind == "network" { "net" } else { kind }
                    ))
                    .unwrap_or("unknown")
            ),
            format!(
                "on the node: sysctl -w user.max_{}_namespaces=28633",
                if kind == "network" { "net" } else { kind }
            ),
        ),
        libc::EACCES | libc::EPERM if restricted => (
            "AppArmor on this node lets only programs with a profile make user namespaces \
             (kernel.apparmor_restrict_unprivileged_userns=1)"
                .to_owned(),
            "on the node: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or a profile \
             with `userns,` for the path of this program; and --security-opt apparmor=unconfined"
                .to_owned(),
        ),
        libc::EPERM if facts.seccomp == Some(2) => (
            "a seccomp filter of the outer container forbids it, as Docker's default profile does"
                .to_owned(),
            UNCONFINED.to_owned(),
        ),
        _ => (
            "a security module, or a setting of the node, forbids it".to_owned(),
            format!("{UNCONFINED}; --security-opt apparmor=unconfined"),
        ),
    };
    RootlessRefusal::Namespace {
        kind,
        reason: text(errno),
        why,
        fix,
    }
}

/// Why a helper cannot do its work, if that is certain.
fn map_helper(helper: &MapHelper, facts: &RootlessFacts) -> Option<RootlessRefusal> {
    let needed = if helper.name == "newuidmap" {
        "CAP_SETUID"
    } else {
        "CAP_SETGID"
    };
    let lower = needed.to_lowercase();
    let (reason, fix) = if helper.path.is_none() {
        (
            "it is not in PATH".to_owned(),
            "install it in the image: uidmap (Debian), shadow-uidmap (Alpine)".to_owned(),
        )
    } else if helper.nosuid {
        (
            "it lies on a nosuid mount".to_owned(),
            "remove nosuid from that mount, or copy the program elsewhere in the image".to_owned(),
        )
    } else if !helper.setuid && !helper.capabilities {
        (
            "it has neither the set-user-ID bit nor a file capability".to_owned(),
            format!("in the image: setcap {lower}=ep {}", helper.name),
        )
    } else if facts.bounded(needed) {
        (
            format!("{needed} is not in the bounding set of this container"),
            "--cap-add SETUID --cap-add SETGID (Kubernetes: capabilities.add)".to_owned(),
        )
    } else if helper.setuid && !helper.capabilities && facts.bounded("CAP_SYS_ADMIN") {
        (
            "with the set-user-ID bit it stays root, and then needs CAP_SYS_ADMIN, which is not \
             in the bounding set of this container"
                .to_owned(),
            format!(
                "in the image: chmod u-s {0} and setcap {lower}=ep {0}; or --privileged",
                helper.name
            ),
        )
    } else {
        return None;
    };
    Some(RootlessRefusal::MapHelper {
        name: helper.name.clone(),
        reason,
        fix,
    })
}

fn tap(step: &str, errno: i32) -> RootlessRefusal {
    let fix = match errno {
        libc::ENOENT => {
            "--device /dev/net/tun (Kubernetes: a device plugin that offers it, since a pod with \
             hostUsers: false can neither make nor mount it; or privileged); if the node has none: \
             modprobe tun there"
        }
        libc::ENODEV | libc::ENXIO => "on the node: modprobe tun",
        libc::EACCES => {
            "on the node: chmod 0666 /dev/net/tun; or --group-add with the group of the device"
        }
        libc::EPERM => "--device /dev/net/tun: the device cgroup of the container forbids it",
        _ => "--device /dev/net/tun, or --privileged",
    };
    RootlessRefusal::Tap {
        step: step.to_owned(),
        reason: text(errno),
        fix: fix.to_owned(),
    }
}

/// What works for dockerd, but not as well as it could.
#[must_use]
pub fn warnings(facts: &RootlessFacts, net: &NetPlan) -> Vec<String> {
    let mut found = Vec::new();
    if let crate::sys::probe::ProbeResult::Unknown(why) = &facts.probe {
        found.push(format!("the probe of namespaces has no answer: {why}"));
    }
    if let Some(probe) = facts.probe.known() {
        if probe.sysfs == Sysfs::None && net.tap.is_some() {
            found.push(
                "no sysfs can be mounted: what dockerd sees of network devices is the outer \
                 container's; --security-opt systempaths=unconfined"
                    .into(),
            );
        } else if probe.sysfs == Sysfs::ReadOnly {
            found.push(
                "/sys is read-only here: `docker run --privileged` will not work inside".into(),
            );
        }
    }
    for name in ["user.max_user_namespaces", "user.max_net_namespaces"] {
        if let Some(value) = facts.sysctl(name)
            && value
                .parse()
                .is_ok_and(|value: u64| value < 1024 && value > 0)
        {
            found.push(format!(
                "{name} of the node is {value}: few containers can run"
            ));
        }
    }
    found
}

#[cfg(test)]
#[path = "preflight_tests.rs"]
pub(super) mod tests;
