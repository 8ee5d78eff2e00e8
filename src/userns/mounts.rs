//! Mounts of the child's namespace: writable copies of directories, sysfs, name files.
//!
//! Detached mounts (`open_tree(2)`) carry the old content over: no temporary directory is needed,
//! and nothing is left when a step fails.
#![expect(
    clippy::disallowed_methods,
    reason = "effects of the launch live in userns/"
)]

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_bind,
    mount_bind_recursive, mount_change, move_mount, open_tree,
};

use super::error::LaunchError;
use crate::config::rootless::Propagation;
use crate::files;

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> LaunchError {
    let what = what.into();
    move |error| LaunchError::new(what, &error)
}

/// Cuts the namespace's mounts off from where they came from.
///
/// # Errors
/// What `mount(2)` says.
pub(super) fn propagation(wanted: Propagation) -> Result<(), LaunchError> {
    let flags = match wanted {
        Propagation::Private => MountPropagationFlags::PRIVATE,
        Propagation::Slave => MountPropagationFlags::DOWNSTREAM,
    };
    mount_change("/", flags | MountPropagationFlags::REC)
        .map_err(|e| failed("could not change the propagation of /")(e.into()))
}

/// Mounts the new process table.
///
/// # Errors
/// What `mount(2)` says; `EPERM` where the outer /proc is masked.
pub(super) fn proc() -> Result<(), LaunchError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", flags, None)
        .map_err(|e| failed("could not mount /proc for --pidns")(e.into()))
}

fn detached(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, path, flags)
}

fn attach(tree: &OwnedFd, path: &Path) -> rustix::io::Result<()> {
    move_mount(tree, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Makes a directory a tmpfs with a link for each entry of the old one, which stays below it as
/// `.ro…`: what is outside does not change, and what changes outside in directories is seen.
///
/// # Errors
/// The step and what the kernel said.
pub(super) fn copy_up(dir: &Path) -> Result<(), LaunchError> {
    let say = |step: &str| failed(format!("could not copy {} up: {step}", dir.display()));
    let mode = fs::metadata(dir).map_err(say("stat"))?.permissions().mode() & 0o7755; // it is ours alone now
    let old = detached(dir).map_err(|e| say("open_tree")(e.into()))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let data = std::ffi::CString::new(format!("mode={mode:o}")).unwrap_or_default();
    mount("tmpfs", dir, "tmpfs", flags, &*data).map_err(|e| say("mount a tmpfs")(e.into()))?;
    // The form of rootlesskit's name, for scripts that look below it; not one that somebody who can
    // write to the old directory could have taken.
    let number = files::unforeseen().map_err(say("getrandom"))?;
    let name = format!(".ro{:010}", number % 10_000_000_000);
    let below = dir.join(&name);
    fs::create_dir(&below).map_err(say("mkdir"))?;
    attach(&old, &below).map_err(|e| say("move_mount")(e.into()))?;
    for entry in fs::read_dir(&below).map_err(say("read"))? {
        let entry = entry.map_err(say("read"))?;
        let place = dir.join(entry.file_name());
        let is_link = entry.file_type().map_err(say("stat"))?.is_symlink();
        let target = if is_link {
            fs::read_link(entry.path()).map_err(say("readlink"))?
        } else {
            Path::new(&name).join(entry.file_name())
        };
        match symlink(&target, &place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&place).map_err(say("remove"))?;
                symlink(&target, &place).map_err(say("symlink"))?;
            }
            other => other.map_err(say("symlink"))?,
        }
    }
    Ok(())
}

/// Mounts a sysfs of the new network namespace, read-only where the outer container has no other,
/// with the outer cgroup tree in its place, unless another one comes there.
///
/// # Errors
/// What `mount(2)` says to the read-only attempt; dockerd starts without it.
pub(super) fn sysfs(outer_cgroups: bool) -> Result<(), LaunchError> {
    let cgroup = Path::new("/sys/fs/cgroup");
    let say = |step: &str| failed(format!("could not mount sysfs: {step}"));
    let tree = outer_cgroups.then(|| detached(cgroup));
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if mount("sysfs", "/sys", "sysfs", flags, None).is_err() {
        mount("sysfs", "/sys", "sysfs", flags | MountFlags::RDONLY, None)
            .map_err(|e| say("read-only")(e.into()))?;
    }
    match tree {
        Some(Ok(tree)) => attach(&tree, cgroup).map_err(|e| say("move_mount of cgroups")(e.into())),
        Some(Err(_)) | None => Ok(()), // there were none
    }
}

/// Puts a file in place of another one, without changing the outer one: in a directory that was
/// copied up by its own name, elsewhere by a bind mount of `spare`.
///
/// # Errors
/// The step and what the kernel said.
pub(super) fn replace_file(
    path: &Path,
    content: &str,
    copied: bool,
    spare: &Path,
) -> Result<(), LaunchError> {
    let say = |step: &str| failed(format!("could not replace {}: {step}", path.display()));
    if copied {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(say("remove")(error)),
            _ => fs::write(path, content).map_err(say("write")),
        }
    } else {
        fs::write(spare, content).map_err(say("write"))?;
        mount_bind(spare, path).map_err(|e| say("bind")(e.into()))
    }
}

/// Removes the links to what an outer daemon owns, so that dockerd makes its own.
pub(super) fn forget_outer_daemons() {
    for path in ["/run/docker", "/run/containerd", "/run/xtables.lock"] {
        let path = Path::new(path);
        if path.is_symlink() {
            // Tolerated: dockerd says what it cannot write to.
            let _ = fs::remove_file(path);
        }
    }
}

/// Leads the standard path to the API's socket, for nested containers that mount it (Ryuk, CI
/// jobs). What is there already stays: a socket that dockerd makes, or one that was mounted.
pub(super) fn standard_socket(api: &Path) {
    // Tolerated where /run is not a copy of ours, or something is there.
    if let Err(error) = symlink(api, "/run/docker.sock") {
        tracing::debug!("/run/docker.sock: {error}");
    }
}

/// Makes a link to a directory a mount of that directory, for those who do not follow links.
pub(super) fn real_directory(path: &Path) {
    let Ok(target) = files::real(path) else {
        return;
    };
    if !path.is_symlink() || !target.is_dir() {
        return;
    }
    let made = fs::remove_file(path)
        .and_then(|()| fs::create_dir(path))
        .and_then(|()| Ok(mount_bind_recursive(&target, path)?));
    if let Err(error) = made {
        tracing::warn!("{} stays a link: {error}", path.display());
    }
}
