//! Mounts (`mount(2)`).

use std::ffi::CString;
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags};

use super::ApplyError;

/// Mounts a file system with default flags: exec, suid and dev, as the dind script does.
///
/// # Errors
/// What `mount(2)` says.
pub fn mount(fs_type: &str, target: &Path, data: &str) -> Result<(), ApplyError> {
    let data = CString::new(data).unwrap_or_default();
    // The source names the type: an empty one has broken mountinfo parsers (C9).
    rustix::mount::mount(fs_type, target, fs_type, MountFlags::empty(), &*data).map_err(|e| {
        let error = ApplyError::new(format!("mount {fs_type} on"), target, e.into());
        if fs_type != "securityfs" {
            return error;
        }
        // The words that people search for.
        error.with_help(
            "Could not mount /sys/kernel/security. AppArmor detection and --privileged mode \
             might break.",
            "nothing has to be done where nested containers may run without AppArmor",
        )
    })
}

/// Makes one part of a read-only mount writable: a bind mount of its own, which may differ.
///
/// # Errors
/// What `mount(2)` says.
pub fn make_writable(path: &Path) -> Result<(), ApplyError> {
    let error = |operation: &str, e: rustix::io::Errno| ApplyError::new(operation, path, e.into());
    rustix::mount::mount_bind(path, path).map_err(|e| error("bind", e))?;
    let flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount_remount(path, flags, c"").map_err(|e| {
        // A half-way mount would hide nothing, but nobody would know what it is for.
        let _ = rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH);
        error("make writable", e)
    })
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
