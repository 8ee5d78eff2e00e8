//! Files and directories, by way of [`crate::files`].

use std::path::{Path, PathBuf};

use super::ApplyError;
use crate::files::{self, Dir};
use crate::host::devices::Device;

/// Removes a file or a socket; one that is gone already is no error.
///
/// # Errors
/// What `unlink(2)` says, or that it belongs to somebody else.
pub fn remove(path: &Path) -> Result<(), ApplyError> {
    files::remove(path).map_err(|e| ApplyError::new("remove", path, e))
}

/// Removes a directory with its content, but nothing on another mount: that is somebody's data.
///
/// # Errors
/// What the kernel says, `EBUSY` when a mount was left in place; or that something in it belongs
/// to somebody else.
pub fn remove_tree(path: &Path) -> Result<(), ApplyError> {
    files::remove_tree(path).map_err(|e| ApplyError::new("remove", path, e))
}

/// Removes a name that the user gave to us, whatever somebody else made of it meanwhile.
///
/// # Errors
/// What `unlink(2)` says: `EISDIR` for a directory.
pub fn withdraw(path: &Path) -> Result<(), ApplyError> {
    let removed = Dir::parent(path).and_then(|(dir, name)| dir.unlink(&name));
    match removed {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|e| ApplyError::new("remove", path, e)),
    }
}

/// Makes a directory and its parents; one that exists keeps its mode.
///
/// # Errors
/// What `mkdir(2)` says.
pub fn create_directory(path: &Path, mode: u32) -> Result<(), ApplyError> {
    files::create_directory(path, mode).map_err(|e| ApplyError::new("mkdir", path, e))
}

/// Makes a directory that only root, or the user that runs this, can change; who may not enter it
/// depends on the mode. One that is there and can be changed by others is refused.
///
/// # Errors
/// What `mkdir(2)` says, or [`files::Foreign::Open`].
pub fn create_private(path: &Path, mode: u32) -> Result<(), ApplyError> {
    files::create_private(path, mode).map_err(|e| ApplyError::new("mkdir", path, e))
}

/// Makes a character device; one that is there already is left alone.
///
/// # Errors
/// What `mknod(2)` says.
pub fn make_device(device: &Device) -> Result<(), ApplyError> {
    let path = Path::new(&device.path);
    let number = rustix::fs::makedev(device.major, device.minor);
    files::make_device(path, device.mode, number).map_err(|e| ApplyError::new("mknod", path, e))
}

/// Lets a group use a device as its owner does, where not everybody may.
///
/// # Errors
/// What `chown(2)` or `chmod(2)` says.
pub fn open_to_group(path: &Path, gid: u32) -> Result<(), ApplyError> {
    files::open_device_to_group(path, gid).map_err(|e| ApplyError::new("chmod", path, e))
}

/// Gives a directory itself to a user.
///
/// # Errors
/// What `chown(2)` says.
pub fn give(path: &Path, uid: u32, gid: u32) -> Result<(), ApplyError> {
    let given = Dir::open(path).and_then(|dir| dir.give(uid, gid));
    given.map_err(|e| {
        ApplyError::new("chown", path, e).with_help(
            "giving a directory away needs CAP_CHOWN, and an owner and a group that this \
             container's user namespace has",
            "--cap-add CHOWN (Kubernetes: capabilities.add), or let the volume be that user's",
        )
    })
}

/// Makes a directory for a user, and its parents for everybody; none is left that is not the user's.
///
/// # Errors
/// What `mkdir(2)` or `chown(2)` says.
pub fn create_for(path: &Path, mode: u32, uid: u32, gid: u32) -> Result<(), ApplyError> {
    let parents = path.parent();
    let parents = parents.map_or(Ok(()), |path| files::create_directory(path, 0o755));
    let made = parents.and_then(|()| Dir::parent(path));
    let made = made.and_then(|(above, name)| {
        let dir = above.make_sub(&name, mode)?;
        dir.give(uid, gid).inspect_err(|_| {
            let _ = above.remove_empty(&name);
        })
    });
    made.map_err(|e| ApplyError::new("mkdir", path, e))
}

/// Makes a link; one of ours that leads elsewhere is made anew.
///
/// # Errors
/// What the kernel says, or that somebody else made the one that is there.
pub fn link(path: &Path, target: &Path) -> Result<(), ApplyError> {
    let link = || {
        let (dir, name) = Dir::parent(path)?;
        if dir.link_target(&name).is_ok_and(|found| found != target) {
            files::remove(path)?;
        }
        dir.link(&name, target)
    };
    link().map_err(|e| ApplyError::new("link", path, e))
}

/// Makes a directory of links; links that are right stay, wrong ones are made anew.
///
/// # Errors
/// What the kernel says, or that others can change the directory.
pub fn link_all(dir: &Path, links: &[(String, PathBuf)]) -> Result<(), ApplyError> {
    create_private(dir, 0o755)?;
    let open = Dir::open(dir).map_err(|e| ApplyError::new("open", dir, e))?;
    for (name, target) in links {
        let linked = open.link(name.as_ref(), target);
        linked.map_err(|e| ApplyError::new("link", &dir.join(name), e))?;
    }
    Ok(())
}

/// Writes a file that everybody may read anew in one step: readers see the old or the new
/// content, never a part.
///
/// # Errors
/// What the kernel says.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), ApplyError> {
    files::replace(path, content, 0o644).map_err(|e| ApplyError::new("write", path, e))
}
