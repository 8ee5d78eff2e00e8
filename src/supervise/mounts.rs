//! Mounts and namespace files that a killed dockerd leaves: taken away when nothing of ours runs
//! any more. What the user mounted below the data root is never touched: only the mounts whose
//! kind and place are those that dockerd makes.

use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;

use crate::files::{self, Kind};
use crate::host::mountinfo::{self, Mount};

/// Where dockerd works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// `--data-root`.
    pub data: PathBuf,
    /// `--exec-root`.
    pub exec: PathBuf,
}

/// dockerd's mounts, the last one first.
#[must_use]
pub fn leftovers(mounts: &[Mount], roots: &Roots) -> Vec<PathBuf> {
    let ours = mounts.iter().filter(|mount| is_dockerds(mount, roots));
    let mut points: Vec<PathBuf> = ours.map(|mount| mount.point.clone()).collect();
    points.reverse();
    points
}

fn is_dockerds(mount: &Mount, roots: &Roots) -> bool {
    let parts = |below: &Path| -> Vec<String> {
        let parts = below.components();
        parts
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect()
    };
    if let Ok(below) = mount.point.strip_prefix(&roots.exec) {
        return match parts(below).iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["netns", _] => mount.fs_type == "nsfs",
            ["containerd", .., "rootfs"] => true,
            _ => false,
        };
    }
    let Ok(below) = mount.point.strip_prefix(&roots.data) else {
        return false;
    };
    let overlay = ["overlay", "fuse.fuse-overlayfs"].contains(&mount.fs_type.as_str());
    match parts(below).iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["overlay2" | "fuse-overlayfs", _, "merged"] | ["rootfs", _, _] => overlay,
        ["containers", _, "mounts", ..] => mount.fs_type == "tmpfs",
        ["containerd", "daemon", "tmpmounts", _] => true,
        _ => false,
    }
}

/// Unmounts them, and removes the files that held network namespaces.
pub fn remove(roots: &Roots) {
    // The kernel lists mounts by their paths without links: /var/run is one.
    let real = |path: &Path| files::real(path).unwrap_or_else(|_| path.to_owned());
    let roots = &Roots {
        data: real(&roots.data),
        exec: real(&roots.exec),
    };
    let points = leftovers(&mountinfo::read(), roots);
    for point in &points {
        let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        match rustix::mount::unmount(point, flags) {
            Ok(()) => tracing::debug!("unmounted {}", point.display()),
            Err(error) => tracing::warn!("unmount {}: {error}", point.display()),
        }
    }
    for path in files::entries(&roots.exec.join("netns")).unwrap_or_default() {
        if files::stat(&path).is_ok_and(|kind| kind == Kind::File) {
            let _ = files::remove(&path); // EBUSY: still a mount, and said above
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dockerds_own_mounts_are_taken_away_the_last_one_first() {
        let id = "a".repeat(64);
        let line = |point: &str, kind: &str| format!("1 0 0:1 / {point} rw - {kind} none rw\n");
        let data = "/var/lib/docker";
        let text: String = [
            line("/", "overlay"),
            line(data, "ext4"),
            line(&format!("{data}/volumes"), "xfs"),
            line(&format!("{data}/volumes/x/merged"), "overlay"),
            line(&format!("{data}/overlay2/{id}/merged"), "overlay"),
            line(&format!("{data}/overlay2"), "ext4"),
            line(&format!("{data}/rootfs/overlayfs/{id}"), "overlay"),
            line(&format!("{data}/containers/{id}/mounts/shm"), "tmpfs"),
            line("/run/docker/netns/default", "nsfs"),
            line("/run/docker/netns/x", "tmpfs"),
            line("/run/other/netns/x", "nsfs"),
        ]
        .concat();
        let roots = Roots {
            data: data.into(),
            exec: "/run/docker".into(),
        };
        assert_eq!(
            leftovers(&mountinfo::parse(text.as_bytes()), &roots),
            [
                PathBuf::from("/run/docker/netns/default"),
                format!("{data}/containers/{id}/mounts/shm").into(),
                format!("{data}/rootfs/overlayfs/{id}").into(),
                format!("{data}/overlay2/{id}/merged").into(),
            ]
        );
    }
}
