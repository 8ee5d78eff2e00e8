//! Mounts and device files.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use dind_init::apply::file::make_device;
use dind_init::apply::mount::{make_writable, mount, share_root};
use dind_init::host::devices::Device;
use dind_init::host::mountinfo;
use dind_init::sys::probe::{ProbeResult, Probes, UnshareFlags};
use rustix::mount::MountFlags;

use super::can_run;

/// Runs a closure in a mount namespace of its own.
fn in_namespace<T>(closure: impl FnOnce() -> T) -> T
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let mut probes = Probes::new();
    let deadline = Duration::from_secs(60);
    let ticket = probes.start("mounts", UnshareFlags::NEWNS, deadline, closure);
    match probes.collect().take(ticket) {
        ProbeResult::Known(answer) => answer,
        ProbeResult::Unknown(why) => panic!("{why}"),
    }
}

fn options(point: &Path) -> Option<(String, bool)> {
    let mounts = mountinfo::parse(&fs::read("/proc/self/mountinfo").unwrap());
    let mount = mountinfo::at(&mounts, point)?;
    Some((mount.options.clone(), mount.shared))
}

#[test]
fn a_part_of_a_read_only_mount_becomes_writable() {
    if !can_run() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (whole, part) = (dir.path().to_owned(), dir.path().join("part"));
    fs::create_dir(&part).unwrap();
    let (before, after, outside) = in_namespace(|| {
        rustix::mount::mount_bind(&whole, &whole).unwrap();
        let read_only = MountFlags::BIND | MountFlags::RDONLY;
        rustix::mount::mount_remount(&whole, read_only, c"").unwrap();
        let before = fs::write(part.join("file"), "x").is_err();
        make_writable(&part).unwrap();
        make_writable(&part).unwrap();
        let after = fs::write(part.join("file"), "x").is_ok();
        (before, after, fs::write(whole.join("file"), "x").is_err())
    });
    assert!(before && after && outside);
}

#[test]
fn file_systems_are_mounted_with_a_source_and_the_root_is_shared() {
    if !can_run() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let point = dir.path().to_owned();
    let (mounted, refused, shared) = in_namespace(|| {
        mount("tmpfs", &point, "mode=1777").unwrap();
        let mode = fs::metadata(&point).unwrap().permissions().mode() & 0o7777;
        let error = mount("no-such-fs", &point, "").unwrap_err().to_string();
        let private = options(&point).unwrap();
        share_root().unwrap();
        share_root().unwrap();
        ((mode, private), error, options(&point).unwrap().1)
    });
    assert_eq!(mounted, (0o1777, ("rw,relatime".into(), false)));
    assert!(refused.starts_with("mount no-such-fs on"), "{refused}");
    assert!(shared);
}

#[test]
fn a_device_file_gets_its_numbers_and_its_mode() {
    if !can_run() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("net/null");
    let device = Device {
        path: path.display().to_string(),
        major: 1,
        minor: 3,
        mode: 0o666,
    };
    for _ in 0..2 {
        make_device(&device).unwrap();
        let meta = fs::metadata(&path).unwrap();
        assert!(meta.file_type().is_char_device());
        assert_eq!(meta.rdev(), rustix::fs::makedev(1, 3));
        assert_eq!(meta.permissions().mode() & 0o777, 0o666);
    }
}
