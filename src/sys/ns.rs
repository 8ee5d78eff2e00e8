//! Namespaces of this very process. We have one thread (a rule of the crate), so what is unshared
//! for it is unshared for the whole process.

use std::ffi::CString;
use std::io;
use std::path::Path;

use nix::sched::{CloneFlags, unshare};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

/// Which call of [`own_cgroup_root`] was refused.
#[derive(Debug, thiserror::Error)]
#[error("{call}: {source}")]
pub struct NamespaceError {
    pub call: &'static str,
    pub source: io::Error,
}

/// What becomes of the old mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldMount {
    /// Taken away where that is possible; where it is in use, or locked by a user namespace, it
    /// is covered.
    TakenAway,
    /// Covered: an unmount waits for every CPU, which a probe has no time for.
    Covered,
}

/// A fresh mount of the version 2 tree.
#[derive(Debug, Clone, Copy)]
pub struct Remount<'a> {
    pub point: &'a Path,
    /// What becomes of the mount that is there.
    pub old: OldMount,
    /// The mount that holds the point, where that is shared: it is made private first, so that
    /// nothing of this shows on the host.
    pub below: Option<&'a Path>,
    pub flags: MountFlags,
    /// Options of the tree.
    pub data: &'a str,
}

/// Makes our cgroup the root of a cgroup namespace of our own, and mounts the version 2 tree
/// anew, so that it shows that root and nothing above it (`cgroup_namespaces(7)`).
///
/// # Errors
/// The call that was refused. Nothing is changed when it was the first one.
pub fn own_cgroup_root(remount: &Remount<'_>) -> Result<(), NamespaceError> {
    let refused = |call| move |source: io::Error| NamespaceError { call, source };
    unshare(CloneFlags::CLONE_NEWCGROUP)
        .map_err(|errno| refused("unshare(CLONE_NEWCGROUP)")(errno.into()))?;
    if let Some(below) = remount.below {
        rustix::mount::mount_change(below, MountPropagationFlags::PRIVATE)
            .map_err(|errno| refused("mount(MS_PRIVATE)")(errno.into()))?;
    }
    if remount.old == OldMount::TakenAway {
        let _ = rustix::mount::unmount(remount.point, UnmountFlags::NOFOLLOW);
    }
    let data = CString::new(remount.data).unwrap_or_default();
    let tree = || rustix::mount::mount("cgroup2", remount.point, "cgroup2", remount.flags, &*data);
    let mounted = match tree() {
        // The old one is still there, and the kernel does not put a file system on itself.
        Err(Errno::BUSY) => {
            let data = c"mode=555,size=4k,nr_inodes=2";
            rustix::mount::mount("tmpfs", remount.point, "tmpfs", remount.flags, data)
                .map_err(|errno| refused("mount(tmpfs)")(errno.into()))?;
            tree()
        }
        other => other,
    };
    mounted.map_err(|errno| refused("mount(cgroup2)")(errno.into()))
}

/// Makes a mount writable in its place; its other flags are given, and no peer of it notices.
///
/// # Errors
/// What `mount(2)` says.
pub fn remount_writable(point: &Path, flags: MountFlags) -> rustix::io::Result<()> {
    rustix::mount::mount_remount(point, MountFlags::BIND | flags, c"")
}
