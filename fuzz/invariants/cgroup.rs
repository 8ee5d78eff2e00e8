//! A /proc/PID/cgroup and the directories that it leads to: the names are those of processes that
//! may make cgroups of their own.

use std::path::{Component, Path};

use dind_init::host::cgroup::place::{Membership, directory};
use dind_init::host::mountinfo;

use super::shape;

/// A /proc/self/mountinfo and a /proc/PID/cgroup.
pub fn check(bytes: &[u8]) {
    let [mounts, cgroup] = shape::files(bytes);
    let mounts = mountinfo::parse(mounts);
    let read = |text: &str| -> Vec<(String, String)> {
        let line = |text: &str| {
            let text = text.to_owned();
            let line = Membership::parse(text.as_ref())?;
            let path = Path::new(line.path).display().to_string();
            Some((line.controllers.to_owned(), path))
        };
        text.lines().filter_map(line).collect()
    };
    for (controllers, path) in shape::text_lines(cgroup, read) {
        let text = format!("7:{controllers}:{path}");
        let line = Membership::parse(text.as_ref()).expect("a line");
        assert_eq!(line.controllers, controllers);
        assert_eq!(Path::new(line.path), Path::new(&path));
        // No cgroup can be named so: the kernel writes it at the beginning alone, for what is
        // outside of our namespace.
        let mut parts = Path::new(&path).components().skip(1);
        if parts.any(|part| part == Component::ParentDir) && !path.starts_with("/../") {
            continue;
        }
        let Some(directory) = directory(&mounts, line) else {
            continue;
        };
        let shown = mounts.iter().filter(|mount| {
            mount.fs_type.starts_with("cgroup") && directory.starts_with(&mount.point)
        });
        // Files are written there: it must be a place in what is mounted, not one beside it.
        let inside = shown.filter_map(|mount| directory.strip_prefix(&mount.point).ok());
        let mut inside =
            inside.map(|path| path.components().all(|part| part != Component::ParentDir));
        assert!(
            inside.any(|inside| inside),
            "{text}: {}",
            directory.display()
        );
    }
}
