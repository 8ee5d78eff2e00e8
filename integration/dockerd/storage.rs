//! Where images live: the real engine on every kind of data root, and two on one.

use crate::container::{Container, Create};
use crate::lab::{Lab, NESTED};

/// A nested container runs, and this is the driver.
#[track_caller]
fn works_with(dind: &Container, driver: &str) {
    let used = dind.docker(["info", "--format", "{{.Driver}}"]);
    assert_eq!(used, driver, "{}", dind.log().stderr);
    dind.import_nested();
    dind.docker(["run", "--rm", NESTED, "true"]);
}

/// A data root on a file system in a file.
fn on_file_system(create: Create, fs_type: &str, options: &str) -> Create {
    let script = format!(
        "truncate -s 400M /image; mkfs.{fs_type} -q /image
         mkdir -p /data; mount -o loop{options} /image /data"
    );
    create.args(["--data-root=/data"]).before(&script)
}

const NO_FUSE: &str = "rm $(command -v fuse-overlayfs)";

#[test]
fn overlay_is_used_on_volumes_ext4_xfs_and_memory() {
    let Some(lab) = Lab::find() else { return };
    works_with(&lab.dind().start(), "overlay2");
    for fs_type in ["ext4", "xfs"] {
        works_with(&on_file_system(lab.dind(), fs_type, "").start(), "overlay2");
    }
    let memory = ["--mount", "type=tmpfs,dst=/var/lib/docker"];
    let dind = lab.dind().options(memory).start();
    works_with(&dind, "overlay2");
    assert!(
        dind.log()
            .stderr
            .contains("(tmpfs): images and containers live in memory")
    );
}

#[test]
fn without_a_volume_fuse_overlayfs_or_a_loud_vfs_is_used() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().args(["--data-root=/data"]).start();
    works_with(&dind, "fuse-overlayfs");
    assert!(
        dind.log()
            .stderr
            .contains("fuse-overlayfs works and is used")
    );

    let without = || lab.dind().args(["--data-root=/data"]).before(NO_FUSE);
    let dind = without().start();
    works_with(&dind, "vfs");
    assert!(
        dind.log()
            .stderr
            .contains("SLOW: the vfs storage driver copies")
    );

    let (_dind, output) = without().env("DIND_STORAGE=strict").run_to_end();
    output.assert_refused("only the slow storage driver vfs works on /data");
}

#[test]
fn names_of_the_other_store_are_understood_and_impossible_ones_refused() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().env("DOCKER_DRIVER=overlayfs").start();
    works_with(&dind, "overlay2");
    let dind = lab.dind().env("DOCKER_DRIVER=overlay2");
    let dind = dind.args(["--storage-driver=vfs"]).start();
    works_with(&dind, "vfs");
    assert!(
        dind.log()
            .stderr
            .contains("--storage-driver=vfs wins over DOCKER_DRIVER=overlay2")
    );

    let dind = lab.dind().env("DOCKER_DRIVER=overlay2");
    let (_dind, output) = dind.args(["--data-root=/data"]).run_to_end();
    output.assert_refused("DOCKER_DRIVER=overlay2 cannot work on /data");
}

const CONTAINERD: &str = r#"{"features": {"containerd-snapshotter": true}}"#;

#[test]
fn containerds_image_store_gets_its_own_names_and_falls_back_aloud() {
    let Some(lab) = Lab::find() else { return };
    let dind = || {
        lab.dind()
            .file("/etc/docker/daemon.json", 0o644, CONTAINERD)
    };
    works_with(&dind().env("DOCKER_DRIVER=overlay2").start(), "overlayfs");
    let copies = dind().args(["--data-root=/data"]).start();
    works_with(&copies, "native");
    assert!(
        copies
            .log()
            .stderr
            .contains("SLOW: the native storage driver copies")
    );
}

#[test]
fn a_full_or_read_only_data_root_is_refused() {
    let Some(lab) = Lab::find() else { return };
    let script = "truncate -s 32M /image; mkfs.ext4 -q /image
                  mkdir /data; mount -o loop /image /data
                  ! dd if=/dev/zero of=/data/big bs=64k; ! dd if=/dev/zero of=/data/small bs=1";
    let full = lab.dind().args(["--data-root=/data"]).before(script);
    let (_dind, output) = full.run_to_end();
    assert_eq!(output.code, 78, "{output}");
    assert!(
        output
            .stderr
            .contains("error: /data (ext4) is full: no space left on device")
    );

    let (_dind, output) = on_file_system(lab.dind(), "ext4", ",ro").run_to_end();
    output.assert_refused("/data (ext4) is read-only");
}

#[test]
fn a_change_of_driver_names_the_images_that_it_hides() {
    let Some(lab) = Lab::find() else { return };
    let volume = lab.volume();
    let dind = || lab.dind().volume(&volume, "/var/lib/docker");
    let vfs = dind().args(["--storage-driver=vfs"]).start();
    works_with(&vfs, "vfs");
    drop(vfs);
    let overlay = dind().start();
    works_with(&overlay, "overlay2");
    let hidden = format!("1 images ({NESTED}) of the graph driver vfs are hidden");
    assert!(
        overlay.log().stderr.contains(&hidden),
        "{}",
        overlay.log().stderr
    );
}

#[test]
fn a_second_dind_on_one_data_root_waits_a_little_and_is_refused_by_name() {
    let Some(lab) = Lab::find() else { return };
    let volume = lab.volume();
    let dind = |name| {
        let create = lab.dind().volume(&volume, "/var/lib/docker");
        create.options(["--hostname", name])
    };
    let first = dind("first").start();
    first.docker(["version"]);
    let (_second, output) = dind("second").run_to_end();
    assert_eq!(output.code, 78, "{output}");
    assert!(
        output
            .stderr
            .contains("/var/lib/docker is in use by dind-init on first"),
        "{output}"
    );

    // As in a rolling deploy: the new one waits while the old one stops, and goes on.
    let third = dind("third").start();
    third.until_log("waiting up to");
    assert_eq!(first.stop(), "0");
    works_with(&third, "overlay2");
}
