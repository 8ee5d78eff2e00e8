//! Tables: facts of a kind of machine, and what is handed over there.

use super::*;
use crate::host::cgroup::{CgroupFacts, CgroupPosition};
use crate::plan::cgroup::tests::{group, host, private, refused, version_1, words};

const OWNER: (u32, u32) = (1000, 1001);

/// Root in a container of this kind.
fn root(tree: CgroupFacts) -> DelegationFacts {
    DelegationFacts {
        tree,
        files: words("cgroup.procs cgroup.subtree_control"),
        uid: 0,
        may_give: true,
        inside: Some(ProbeResult::Known(Ok(()))),
    }
}

/// The user itself, who has no capability.
fn user(tree: CgroupFacts) -> DelegationFacts {
    DelegationFacts {
        uid: OWNER.0,
        may_give: false,
        ..root(tree)
    }
}

fn with(tree: CgroupFacts, group: Group) -> CgroupFacts {
    CgroupFacts {
        group: Some(group),
        ..tree
    }
}

fn sealed() -> Group {
    Group {
        writable: false,
        ..group()
    }
}

/// The steps, one a line.
fn steps(decision: &Decision) -> String {
    let part = decision.as_ref().unwrap();
    let steps = part.steps.iter().map(|step| step.action.to_string());
    steps.collect::<Vec<_>>().join("\n")
}

const DELEGATE: &str = "cgroup delegate /sys/fs/cgroup: +cpu +memory +pids\n";
const ENTER: &str = "cgroup enter a new namespace, mount /sys/fs/cgroup anew\n";
const HAND: &str = "cgroup hand over /sys/fs/cgroup/docker to 1000:1001";

#[test]
fn what_is_ours_to_divide_is_handed_over() {
    let fresh = || ProbeResult::Known(Ok(group()));
    let second = Group {
        delegated: words("cpu memory pids"),
        processes: Vec::new(),
        ..group()
    };
    for (name, facts, expected) in [
        ("private", root(private()), format!("{DELEGATE}{HAND}")),
        (
            "host",
            root(host(fresh())),
            format!("{ENTER}{DELEGATE}{HAND}"),
        ),
        (
            "read-only, and a fresh mount is not",
            root(CgroupFacts {
                fresh: Some(fresh()),
                ..with(private(), sealed())
            }),
            format!("{ENTER}{DELEGATE}{HAND}"),
        ),
        (
            "host, a namespace refused to us, but not to the user namespace",
            root(host(refused())),
            "cgroup delegate /sys/fs/cgroup/pod/1: +cpu +memory +pids\n\
             cgroup hand over /sys/fs/cgroup/pod/1/docker to 1000:1001"
                .into(),
        ),
        (
            "a second start",
            root(with(
                CgroupFacts {
                    position: CgroupPosition::Leaf,
                    ..private()
                },
                second,
            )),
            HAND.into(),
        ),
        (
            "a user whose own cgroup is delegated to it",
            user(private()),
            format!("{DELEGATE}{HAND}"),
        ),
    ] {
        let decision = plan(Switch::Auto, &facts, OWNER);
        assert_eq!(steps(&decision), expected, "{name}");
    }
}

#[test]
fn inside_the_part_is_the_root() {
    let mut tree = host(refused());
    tree.shared_below = Some("/sys".into());
    let part = plan(Switch::Auto, &root(tree), OWNER).unwrap();
    assert_eq!(part.part, Path::new("/sys/fs/cgroup/pod/1/docker"));
    assert_eq!(part.point, Path::new("/sys/fs/cgroup"));
    assert_eq!(part.leaf, Path::new("/sys/fs/cgroup/init"));
    assert_eq!(part.controllers, words("cpu memory pids"));
    assert_eq!(part.options.data, "nsdelegate");
    // In a mount namespace of its own nothing propagates, and /sys is another mount.
    assert_eq!(part.options.below, None);
}

#[test]
fn what_is_not_is_kept_with_a_reason_and_a_remedy() {
    let threaded = Group {
        kind: Some("threaded".into()),
        ..group()
    };
    let bare = Group {
        controllers: Vec::new(),
        ..group()
    };
    let sealed_tree = || CgroupFacts {
        fresh: Some(ProbeResult::Known(Err(
            "the fresh mount is not writable".into()
        ))),
        ..with(private(), sealed())
    };
    for (facts, why, remedy) in [
        (root(version_1("")), "version 1", "boot the node"),
        (
            root(sealed_tree()),
            "/sys/fs/cgroup belongs to another user (a user namespace to which it was not handed over); a cgroup namespace of its own is refused",
            "docker run --privileged --cgroupns=private",
        ),
        (
            user(sealed_tree()),
            "user 1000 may not write to /sys/fs/cgroup",
            "--user 0 --env DIND_ROOTLESS=1",
        ),
        (
            root(CgroupFacts {
                position: CgroupPosition::Machine,
                ..private()
            }),
            "no container is around dind-init",
            "start it in a container",
        ),
        (
            root(CgroupFacts {
                systemd: true,
                ..host(refused())
            }),
            "systemd divides the cgroups",
            "native.cgroupdriver=systemd",
        ),
        (
            root(with(private(), threaded)),
            "is \"threaded\"",
            "must not",
        ),
        (
            root(with(private(), bare)),
            "no controller is handed",
            "cgroup.subtree_control",
        ),
        (
            DelegationFacts {
                may_give: false,
                ..root(private())
            },
            "needs capabilities",
            "--cap-add CHOWN",
        ),
        (
            DelegationFacts {
                inside: Some(ProbeResult::Known(Err(
                    "unshare(CLONE_NEWCGROUP): ENOSPC".into()
                ))),
                ..root(private())
            },
            "within a user namespace is refused: unshare(CLONE_NEWCGROUP): ENOSPC",
            "user.max_cgroup_namespaces",
        ),
        (
            DelegationFacts {
                inside: Some(ProbeResult::Unknown("no answer after 2 s".into())),
                ..root(private())
            },
            "is refused: no answer after 2 s",
            "seccomp=unconfined",
        ),
    ] {
        let kept = plan(Switch::Auto, &facts, OWNER).unwrap_err();
        assert!(kept.why.contains(why), "{kept:?}");
        assert!(kept.why.contains(remedy), "{kept:?}");
    }
}

#[test]
fn nothing_is_done_when_the_user_says_so() {
    let kept = plan(Switch::Skip, &root(private()), OWNER).unwrap_err();
    assert!(kept.why.contains("DIND_CGROUP=skip"));
}

#[test]
fn the_line_says_what_holds_either_way() {
    let given = line(&plan(Switch::Auto, &root(private()), OWNER));
    assert!(given.contains("/sys/fs/cgroup/docker"), "{given}");
    assert!(
        given.contains("(cpu memory pids, memory 700 MiB)"),
        "{given}"
    );
    let kept = line(&plan(Switch::Auto, &root(version_1("")), OWNER));
    assert!(kept.starts_with("rootless without limits for nested containers: version 1"));
}
