//! Removal by descriptor: what is removed is looked at first, and a mount is never entered.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::dir::Dir;
use super::kernel;
use super::trust::{Foreign, Kind, Trust};

/// Deeper than any state directory of a container; each level holds a descriptor.
const DEEPEST: u32 = 64;

/// Removes a file, a link or a socket of root's or our own; one that is gone is no error.
///
/// # Errors
/// What `unlink(2)` says; [`Foreign`] for what somebody else put into a place that is open to him.
pub fn remove(path: &Path) -> io::Result<()> {
    match Dir::parent(path) {
        Ok((dir, name)) => remove_entry(&dir, &name),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a directory of root's or our own with its content, but nothing on another mount and
/// nothing behind a link: what is mounted below it is somebody's data.
///
/// # Errors
/// What the kernel says, `EBUSY` or `ENOTEMPTY` when a mount was left in place; [`Foreign`].
pub fn remove_tree(path: &Path) -> io::Result<()> {
    match Dir::parent(path) {
        Ok((dir, name)) => remove_below(&dir, &name, 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whose an entry is: it may go when root or we own it, or when only we could put it there.
fn check_owner(dir: &Dir, name: &OsStr, stat: &Stat) -> io::Result<()> {
    let trust = Trust::current();
    if trust.includes(stat.st_uid) || trust.is_closed(&dir.stat()?) {
        return Ok(());
    }
    let (path, uid) = (dir.path().join(name), stat.st_uid);
    Err(Foreign::Owner { path, uid }.into())
}

fn remove_entry(dir: &Dir, name: &OsStr) -> io::Result<()> {
    let stat = match dir.stat_of(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    check_owner(dir, name, &stat)?;
    match dir.unlink(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn remove_below(dir: &Dir, name: &OsStr, depth: u32) -> io::Result<()> {
    let stat = match dir.stat_of(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if Kind::of(&stat) != Kind::Directory {
        return remove_entry(dir, name);
    }
    check_owner(dir, name, &stat)?;
    if depth >= DEEPEST {
        let path = dir.path().join(name);
        return Err(Foreign::Depth { path }.into());
    }
    let below = dir.sub(name)?;
    // The same file system may be mounted there once more, which its device does not tell.
    if stat.st_dev != dir.stat()?.st_dev || mount_id(&below)? != mount_id(dir)? {
        return Err(Errno::BUSY.into());
    }
    let mut left = None;
    for entry in below.entries()? {
        let (name, kind) = entry?;
        let removed = match kind {
            FileType::Directory | FileType::Unknown => remove_below(&below, &name, depth + 1),
            _ => remove_entry(&below, &name),
        };
        // The rest goes, whatever cannot.
        if let Err(error) = removed {
            left.get_or_insert(error);
        }
    }
    match left {
        Some(error) => Err(error),
        None => dir.remove_empty(name),
    }
}

/// Which mount a directory is on (`proc_pid_fdinfo(5)`, since Linux 3.15).
fn mount_id(dir: &Dir) -> io::Result<u64> {
    let text = kernel::fd_info(dir.as_fd())?;
    let line = text.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    line.and_then(|id| id.trim().parse().ok())
        .ok_or(Errno::NOTSUP)
        .map_err(Into::into)
}
