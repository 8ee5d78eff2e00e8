//! Namespaces of this very process. We have one thread (a rule of the crate), so what is unshared
//! for it is unshared for the whole process.

use std::ffi::CString;
use std::io;
use std::path::Path;

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

/// Which call of [`own_cgroup_root`] was refused.
#[derive(Debug, thiserror::Error)]
#[error("{call}: {source}")]
pub struct NamespaceError {
    /// The call.
    pub call: &'static str,
    /// What the kernel said.
    pub source: io::Error,
}

/// Makes our cgroup the root of a cgroup namespace of our own, and mounts the version 2 tree
/// anew, so that it shows that root and nothing above it (`cgroup_namespaces(7)`).
///
/// The old mount is taken away where that is possible; where it is in use, or locked by a user
/// namespace, it is covered. Neither must show on the host: where the mount `below` is shared, it
/// is made private first.
///
/// # Errors
/// The call that was refused. Nothing is changed when it was the first one.
pub fn own_cgroup_root(
    point: &Path,
    below: Option<&Path>,
    flags: MountFlags,
    data: &str,
) -> Result<(), NamespaceError> {
    let refused = |call| move |source: io::Error| NamespaceError { call, source };
    unshare(CloneFlags::CLONE_NEWCGROUP)
        .map_err(|errno| refused("unshare(CLONE_NEWCGROUP)")(errno.into()))?;
    if let Some(below) = below {
        rustix::mount::mount_change(below, MountPropagationFlags::PRIVATE)
            .map_err(|errno| refused("mount(MS_PRIVATE)")(errno.into()))?;
    }
    let _ = rustix::mount::unmount(point, UnmountFlags::NOFOLLOW);
    let data = CString::new(data).unwrap_or_default();
    rustix::mount::mount("cgroup2", point, "cgroup2", flags, &*data)
        .map_err(|errno| refused("mount(cgroup2)")(errno.into()))
}
