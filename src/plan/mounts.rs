//! Mounts and device files that dockerd and nested containers need. Each is harmless to miss, so
//! each failure is only said.

use super::step::{Action, Step};
use crate::config::{Config, Switch};
use crate::host::apparmor::{Profile, SECURITYFS};
use crate::host::mounts::{DirectoryState, MountFacts};
use crate::host::process::ProcessFacts;
use crate::sys::probe::ProbeResult;

/// Settings of a network namespace, which nested networks change.
const NET_SYSCTLS: &str = "/proc/sys/net";

/// What comes before anything else.
#[must_use]
pub fn plan(config: &Config, process: &ProcessFacts, facts: &MountFacts) -> Vec<Step> {
    let mut steps: Vec<Step> = security(facts).into_iter().collect();
    if config.tmp == Switch::Auto && facts.tmp == DirectoryState::Empty {
        let action = Action::Mount {
            fs_type: "tmpfs",
            target: "/tmp".into(),
            data: "mode=1777",
        };
        // Warn: an empty /tmp on the container's own file system serves as well.
        steps.push(Step::may(action, "empty and not a mount point"));
    }
    // In a user namespace mknod(2) is refused, whatever the capabilities say.
    if process.full_id_map && process.may("CAP_MKNOD") {
        // Warn: only FUSE, VPNs and kubelet in nested containers need them.
        steps.extend(facts.missing_devices.iter().map(|device| {
            let action = Action::MakeDevice {
                device: device.clone(),
            };
            Step::may(action, "missing, and nested containers may want it")
        }));
    }
    if !facts.net_sysctls_writable && process.may("CAP_SYS_ADMIN") {
        let action = Action::MakeWritable {
            path: NET_SYSCTLS.into(),
        };
        // Warn: dockerd says which setting it could not write.
        steps.push(Step::may(action, "dockerd sets ip_forward and more there"));
    }
    steps
}

/// What comes when every mount is in place.
#[must_use]
pub fn share(facts: &MountFacts) -> Option<Step> {
    // Warn: only FUSE and CSI mounts below nested containers need it (M3).
    (!facts.root_shared).then(|| {
        Step::may(
            Action::ShareRoot,
            "mounts must propagate to nested containers",
        )
    })
}

/// securityfs only shows whether AppArmor is there. So it is mounted where dockerd can use that,
/// and hidden where it would see AppArmor and stumble over its profile (P2, P3).
fn security(facts: &MountFacts) -> Option<Step> {
    let apparmor = &facts.apparmor;
    let missing = match &apparmor.profile {
        _ if !apparmor.enabled => return None,
        Some(ProbeResult::Known(Profile::Missing(why))) => Some(why),
        // A probe without an answer proves nothing.
        Some(ProbeResult::Known(Profile::Loaded | Profile::Loadable) | ProbeResult::Unknown(_))
        | None => None,
    };
    match (facts.securityfs, missing) {
        (DirectoryState::Empty, None) => {
            let action = Action::Mount {
                fs_type: "securityfs",
                target: SECURITYFS.into(),
                data: "",
            };
            // Warn: all else works without it.
            Some(Step::may(action, "AppArmor detection"))
        }
        // What is shared with the host must not be covered: the cover would propagate.
        (DirectoryState::MountPoint, Some(why)) if !facts.securityfs_shared => {
            let action = Action::Mount {
                fs_type: "tmpfs",
                target: SECURITYFS.into(),
                data: "mode=755,size=4k,nr_inodes=2",
            };
            // Warn: dockerd then fails at its profile, and says so.
            let why = format!("dockerd must not see AppArmor, whose profile it cannot have: {why}");
            Some(Step::may(action, why))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::apparmor::AppArmorFacts;
    use crate::host::devices::Device;
    use crate::host::process::Seccomp;
    use crate::host::said;

    fn config(env: &[(&str, &str)]) -> Config {
        said::config(&[], env)
    }

    fn process() -> ProcessFacts {
        ProcessFacts {
            uid: 0,
            effective: vec!["CAP_SYS_ADMIN".into(), "CAP_MKNOD".into()],
            bounding: Vec::new(),
            no_new_privs: false,
            full_id_map: true,
            seccomp: Seccomp::Disabled,
        }
    }

    /// A container that lacks nothing.
    fn complete() -> MountFacts {
        MountFacts {
            root_shared: true,
            tmp: DirectoryState::MountPoint,
            securityfs: DirectoryState::Empty,
            securityfs_shared: false,
            apparmor: AppArmorFacts {
                enabled: false,
                label: None,
                profile: None,
            },
            net_sysctls_writable: true,
            missing_devices: Vec::new(),
        }
    }

    fn apparmor(profile: ProbeResult<Profile>) -> MountFacts {
        MountFacts {
            apparmor: AppArmorFacts {
                enabled: true,
                label: Some("unconfined".into()),
                profile: Some(profile),
            },
            ..complete()
        }
    }

    fn text(steps: &[Step]) -> String {
        let lines: Vec<_> = steps.iter().map(|step| step.action.to_string()).collect();
        lines.join("\n")
    }

    #[test]
    fn only_what_is_missing_is_made() {
        let tun = Device {
            path: "/dev/net/tun".into(),
            major: 10,
            minor: 200,
            mode: 0o666,
        };
        let bare = MountFacts {
            tmp: DirectoryState::Empty,
            net_sysctls_writable: false,
            missing_devices: vec![tun],
            ..complete()
        };
        let in_user_namespace = ProcessFacts {
            full_id_map: false,
            ..process()
        };
        let used = MountFacts {
            tmp: DirectoryState::Used,
            ..complete()
        };
        for (process, facts, env, expected) in [
            (process(), complete(), &[][..], ""),
            (
                process(),
                bare.clone(),
                &[],
                "mount  tmpfs on /tmp (mode=1777)\n\
                 mknod  /dev/net/tun c 10 200 (mode 0666)\n\
                 mount  /proc/sys/net writable",
            ),
            (
                in_user_namespace,
                bare,
                &[("DIND_TMP", "skip")],
                "mount  /proc/sys/net writable",
            ),
            (process(), used, &[], ""),
        ] {
            assert_eq!(text(&plan(&config(env), &process, &facts)), expected);
        }
    }

    #[test]
    fn securityfs_is_mounted_where_it_helps_and_hidden_where_it_harms() {
        const MOUNT: &str = "mount  securityfs on /sys/kernel/security";
        const HIDE: &str = "mount  tmpfs on /sys/kernel/security (mode=755,size=4k,nr_inodes=2)";
        let mounted = |facts: MountFacts| MountFacts {
            securityfs: DirectoryState::MountPoint,
            ..facts
        };
        let missing = || apparmor(ProbeResult::Known(Profile::Missing("no parser".into())));
        for (name, facts, expected) in [
            ("no AppArmor", complete(), ""),
            (
                "loaded",
                apparmor(ProbeResult::Known(Profile::Loaded)),
                MOUNT,
            ),
            (
                "loadable",
                apparmor(ProbeResult::Known(Profile::Loadable)),
                MOUNT,
            ),
            (
                "unknown",
                apparmor(ProbeResult::Unknown("it hung".into())),
                MOUNT,
            ),
            ("missing", missing(), ""),
            ("missing, visible", mounted(missing()), HIDE),
            (
                "missing, visible, the host's",
                MountFacts {
                    securityfs_shared: true,
                    ..mounted(missing())
                },
                "",
            ),
            (
                "loaded, visible",
                mounted(apparmor(ProbeResult::Known(Profile::Loaded))),
                "",
            ),
        ] {
            let steps = plan(&config(&[]), &process(), &facts);
            assert_eq!(text(&steps), expected, "{name}");
        }
    }

    #[test]
    fn a_private_root_is_shared() {
        let private = MountFacts {
            root_shared: false,
            ..complete()
        };
        assert_eq!(share(&complete()), None);
        assert_eq!(share(&private).unwrap().action, Action::ShareRoot);
    }
}
