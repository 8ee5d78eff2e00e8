//! Which directory shows a cgroup that /proc names: the one rule for everybody who opens its files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::within;
use crate::host::mountinfo::Mount;

/// One line of a /proc/PID/cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership<'a> {
    /// `freezer`, `cpu,cpuacct`, `name=…`; nothing on version 2.
    pub controllers: &'a str,
    /// The path, relative to our cgroup namespace.
    pub path: &'a Path,
}

impl<'a> Membership<'a> {
    /// `5:cpu,cpuacct:/a/b`; the path may hold colons, and any byte but a line feed, which no
    /// cgroup can be named with.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.splitn(3, |byte| *byte == b':').skip(1);
        Some(Self {
            controllers: std::str::from_utf8(fields.next()?).ok()?,
            path: Path::new(OsStr::from_bytes(fields.next()?)),
        })
    }

    /// Every line of a /proc/PID/cgroup.
    pub fn all(text: &'a [u8]) -> impl Iterator<Item = Self> + Clone {
        let lines = text.split(|byte| *byte == b'\n');
        lines.filter_map(Self::parse)
    }

    /// Whether it is of the hierarchy that this controller of version 1 is in.
    #[must_use]
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.split(',').any(|name| name == controller)
    }

    fn is_shown_by(&self, mount: &Mount) -> bool {
        match self.controllers.split(',').next() {
            None | Some("") => mount.fs_type == "cgroup2",
            Some(first) => {
                mount.fs_type == "cgroup" && mount.super_options.split(',').any(|o| o == first)
            }
        }
    }
}

/// Where the files of a cgroup are. The latest mount wins: our own may cover the host's, and what
/// that one shows has the same names relative to another root.
#[must_use]
pub fn directory(mounts: &[Mount], line: Membership<'_>) -> Option<PathBuf> {
    let shown = mounts.iter().rev().filter(|mount| line.is_shown_by(mount));
    let mut places =
        shown.filter_map(|mount| Some(mount.point.join(within(line.path, &mount.root)?)));
    places.next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::mountinfo;

    #[test]
    fn a_cgroup_is_found_below_the_mount_that_shows_it() {
        let hybrid = "1 0 0:1 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            2 1 0:2 /docker/out /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n\
            3 1 0:4 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
            4 1 0:3 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        // After our remount, where the old mount could not be taken away.
        let covered = "1 0 0:1 /../.. /sys/fs/cgroup rw - cgroup2 cgroup rw\n\
            2 1 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        // A volume of the host's tree beside the container's own.
        let volume = "1 0 0:1 /../.. /host/cgroup rw - cgroup2 cgroup rw\n\
            2 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        for (mounts, line, found) in [
            (
                hybrid,
                "9:freezer:/docker/out/docker/in",
                Some("/sys/fs/cgroup/freezer/docker/in"),
            ),
            (hybrid, "9:freezer:/elsewhere", None),
            (
                hybrid,
                "3:cpu,cpuacct:/a:b",
                Some("/sys/fs/cgroup/cpu,cpuacct/a:b"),
            ),
            (
                hybrid,
                "0::/docker/in",
                Some("/sys/fs/cgroup/unified/docker/in"),
            ),
            (covered, "0::/docker/in", Some("/sys/fs/cgroup/docker/in")),
            (volume, "0::/init", Some("/sys/fs/cgroup/init")),
            (volume, "0::/../other", None),
            ("", "0::/", None),
        ] {
            let mounts = mountinfo::parse(mounts.as_bytes());
            let place = directory(&mounts, Membership::parse(line.as_bytes()).unwrap());
            assert_eq!(place, found.map(PathBuf::from), "{line}");
        }
    }
}
