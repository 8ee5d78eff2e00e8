//! Known problems of storage drivers, as a table of machines and what is decided on each.

use super::*;
use crate::base::explain::Explain;
use crate::host::said;
use crate::host::storage::content::{Content, DriverContent};
use crate::host::storage::overlay::{Feature, OverlayProbe, RootProbe};
use crate::host::storage::owner::{LockState, Owner};

fn works() -> OverlayProbe {
    OverlayProbe::default()
}

fn lacks(feature: Feature) -> OverlayProbe {
    OverlayProbe {
        missing: vec![feature],
        error: (feature == Feature::Mount).then(|| "mount: Invalid argument".to_owned()),
        user_xattr: false,
    }
}

fn root(fs_type: &str, overlay: OverlayProbe, fuse_overlayfs: Option<OverlayProbe>) -> RootFacts {
    RootFacts {
        path: "/var/lib/docker".into(),
        exists: true,
        mount_point: "/var/lib/docker".into(),
        fs_type: fs_type.into(),
        free_bytes: 50 << 30,
        free_inodes: Some(1 << 20),
        project_quota: false,
        probe: ProbeResult::Known(RootProbe {
            writing: Writing::Works,
            overlay: Some(overlay),
        }),
        fuse_overlayfs: fuse_overlayfs.map(ProbeResult::Known),
    }
}

/// An ext4 volume on which everything works.
fn volume() -> StorageFacts {
    StorageFacts {
        data_root: "/var/lib/docker".into(),
        data_root_uid: None,
        root: root("ext4", works(), None),
        snapshots: None,
        content: Content::default(),
        lock: LockState::Free,
        owner: Owner::default(),
        fuse_overlayfs: Some("/usr/bin/fuse-overlayfs".into()),
        no_dev_fuse: None,
    }
}

/// The container's own overlay, on which no other can be mounted.
fn container_layer(fuse: Option<OverlayProbe>) -> StorageFacts {
    StorageFacts {
        root: root("overlay", lacks(Feature::Mount), fuse),
        ..volume()
    }
}

fn content(store: Store, driver: &str, images: Option<usize>) -> DriverContent {
    DriverContent {
        store,
        driver: driver.into(),
        images,
        some: images
            .map(|_| "busybox:latest".to_owned())
            .into_iter()
            .collect(),
    }
}

fn with_content(mut facts: StorageFacts, drivers: &[(Store, &str)]) -> StorageFacts {
    let graph = |store| (store == Store::Graphdriver).then_some(1);
    let drivers = drivers
        .iter()
        .map(|(store, name)| content(*store, name, graph(*store)));
    facts.content.drivers = drivers.collect();
    facts
}

fn marked(mut facts: StorageFacts, driver: &str, store: Option<Store>) -> StorageFacts {
    facts.content.marker = Some(Marker {
        store,
        driver: driver.into(),
        dind_init: String::new(),
        first_seen: String::new(),
    });
    facts
}

/// Words for dockerd, variables, daemon.json.
type Said<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
const NOTHING: Said<'_> = (&[], &[], "{}");

fn engine(generation: Generation) -> EngineFacts {
    let version = match generation {
        Generation::Before29 => Some("28.5.2".into()),
        Generation::From29 => Some("29.1.0".into()),
        Generation::Unknown => None,
    };
    EngineFacts {
        generation,
        version,
    }
}

fn decide(facts: &StorageFacts, generation: Generation, said: Said<'_>) -> StoragePlan {
    let (words, env, json) = said;
    let (config, file) = (said::config(words, env), said::file(json));
    plan(&config, &file, facts, &engine(generation))
}

/// The decision in one line: driver, store, flag, variable, and how loud it is.
fn line(plan: &StoragePlan) -> String {
    let store = match plan.store {
        None => "?",
        Some(Store::Graphdriver) => "graph",
        Some(Store::Containerd) => "containerd",
    };
    let mut text = format!("{} {store}", plan.driver);
    for flag in &plan.flags {
        text.push_str(&format!(" --{}={}", flag.name, flag.value));
    }
    if let Some(value) = &plan.driver_variable {
        text.push_str(&format!(" DOCKER_DRIVER={value}"));
    }
    if plan
        .warnings
        .iter()
        .any(|warning| warning.starts_with("SLOW"))
    {
        text.push_str(" SLOW");
    }
    if plan.refusal.is_some() {
        text.push_str(" refused");
    }
    text
}

use Generation::{Before29, From29, Unknown};
use Store::{Containerd, Graphdriver};

#[test]
fn where_overlay_works_dockerds_own_default_is_left_alone() {
    for (generation, expected) in [
        (Before29, "overlay2 graph"),
        (From29, "overlayfs containerd"),
        (Unknown, "overlay2 ?"),
    ] {
        let plan = decide(&volume(), generation, NOTHING);
        assert_eq!(line(&plan), expected);
        assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    }
}

#[test]
fn what_is_chosen_where_overlay_does_not_work() {
    let fuse_refused = Some(lacks(Feature::Mount));
    let no_fuse = StorageFacts {
        fuse_overlayfs: None,
        ..container_layer(None)
    };
    let zfs = StorageFacts {
        root: root("zfs", lacks(Feature::Mount), fuse_refused.clone()),
        ..volume()
    };
    let used = |facts| with_content(facts, &[(Containerd, "native")]);
    for (name, facts, generation, said, expected) in [
        // overlay on overlay
        (
            "fuse",
            container_layer(Some(works())),
            Before29,
            NOTHING,
            "fuse-overlayfs graph --storage-driver=fuse-overlayfs",
        ),
        (
            "no fuse",
            no_fuse.clone(),
            Before29,
            NOTHING,
            "vfs graph --storage-driver=vfs SLOW",
        ),
        // the program alone would be taken by dockerd, and no container would start
        (
            "broken fuse",
            container_layer(fuse_refused.clone()),
            Before29,
            NOTHING,
            "vfs graph --storage-driver=vfs SLOW",
        ),
        (
            "strict",
            no_fuse.clone(),
            Before29,
            (&[][..], &[("DIND_STORAGE", "strict")][..], "{}"),
            "vfs graph --storage-driver=vfs refused",
        ),
        ("zfs", zfs, Before29, NOTHING, "zfs graph"),
        // engine 29
        (
            "29 fuse",
            container_layer(Some(works())),
            From29,
            NOTHING,
            "fuse-overlayfs graph --storage-driver=fuse-overlayfs",
        ),
        (
            "29 no fuse",
            no_fuse.clone(),
            From29,
            NOTHING,
            "native containerd --storage-driver=native SLOW",
        ),
        (
            "29 strict",
            no_fuse,
            From29,
            (&[], &[("DIND_STORAGE", "strict")], "{}"),
            "native containerd --storage-driver=native refused",
        ),
        (
            "29 used",
            used(container_layer(Some(works()))),
            From29,
            NOTHING,
            "native containerd --storage-driver=native SLOW",
        ),
        (
            "28 told",
            container_layer(Some(works())),
            Before29,
            (&[], &[], r#"{"features":{"containerd-snapshotter":true}}"#),
            "native containerd --storage-driver=native SLOW",
        ),
        (
            "29 told",
            container_layer(Some(works())),
            From29,
            (&[], &[], r#"{"features":{"containerd-snapshotter":true}}"#),
            "native containerd --storage-driver=native SLOW",
        ),
    ] {
        assert_eq!(line(&decide(&facts, generation, said)), expected, "{name}");
    }
}

#[test]
fn a_fuse_overlayfs_that_was_meant_to_be_used_is_named() {
    let plan = decide(
        &container_layer(Some(lacks(Feature::Mount))),
        Before29,
        NOTHING,
    );
    let said = "nor does fuse-overlayfs: it cannot be mounted (mount: Invalid argument)";
    assert!(plan.why.ends_with(said), "{}", plan.why);
}

#[test]
fn each_missing_feature_counts_and_is_named() {
    for (feature, word) in [
        (
            Feature::Mount,
            "cannot be mounted (mount: Invalid argument)",
        ),
        (Feature::Layers, "several layers"),
        (Feature::Whiteout, "deleted files come back"),
        (Feature::Opaque, "trusted.overlay.opaque"),
        (Feature::Rename, "renamed"),
        (Feature::FileTypes, "ftype=1"),
    ] {
        let mut facts = volume();
        facts.root = root("nfs4", lacks(feature), None);
        facts.fuse_overlayfs = None;
        let plan = decide(&facts, Before29, NOTHING);
        assert_eq!(line(&plan), "vfs graph --storage-driver=vfs SLOW");
        let slow = plan
            .warnings
            .iter()
            .find(|w| w.starts_with("SLOW"))
            .unwrap();
        for part in [
            word,
            "(nfs4)",
            "docker run -v NAME:/var/lib/docker",
            "emptyDir",
        ] {
            assert!(slow.contains(part), "{part}: {slow}");
        }
    }
}

#[test]
fn containerds_root_on_another_file_system_is_tried_by_itself() {
    // the data root is a volume, containerd's root is not.
    let mut facts = volume();
    let mut snapshots = root("overlay", lacks(Feature::Mount), None);
    snapshots.path = "/var/lib/containerd".into();
    facts.snapshots = Some(snapshots);
    assert_eq!(
        line(&decide(&facts, From29, NOTHING)),
        "overlay2 graph --storage-driver=overlay2"
    );
    assert_eq!(line(&decide(&facts, Before29, NOTHING)), "overlay2 graph");
    let told = (&[][..], &[("DOCKER_DRIVER", "overlayfs")][..], "{}");
    let plan = decide(&facts, From29, told);
    assert_eq!(line(&plan), "overlayfs containerd refused");
    assert!(
        plan.refusal
            .unwrap()
            .to_string()
            .contains("/var/lib/containerd")
    );
}

#[test]
fn the_users_word_wins_flag_over_variable_over_file() {
    let all: Said<'_> = (
        &["-s", "vfs"],
        &[("DOCKER_DRIVER", "overlay2")],
        r#"{"storage-driver":"btrfs"}"#,
    );
    let plan = decide(&volume(), Before29, all);
    assert_eq!(line(&plan), "vfs graph DOCKER_DRIVER=vfs SLOW");
    let wins = |loser: &str| {
        plan.warnings
            .contains(&format!("--storage-driver=vfs wins over {loser}"))
    };
    assert!(wins("DOCKER_DRIVER=overlay2") && wins("daemon.json: storage-driver=btrfs"));

    let (_, env, json) = all;
    let plan = decide(&volume(), Before29, (&[], env, json));
    assert_eq!(line(&plan), "overlay2 graph");
    assert_eq!(plan.why, "DOCKER_DRIVER=overlay2 says so");
    assert_eq!(
        line(&decide(&volume(), Before29, (&[], &[], json))),
        "btrfs graph refused"
    );
}

#[test]
fn names_are_translated_to_the_store_that_is_used() {
    let on = r#"{"features":{"containerd-snapshotter":true}}"#;
    let off = r#"{"features":{"containerd-snapshotter":false}}"#;
    for (name, generation, json, expected) in [
        // GitLab's DOCKER_DRIVER=overlay2
        ("overlay2", Before29, "{}", "overlay2 graph"),
        (
            "overlay2",
            Before29,
            on,
            "overlayfs containerd DOCKER_DRIVER=overlayfs",
        ),
        ("overlay2", From29, "{}", "overlay2 graph"),
        (
            "overlay2",
            From29,
            on,
            "overlayfs containerd DOCKER_DRIVER=overlayfs",
        ),
        (
            "overlayfs",
            Before29,
            "{}",
            "overlay2 graph DOCKER_DRIVER=overlay2",
        ),
        ("overlayfs", From29, "{}", "overlayfs containerd"),
        (
            "overlayfs",
            From29,
            off,
            "overlay2 graph DOCKER_DRIVER=overlay2",
        ),
        ("native", Before29, "{}", "vfs graph DOCKER_DRIVER=vfs SLOW"),
        (
            "vfs",
            From29,
            on,
            "native containerd DOCKER_DRIVER=native SLOW",
        ),
        ("overlayfs", Unknown, "{}", "overlayfs ?"),
        ("overlay2", Unknown, "{}", "overlay2 graph"),
    ] {
        let plan = decide(
            &volume(),
            generation,
            (&[], &[("DOCKER_DRIVER", name)], json),
        );
        assert_eq!(line(&plan), expected, "{name} {generation:?} {json}");
        assert_eq!(
            plan.warnings
                .iter()
                .any(|w| w.contains("is the other image store's name")),
            plan.driver_variable.is_some(),
        );
    }
    // A graph driver's data keeps engine 29 in that store, whatever the name.
    let facts = with_content(volume(), &[(Graphdriver, "overlay2")]);
    let said = (&["--storage-driver=overlayfs"][..], &[][..], "{}");
    assert_eq!(
        line(&decide(&facts, From29, said)),
        "overlay2 graph DOCKER_DRIVER=overlay2"
    );
}

#[test]
fn a_choice_that_a_trial_proves_impossible_is_refused_with_a_remedy() {
    let cases = [
        ("overlay2", container_layer(None), "cannot be mounted"),
        (
            "fuse-overlayfs",
            container_layer(Some(lacks(Feature::Mount))),
            "cannot be mounted",
        ),
        (
            "fuse-overlayfs",
            StorageFacts {
                fuse_overlayfs: None,
                ..volume()
            },
            "not in PATH",
        ),
        (
            "fuse-overlayfs",
            StorageFacts {
                no_dev_fuse: Some("No such file".into()),
                ..volume()
            },
            "/dev/fuse: No such file",
        ),
        ("zfs", volume(), "not a zfs file system"),
    ];
    for (driver, facts, why) in cases {
        let plan = decide(&facts, Before29, (&[], &[("DOCKER_DRIVER", driver)], "{}"));
        let refusal = plan.refusal.unwrap();
        assert!(
            refusal
                .to_string()
                .starts_with(&format!("DOCKER_DRIVER={driver} cannot work on"))
        );
        assert!(refusal.why().contains(why), "{}", refusal.why());
        assert!(refusal.fix().contains("docker run -v"), "{}", refusal.fix());
        assert_eq!(refusal.exit_code(), 78);
    }
}

#[test]
fn what_is_not_known_is_said_and_not_refused() {
    let mut facts = volume();
    facts.root.probe = ProbeResult::Unknown("no answer within 5s: killed".into());
    for said in [NOTHING, (&["-s", "overlay2"][..], &[][..], "{}")] {
        let plan = decide(&facts, Before29, said);
        assert_eq!(line(&plan), "overlay2 graph");
        assert!(plan.warnings[0].contains("is not known: no answer within 5s"));
    }
    let plan = decide(&facts, Before29, NOTHING);
    expect_test::expect![
        "storage: dockerd's own choice, overlay2 if it works (graph driver): it could not be tried"
    ]
    .assert_eq(&plan.to_string());
    let recorded = |plan: &StoragePlan| {
        let mut actions = plan.steps.iter().map(|step| &step.action);
        actions.any(|action| matches!(action, Action::RecordStorage { .. }))
    };
    assert!(!recorded(&plan), "what is not known is not recorded");
    assert!(recorded(&decide(&volume(), Before29, NOTHING)));
    let plan = decide(&volume(), Before29, (&["-s", "zebra"], &[], "{}"));
    assert!(plan.refusal.is_none() && plan.warnings[0].contains("no driver that dind-init knows"));
    let mut facts = volume();
    facts.content.unclear.push("not understood".into());
    let plan = decide(&facts, Before29, NOTHING);
    assert_eq!(plan.warnings, ["not understood"]);
}

/// dockerd would fall back to a driver that copies by itself, but not from one that it is given.
#[test]
fn strict_names_the_driver_that_could_not_be_tried() {
    let mut facts = volume();
    facts.root.probe = ProbeResult::Unknown("no answer within 5s: killed".into());
    let strict = (&[][..], &[("DIND_STORAGE", "strict")][..], "{}");
    for (generation, want) in [
        (Before29, "overlay2 graph --storage-driver=overlay2"),
        (From29, "overlayfs containerd --storage-driver=overlayfs"),
        // Naming one might change the store there, and so hide images.
        (Unknown, "overlay2 ?"),
    ] {
        assert_eq!(line(&decide(&facts, generation, strict)), want);
    }
}

#[test]
fn a_data_root_stays_with_the_driver_that_filled_it() {
    let overlay2 = |facts| with_content(facts, &[(Graphdriver, "overlay2")]);
    assert_eq!(
        line(&decide(&overlay2(volume()), From29, NOTHING)),
        "overlay2 graph"
    );
    let plan = decide(&overlay2(container_layer(Some(works()))), Before29, NOTHING);
    assert_eq!(line(&plan), "overlay2 graph refused");
    assert!(matches!(
        plan.refusal,
        Some(StorageRefusal::PriorImpossible { .. })
    ));

    let two = with_content(
        volume(),
        &[(Graphdriver, "overlay2"), (Graphdriver, "fuse-overlayfs")],
    );
    let plan = decide(&two, Before29, NOTHING);
    assert!(matches!(
        plan.refusal,
        Some(StorageRefusal::SeveralPrior { .. })
    ));
    let plan = decide(
        &marked(two, "overlay2", Some(Graphdriver)),
        Before29,
        NOTHING,
    );
    assert_eq!(line(&plan), "overlay2 graph --storage-driver=overlay2");

    // vfs is not counted by dockerd, nor is a driver that this engine has no more.
    let old = with_content(volume(), &[(Graphdriver, "vfs"), (Graphdriver, "aufs")]);
    assert_eq!(line(&decide(&old, Before29, NOTHING)), "overlay2 graph");
}

#[test]
fn a_change_of_driver_or_store_names_the_hidden_images() {
    let hidden = |plan: &StoragePlan| {
        let mut lines = plan.warnings.iter().filter(|w| w.contains("hidden"));
        let first = lines.next().cloned();
        assert_eq!(lines.next(), None);
        first
    };
    // vfs before, overlay2 now
    let facts = with_content(volume(), &[(Graphdriver, "vfs")]);
    let expected = "overlay2 is used for /var/lib/docker: 1 images (busybox:latest) of the graph \
                    driver vfs are hidden; start with --storage-driver=vfs to see them again";
    assert_eq!(
        hidden(&decide(&facts, Before29, NOTHING)).unwrap(),
        expected
    );
    let vfs_last = marked(facts.clone(), "vfs", Some(Graphdriver));
    let line = hidden(&decide(&vfs_last, Before29, NOTHING)).unwrap();
    assert!(line.contains("; vfs was used last; start with"), "{line}");
    let overlay2_last = marked(facts, "overlay2", Some(Graphdriver));
    assert_eq!(hidden(&decide(&overlay2_last, Before29, NOTHING)), None);

    // engine 29 with DOCKER_DRIVER=overlay2 where containerd's store has images
    let facts = with_content(volume(), &[(Containerd, "overlayfs")]);
    let said = (&[][..], &[("DOCKER_DRIVER", "overlay2")][..], "{}");
    let line = hidden(&decide(&facts, From29, said)).unwrap();
    assert!(
        line.contains("the images of the containerd snapshotter overlayfs"),
        "{line}"
    );
    assert!(line.contains("DOCKER_DRIVER=overlayfs"), "{line}");
    assert_eq!(hidden(&decide(&facts, From29, NOTHING)), None);
}

#[test]
fn what_cannot_be_written_or_is_full_is_refused() {
    let cannot = |writing: Writing| {
        let mut facts = volume();
        facts.root.probe = ProbeResult::Known(RootProbe {
            writing,
            overlay: None,
        });
        facts
    };
    for (writing, text) in [
        (Writing::ReadOnly, "/var/lib/docker (ext4) is read-only"),
        (
            Writing::Full,
            "/var/lib/docker (ext4) is full: no space left on device",
        ),
        (
            Writing::Refused("Permission denied".into()),
            "nothing can be written to",
        ),
    ] {
        let plan = decide(&cannot(writing), Before29, NOTHING);
        let refusal = plan.refusal.unwrap();
        assert!(refusal.to_string().starts_with(text), "{refusal}");
        assert!(
            plan.steps.is_empty(),
            "no lock where nothing can be written"
        );
    }
}

#[test]
fn a_size_for_every_container_needs_quotas() {
    let said = (&["--storage-opt", "overlay2.size=10G"][..], &[][..], "{}");
    let file = (
        &[][..],
        &[][..],
        r#"{"storage-opts":["overlay2.size=10G"]}"#,
    );
    for said in [said, file] {
        let refusal = decide(&volume(), Before29, said).refusal.unwrap();
        assert_eq!(
            refusal.to_string(),
            "overlay2.size=10G cannot work on /var/lib/docker (ext4)"
        );
        assert!(refusal.fix().contains("pquota"));
        let mut facts = volume();
        facts.root.project_quota = true;
        assert_eq!(decide(&facts, Before29, said).refusal, None);
    }
}

#[test]
fn little_space_memory_and_shared_file_systems_are_told() {
    for (fs_type, word) in [
        ("tmpfs", "live in memory"),
        ("9p", "shared file system"),
        ("virtiofs", "shared file system"),
        ("fuse.sshfs", "in user space"),
    ] {
        let facts = StorageFacts {
            root: root(fs_type, works(), None),
            ..volume()
        };
        let plan = decide(&facts, Before29, NOTHING);
        assert!(plan.warnings[0].contains(word), "{:?}", plan.warnings);
    }
    let mut facts = volume();
    (facts.root.free_bytes, facts.root.free_inodes) = (100 << 20, Some(12));
    let plan = decide(&facts, Before29, NOTHING);
    assert_eq!(
        plan.warnings,
        ["/var/lib/docker (ext4): only 100 MiB and 12 inodes are left"]
    );
}

#[test]
fn the_lock_comes_first_and_the_marker_only_when_something_is_new() {
    let actions = |plan: StoragePlan| -> Vec<String> {
        plan.steps
            .iter()
            .map(|step| step.action.to_string())
            .collect()
    };
    let lock = "lock   /var/lib/docker/.dind-init.lock";
    assert_eq!(
        actions(decide(&volume(), Before29, NOTHING)),
        [lock, "record overlay2 in /var/lib/docker/.dind-init.json"]
    );
    let again = marked(volume(), "overlay2", Some(Graphdriver));
    assert_eq!(actions(decide(&again, Before29, NOTHING)), [lock]);
}

#[test]
fn the_engine_is_only_asked_when_the_decision_depends_on_it() {
    let depends = |facts: &StorageFacts, env: &[(&str, &str)]| {
        let config = said::config(&[], env);
        let file = said::file("");
        depends_on_engine(&config, &file, facts)
    };
    assert!(!depends(&volume(), &[]));
    assert!(depends(&volume(), &[("DOCKER_DRIVER", "overlayfs")]));
    assert!(depends(&container_layer(None), &[]));
}
