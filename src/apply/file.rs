//! Files and directories.
#![expect(clippy::disallowed_methods, reason = "apply is the writer")]

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode};
use rustix::io::Errno;

use super::ApplyError;
use crate::host::devices::Device;

/// Removes a file or a socket; one that is gone already is no error.
///
/// # Errors
/// What `unlink(2)` says.
pub fn remove(path: &Path) -> Result<(), ApplyError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|e| ApplyError::new("remove", path, e)),
    }
}

/// Removes a directory with its content, but nothing on another file system: a mount below it is
/// somebody's data.
///
/// # Errors
/// What the kernel says; `ENOTEMPTY` when a mount was left in place.
pub fn remove_tree(path: &Path) -> Result<(), ApplyError> {
    let device = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|e| ApplyError::new("stat", path, e))?.dev(),
    };
    remove_below(path, device)
}

fn remove_below(path: &Path, device: u64) -> Result<(), ApplyError> {
    let error = |operation: &str, e| ApplyError::new(operation, path, e);
    let meta = fs::symlink_metadata(path).map_err(|e| error("stat", e))?;
    if !meta.is_dir() {
        return remove(path);
    }
    if meta.dev() != device {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(|e| error("read", e))? {
        remove_below(&entry.map_err(|e| error("read", e))?.path(), device)?;
    }
    fs::remove_dir(path).map_err(|e| error("remove", e))
}

/// Makes a directory and its parents; one that exists keeps its mode.
///
/// # Errors
/// What `mkdir(2)` says.
pub fn create_directory(path: &Path, mode: u32) -> Result<(), ApplyError> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path);
    made.map_err(|e| ApplyError::new("mkdir", path, e))
}

/// Makes a character device; one that is there already is left alone.
///
/// # Errors
/// What `mknod(2)` says.
pub fn make_device(device: &Device) -> Result<(), ApplyError> {
    let path = Path::new(&device.path);
    if let Some(parent) = path.parent() {
        create_directory(parent, 0o755)?;
    }
    let mode = Mode::from_raw_mode(device.mode);
    let number = rustix::fs::makedev(device.major, device.minor);
    match rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, mode, number) {
        Err(Errno::EXIST) => return Ok(()),
        other => other.map_err(|e| ApplyError::new("mknod", path, e.into()))?,
    }
    // mknod(2) obeys the umask.
    rustix::fs::chmod(path, mode).map_err(|e| ApplyError::new("chmod", path, e.into()))
}

/// Makes a directory of links; links that are right stay, wrong ones are made anew.
///
/// # Errors
/// What the kernel says.
pub fn link_all(dir: &Path, links: &[(String, PathBuf)]) -> Result<(), ApplyError> {
    create_directory(dir, 0o755)?;
    for (name, target) in links {
        let path = dir.join(name);
        if fs::read_link(&path).is_ok_and(|found| found == *target) {
            continue;
        }
        remove(&path)?;
        std::os::unix::fs::symlink(target, &path).map_err(|e| ApplyError::new("link", &path, e))?;
    }
    Ok(())
}

/// Writes a file anew in one step: readers see the old or the new content, never a part.
///
/// # Errors
/// What the kernel says.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), ApplyError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    fs::write(&temporary, content).map_err(|e| ApplyError::new("write", &temporary, e))?;
    fs::rename(&temporary, path).map_err(|e| ApplyError::new("rename to", path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removing_twice_is_no_error_and_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, kept) = (dir.path().join("tree"), dir.path().join("kept"));
        create_directory(&tree.join("a/b"), 0o755).unwrap();
        fs::write(&kept, "x").unwrap();
        std::os::unix::fs::symlink(dir.path(), tree.join("a/link")).unwrap();
        remove_tree(&tree).unwrap();
        remove_tree(&tree).unwrap();
        remove(&tree).unwrap();
        assert!(kept.exists() && !tree.exists());
    }

    #[test]
    fn links_are_made_once_and_mended() {
        let dir = tempfile::tempdir().unwrap();
        let farm = dir.path().join("run/farm");
        let link = |target: &str| [("iptables".to_owned(), PathBuf::from(target))];
        link_all(&farm, &link("/old")).unwrap();
        link_all(&farm, &link("/new")).unwrap();
        link_all(&farm, &link("/new")).unwrap();
        assert_eq!(
            fs::read_link(farm.join("iptables")).unwrap(),
            Path::new("/new")
        );
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
