//! Tables: facts of a kind of machine, and what is decided there.

use super::*;
use crate::base::explain::Explain as _;
use crate::host::cgroup;
use crate::host::cgroup::legacy::Hierarchy;
use crate::host::said;

const OURS: Maker<'_> = Maker::Dockerd { parent: None };

fn config(env: &[(&str, &str)]) -> Config {
    said::config(&[], env)
}

pub(super) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A container's cgroup with 700 MiB, at the start.
pub(super) fn group() -> Group {
    Group {
        kind: Some("domain".into()),
        controllers: words("cpu memory pids"),
        delegated: Vec::new(),
        processes: vec![1],
        writable: true,
        memory_max: Some(700 << 20),
        oom_group: false,
        cpu_max: None,
        pids_max: None,
    }
}

/// `docker run --cgroupns=private` on version 2.
pub(super) fn private() -> CgroupFacts {
    CgroupFacts {
        mode: CgroupMode::V2,
        own_path: Some("/".into()),
        position: CgroupPosition::Root,
        mount: Some(cgroup::mount::TreeMount {
            root: "/".into(),
            options: "rw,nosuid,nodev,noexec,relatime".into(),
            super_options: "rw,nsdelegate".into(),
        }),
        shared_below: None,
        group: Some(group()),
        fresh: None,
        systemd: false,
        booted: false,
        legacy: Vec::new(),
        rewritten: None,
    }
}

/// `docker run --cgroupns=host`, or a privileged pod.
pub(super) fn host(fresh: ProbeResult<Result<Group, String>>) -> CgroupFacts {
    CgroupFacts {
        own_path: Some("/pod/1".into()),
        position: CgroupPosition::Below("pod/1".into()),
        fresh: Some(fresh),
        ..private()
    }
}

pub(super) fn refused() -> ProbeResult<Result<Group, String>> {
    ProbeResult::Known(Err(
        "unshare(CLONE_NEWCGROUP): Operation not permitted".into()
    ))
}

/// Version 1, as the plain test machine has it: `own` is our place in what is mounted.
pub(super) fn version_1(own: &str) -> CgroupFacts {
    let hierarchy = |name: &str| Hierarchy {
        controllers: vec![name.into()],
        own_path: "/pod/1".into(),
        point: Some(Path::new(ROOT).join(name)),
        within: Some(own.into()),
        writable: true,
        options: "rw,nosuid".into(),
        memory_limit: (name == "memory").then_some(700 << 20),
    };
    CgroupFacts {
        mode: CgroupMode::Hybrid,
        position: CgroupPosition::Hidden,
        mount: None,
        group: None,
        legacy: ["cpu", "memory", "pids"].map(hierarchy).into(),
        ..private()
    }
}

/// Steps, flags and the first words of each warning, one a line.
fn text(plan: &CgroupPlan) -> String {
    let steps = plan.steps.iter().map(|step| step.action.to_string());
    let flags = plan
        .flags
        .iter()
        .map(|flag| format!("--{}={}", flag.name, flag.value));
    let warning = |text: &String| {
        let words: Vec<&str> = text.split_whitespace().take(9).collect();
        format!("warn: {}", words.join(" "))
    };
    let lines: Vec<String> = steps
        .chain(flags)
        .chain(plan.warnings.iter().map(warning))
        .collect();
    lines.join("\n")
}

const DELEGATE: &str = "cgroup delegate /sys/fs/cgroup: +cpu +memory +pids";
const ENTER: &str = "cgroup enter a new namespace, mount /sys/fs/cgroup anew";

#[test]
fn what_is_ours_is_delegated_and_what_is_not_is_left_alone() {
    let threaded = |kind: &str| CgroupFacts {
        group: Some(Group {
            kind: Some(kind.into()),
            ..group()
        }),
        ..private()
    };
    let sealed = Group {
        writable: false,
        ..group()
    };
    let position = |position| CgroupFacts {
        position,
        ..private()
    };
    for (name, facts, expected) in [
        ("private", private(), DELEGATE.to_owned()),
        (
            "host",
            host(ProbeResult::Known(Ok(group()))),
            format!("{ENTER}\n{DELEGATE}"),
        ),
        (
            "host, refused",
            host(refused()),
            "cgroup delegate /sys/fs/cgroup/pod/1: +cpu +memory +pids\n\
             --cgroup-parent=/pod/1/docker\n\
             warn: /sys/fs/cgroup shows the host's tree; a cgroup namespace of"
                .into(),
        ),
        (
            "host, refused, read-only",
            CgroupFacts {
                group: Some(sealed.clone()),
                ..host(refused())
            },
            "warn: limits will NOT hold: /sys/fs/cgroup shows the host's tree;".into(),
        ),
        (
            "a service of systemd, which divides the tree",
            CgroupFacts {
                systemd: true,
                ..host(ProbeResult::Known(Ok(group())))
            },
            String::new(),
        ),
        (
            "the host's tree as a volume",
            CgroupFacts {
                position: CgroupPosition::Hidden,
                group: None,
                ..host(ProbeResult::Known(Ok(group())))
            },
            format!("{ENTER}\n{DELEGATE}"),
        ),
        (
            "read-only, and a fresh mount is not",
            CgroupFacts {
                group: Some(sealed.clone()),
                fresh: Some(ProbeResult::Known(Ok(group()))),
                ..private()
            },
            format!("{ENTER}\n{DELEGATE}"),
        ),
        (
            "a user namespace without delegation",
            CgroupFacts {
                group: Some(sealed),
                fresh: Some(ProbeResult::Known(Err(
                    "the fresh mount is not writable".into()
                ))),
                ..private()
            },
            "warn: limits will NOT hold: /sys/fs/cgroup belongs to another user".into(),
        ),
        (
            "a virtual machine",
            position(CgroupPosition::Machine),
            String::new(),
        ),
        (
            "nothing mounted",
            CgroupFacts {
                mode: CgroupMode::None,
                mount: None,
                group: None,
                ..host(ProbeResult::Known(Ok(group())))
            },
            format!("{ENTER}\n{DELEGATE}"),
        ),
        (
            "threaded",
            threaded("threaded"),
            "warn: limits of nested containers will not work: cgroup.type of".into(),
        ),
        (
            "domain invalid",
            threaded("domain invalid"),
            "warn: limits of nested containers will not work: cgroup.type of".into(),
        ),
        (
            "a second start",
            CgroupFacts {
                group: Some(Group {
                    delegated: words("cpu memory pids"),
                    processes: Vec::new(),
                    ..group()
                }),
                ..position(CgroupPosition::Leaf)
            },
            String::new(),
        ),
        (
            "a start that was cut off",
            position(CgroupPosition::Leaf),
            DELEGATE.into(),
        ),
        ("version 1", version_1(""), String::new()),
        (
            "version 1 with the host's tree",
            version_1("pod/1"),
            "--cgroup-parent=/pod/1/docker\n\
             warn: the cgroup mounts show the host's trees: nested containers"
                .into(),
        ),
    ] {
        assert_eq!(text(&plan(&config(&[]), OURS, &facts)), expected, "{name}");
    }
}

#[test]
fn nothing_is_done_when_the_user_says_so() {
    let skip = config(&[("DIND_CGROUP", "skip"), ("DIND_MEMORY_RESERVE", "64M")]);
    for facts in [private(), host(refused()), version_1("pod/1")] {
        assert_eq!(text(&plan(&skip, OURS, &facts)), "");
    }
}

#[test]
fn the_users_parent_wins_and_is_checked() {
    for (facts, parent, expected) in [
        (host(refused()), "/pod/1/kids", ""),
        (host(refused()), "pod/1/kids", ""),
        (
            host(refused()),
            "/kids",
            "warn: limits of this container will NOT hold for nested",
        ),
        (
            version_1("pod/1"),
            "/kids",
            "warn: limits of this container will NOT hold for nested",
        ),
        (private(), "/kids", ""),
    ] {
        let maker = Maker::Dockerd {
            parent: Some(parent),
        };
        let plan = plan(&config(&[]), maker, &facts);
        assert_eq!(plan.flags, [], "{parent}");
        let text = text(&plan);
        let warnings: Vec<_> = text.lines().filter(|l| l.starts_with("warn")).collect();
        assert_eq!(warnings.join("\n"), expected, "{parent}");
    }
}

#[test]
fn a_command_of_the_users_is_told_the_flag() {
    let plan = plan(&config(&[]), Maker::Command, &host(refused()));
    assert_eq!(plan.flags, []);
    assert!(plan.warnings[0].contains("--cgroup-parent=/pod/1/docker"));
}

#[test]
fn the_reserve_limits_what_nested_containers_live_in() {
    let machine = CgroupFacts {
        position: CgroupPosition::Machine,
        ..private()
    };
    let no_memory = CgroupFacts {
        group: Some(Group {
            controllers: words("cpu pids"),
            ..group()
        }),
        ..private()
    };
    let none = "warn: DIND_MEMORY_RESERVE has no effect:";
    for (facts, parent, reserve, expected) in [
        (
            private(),
            None,
            "100M",
            "cgroup limit /sys/fs/cgroup/docker: memory.max 629145600",
        ),
        (
            private(),
            Some("/kids/small"),
            "100M",
            "cgroup limit /sys/fs/cgroup/kids: memory.max 629145600",
        ),
        (
            host(ProbeResult::Known(Ok(group()))),
            None,
            "100M",
            "cgroup limit /sys/fs/cgroup/docker: memory.max 629145600",
        ),
        (
            host(refused()),
            None,
            "100M",
            "cgroup limit /sys/fs/cgroup/pod/1/docker: memory.max 629145600",
        ),
        (
            version_1(""),
            None,
            "100M",
            "cgroup limit /sys/fs/cgroup/memory/docker: memory.limit_in_bytes 629145600",
        ),
        (
            version_1("pod/1"),
            None,
            "100M",
            "cgroup limit /sys/fs/cgroup/memory/pod/1/docker: memory.limit_in_bytes 629145600",
        ),
        (private(), None, "700M", none),
        (no_memory, None, "100M", none),
        (machine, None, "100M", none),
    ] {
        let maker = Maker::Dockerd { parent };
        let plan = plan(&config(&[("DIND_MEMORY_RESERVE", reserve)]), maker, &facts);
        let text = text(&plan);
        let line = text
            .lines()
            .find(|line| line.contains("limit ") || line.contains("RESERVE"));
        assert!(line.unwrap().starts_with(expected), "{text}");
    }
}

#[test]
fn a_group_that_dies_as_a_whole_is_named() {
    let facts = CgroupFacts {
        group: Some(Group {
            oom_group: true,
            ..group()
        }),
        ..private()
    };
    let plan = |env: &[(&str, &str)]| plan(&config(env), OURS, &facts).warnings;
    assert!(plan(&[])[0].starts_with("memory.oom.group"));
    assert!(plan(&[("DIND_MEMORY_RESERVE", "64M")]).is_empty());
}

#[test]
fn the_summary_names_controllers_and_limits() {
    let facts = CgroupFacts {
        group: Some(Group {
            cpu_max: Some("150000 100000".into()),
            pids_max: Some(500),
            ..group()
        }),
        ..private()
    };
    assert_eq!(
        plan(&config(&[]), OURS, &facts).summary,
        "cgroup v2 (cpu memory pids, memory 700 MiB, 1.50 cpus, 500 pids)"
    );
}

/// `--privileged -v /sys/fs/cgroup:/sys/fs/cgroup:ro`, as recipes for systemd have it.
fn read_only(rewritten: ProbeResult<Result<(), String>>) -> CgroupFacts {
    let mut facts = version_1("pod/1");
    for hierarchy in &mut facts.legacy {
        hierarchy.writable = false;
        hierarchy.options = "ro,nosuid,relatime".into();
    }
    CgroupFacts {
        rewritten: Some(rewritten),
        ..facts
    }
}

#[test]
fn read_only_hierarchies_are_mounted_writable_where_that_is_allowed() {
    let plan = plan(&config(&[]), OURS, &read_only(ProbeResult::Known(Ok(()))));
    expect_test::expect![[r#"
        mount  /sys/fs/cgroup/cpu writable in its place
        mount  /sys/fs/cgroup/memory writable in its place
        mount  /sys/fs/cgroup/pids writable in its place
        --cgroup-parent=/pod/1/docker
        warn: the cgroup mounts show the host's trees: nested containers"#]]
    .assert_eq(&text(&plan));
    assert_eq!(plan.refusal, None);
    let options = plan.steps.iter().find_map(|step| match &step.action {
        Action::RemountWritable { options, .. } => Some(options.join(",")),
        _ => None,
    });
    assert_eq!(options.as_deref(), Some("ro,nosuid,relatime"));
}

#[test]
fn read_only_hierarchies_that_stay_so_are_refused_by_the_volumes_name() {
    let facts = read_only(ProbeResult::Known(Err("Operation not permitted".into())));
    let refusal = plan(&config(&[]), OURS, &facts).refusal.unwrap();
    assert_eq!(
        refusal.to_string(),
        "the cgroup mounts are read-only (:ro): cpu memory pids"
    );
    assert!(refusal.why().contains("Operation not permitted"));
    assert!(refusal.fix().contains("/sys/fs/cgroup:ro"));
    let command = plan(&config(&[]), Maker::Command, &facts);
    assert!(command.refusal.is_none() && text(&command).contains("no nested container will start"));
}

#[test]
fn what_cannot_be_written_is_told_with_its_cause() {
    let mut foreign = version_1("");
    foreign.legacy[0].writable = false;
    let warnings = plan(&config(&[]), OURS, &foreign).warnings;
    assert!(
        warnings.len() == 1 && warnings[0].contains("belong to another user: cpu;"),
        "{warnings:?}"
    );
    for (options, part) in [
        ("ro,nosuid", "is mounted read-only"),
        ("rw,nosuid", "belongs to another user"),
    ] {
        let mut facts = private();
        facts.fresh = Some(ProbeResult::Known(Err("EPERM".into())));
        if let (Some(mount), Some(group)) = (&mut facts.mount, &mut facts.group) {
            mount.options = options.into();
            group.writable = false;
        }
        let warnings = plan(&config(&[]), OURS, &facts).warnings;
        assert!(warnings[0].contains(part), "{warnings:?}");
    }
}
