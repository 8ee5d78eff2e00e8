//! The data root on every kind of file system that can be had here.

use std::fs;
use std::path::Path;

use rustix::mount::MountFlags;

use crate::harness::{Machine, find, mount, on_a_machine};
use crate::skip::skip;

/// Nothing of a probe may stay behind.
#[track_caller]
fn is_clean(root: &Path) {
    let left: Vec<_> = fs::read_dir(root)
        .expect("the data root")
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with(".dind-init-probe.")
        })
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// An overlay on the machine's memory, as a container's own root is.
fn container_layer(machine: &Machine) -> std::path::PathBuf {
    let [low, up, work, root] = ["low", "up", "work", "root"].map(|name| machine.directory(name));
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        low.display(),
        up.display(),
        work.display()
    );
    mount("overlay", &root, "overlay", &options);
    root
}

#[test]
fn overlay_works_on_ext4_xfs_and_memory_and_nothing_is_added() {
    for fs_type in ["ext4", "xfs"] {
        on_a_machine([&*format!("mkfs.{fs_type}"), "mount"], |machine| {
            let root = machine.file_system(fs_type, 320);
            let plan = machine.storage(&root, &[]);
            assert_eq!(plan.driver(), "overlay2", "{fs_type}");
            assert!(
                plan.text("/host/storage/why")
                    .ends_with(&format!("({fs_type})"))
            );
            assert!(
                plan.flags()
                    .iter()
                    .all(|flag| !flag.starts_with("--storage-driver"))
            );
            is_clean(&root);
        });
    }
    on_a_machine([], |machine| {
        let root = machine.directory("root");
        let plan = machine.storage(&root, &[]);
        assert_eq!(plan.driver(), "overlay2");
        plan.warns(&["(tmpfs)", "live in memory"]);
        is_clean(&root);
    });
}

#[test]
fn a_trial_leaves_no_trace_in_the_times_of_the_data_root() {
    on_a_machine([], |machine| {
        let root = machine.directory("root");
        let modified = || {
            fs::metadata(&root)
                .and_then(|m| m.modified())
                .expect("a time")
        };
        let before = modified();
        machine.storage(&root, &[]);
        assert_eq!(modified(), before);
    });
}

#[test]
fn a_data_root_that_does_not_exist_is_tried_above_and_not_made() {
    on_a_machine([], |machine| {
        let above = machine.directory("above");
        let root = above.join("not/yet");
        assert_eq!(machine.storage(&root, &[]).driver(), "overlay2");
        assert!(!above.join("not").exists());
        is_clean(&above);
    });
}

#[test]
fn without_a_volume_only_copying_is_left_and_that_is_loud() {
    on_a_machine([], |machine| {
        let root = container_layer(machine);
        let plan = machine.storage(&root, &[]);
        assert_eq!(plan.driver(), "vfs");
        assert!(plan.flags().contains(&"--storage-driver=vfs".to_owned()));
        plan.warns(&[
            "SLOW",
            "not a volume",
            "it cannot be mounted",
            "docker run -v",
            "emptyDir",
        ]);
        is_clean(&root);

        let strict = machine.storage(&root, &[("DIND_STORAGE", "strict")]);
        strict.refused(
            "only the slow storage driver vfs works",
            "strict",
            "docker run -v",
        );
        let told = machine.storage(&root, &[("DOCKER_DRIVER", "overlay2")]);
        told.refused(
            "DOCKER_DRIVER=overlay2 cannot work",
            "cannot be mounted",
            "docker run -v",
        );
    });
}

#[test]
fn without_a_volume_fuse_overlayfs_is_used_where_it_works() {
    on_a_machine(["fuse-overlayfs"], |machine| {
        if !Path::new("/dev/fuse").exists() {
            return skip("there is no /dev/fuse");
        }
        let root = container_layer(machine);
        machine.link(
            "fuse-overlayfs",
            &find("fuse-overlayfs").expect("it was found"),
        );
        let plan = machine.storage(&root, &[]);
        assert_eq!(plan.driver(), "fuse-overlayfs");
        assert!(
            plan.flags()
                .contains(&"--storage-driver=fuse-overlayfs".to_owned())
        );
        plan.warns(&["fuse-overlayfs works and is used", "docker run -v"]);
        is_clean(&root);
    });
}

#[test]
fn a_fuse_overlayfs_that_hangs_or_dies_costs_nothing_but_itself() {
    for script in ["exit 1", "read never </dev/zero"] {
        on_a_machine([], |machine| {
            let root = container_layer(machine);
            machine.script("bin/fuse-overlayfs", script);
            assert_eq!(machine.storage(&root, &[]).driver(), "vfs", "{script}");
        });
    }
}

#[test]
fn an_overlay_that_mounts_but_does_not_keep_its_word_is_not_used() {
    // ramfs has no extended attributes: the overlay mounts, and old files come back.
    on_a_machine([], |machine| {
        let root = machine.directory("root");
        mount("ramfs", &root, "ramfs", "");
        let plan = machine.storage(&root, &[]);
        assert_eq!(plan.driver(), "vfs");
        plan.warns(&["SLOW", "(ramfs)", "trusted.overlay.opaque"]);
    });
}

#[test]
fn read_only_and_full_file_systems_are_refused() {
    on_a_machine([], |machine| {
        let root = machine.directory("root");
        mount("tmpfs", &root, "tmpfs", "size=1m");
        let read_only = MountFlags::RDONLY;
        rustix::mount::mount_remount(&root, read_only, c"").expect("read-only");
        let plan = machine.storage(&root, &[]);
        plan.refused("(tmpfs) is read-only", "keeps images", "--tmpfs");
    });
    on_a_machine(["mkfs.ext4", "mount"], |machine| {
        let root = machine.file_system("ext4", 16);
        let fill = |size: usize| {
            let block = vec![0; size];
            let mut file = fs::File::create(root.join(size.to_string())).expect("a file");
            while std::io::Write::write_all(&mut file, &block).is_ok() {}
        };
        fill(1 << 16);
        fill(1);
        let plan = machine.storage(&root, &[]);
        plan.refused("is full: no space left on device", "prune", "free space");
    });
}

#[test]
fn what_a_killed_trial_left_is_removed_and_what_another_one_uses_is_not() {
    on_a_machine([], |machine| {
        let root = machine.directory("root");
        for name in ["left/work/work", "used", "mine"] {
            let prefix = if name == "mine" {
                ""
            } else {
                ".dind-init-probe."
            };
            fs::create_dir_all(root.join(format!("{prefix}{name}"))).expect("a directory");
        }
        let used = fs::File::open(root.join(".dind-init-probe.used")).expect("it is there");
        used.lock().expect("a lock");
        machine.storage(&root, &[]);
        let mut names: Vec<_> = fs::read_dir(&root)
            .expect("the root")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        names.sort();
        assert_eq!(names, [".dind-init-probe.used", "mine"]);
    });
}

#[test]
fn a_second_dind_is_told_who_uses_the_data_root() {
    on_a_machine([], |machine| {
        let root = machine.directory("root");
        let lock = root.join(".dind-init.lock");
        fs::write(&lock, r#"{"host":"ci-7","since":"2026-01-02T03:04:05Z"}"#).expect("a file");
        let held = fs::File::open(&lock).expect("it is there");
        held.lock().expect("a lock");
        let plan = machine.storage(&root, &[]);
        let why = plan.text("/host/steps/0/why");
        assert!(
            why.starts_with("in use by dind-init on ci-7 since 2026-01-02"),
            "{why}"
        );
    });
}
