//! Mounts (`mount(2)`).

use std::ffi::CString;
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags};

use super::ApplyError;

/// Mounts a file system with default flags: exec, suid and dev, as the dind script does (S53).
///
/// # Errors
/// What `mount(2)` says.
pub fn mount(fs_type: &str, target: &Path, data: &str) -> Result<(), ApplyError> {
    let data = CString::new(data).unwrap_or_default();
    // The source names the type: an empty one has broken mountinfo parsers (C9).
    rustix::mount::mount(fs_type, target, fs_type, MountFlags::empty(), &*data)
        .map_err(|e| ApplyError::new(format!("mount {fs_type} on"), target, e.into()))
}

/// Makes every mount of this namespace shared, so that mounts propagate into nested containers.
///
/// # Errors
/// What `mount(2)` says.
pub fn share_root() -> Result<(), ApplyError> {
    let flags = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags)
        .map_err(|e| ApplyError::new("make shared", Path::new("/"), e.into()))
}
