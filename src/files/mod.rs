//! The one room for files in places that others can write: shared volumes, `/run` of a pod, a
//! data root from elsewhere. Nothing else in the program opens, makes, renames or removes a file
//! by its path (`clippy.toml` keeps it so).
//!
//! - A path is resolved once, component by component, into a descriptor of its directory. A
//!   symbolic link is followed only where root (or the user that runs this) made it in a directory
//!   that nobody else can write, such as `/var/run -> /run` ([`trust`], `walk`).
//! - Reads are of regular files only, never wait, and have a largest size ([`read`]).
//! - A file is written under a random name that did not exist, and renamed in the same directory
//!   ([`replace`]).
//! - What is removed is looked at first: its owner, its file system, its mount ([`remove`]).
//! - A socket gets its owner and mode through descriptors, before anybody can connect ([`socket`]).
//! - `/proc`, `/sys` and cgroups are the kernel's: nobody else can put anything there ([`kernel`]).

#![expect(clippy::disallowed_methods, reason = "the one room for files")]

mod dir;
pub mod kernel;
pub mod lock;
mod program;
mod remove;
pub mod socket;
pub mod trust;
mod walk;
mod write;

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};

pub use dir::{Dir, read_at_most};
pub use program::{find_program, is_executable};
pub use remove::{remove, remove_tree};
pub use trust::{Foreign, Kind};
pub use walk::real;
pub use write::{TEMPORARY, unforeseen};

/// No file of `/etc`, no marker, no credential and no status that the program reads is larger.
pub const MOST: u64 = 1 << 20;

/// What `stat(2)` says of a path, without following a link at its end.
///
/// # Errors
/// What the kernel says, or [`Foreign`] for a link on the way.
pub fn stat(path: &Path) -> io::Result<Kind> {
    let (dir, name) = Dir::parent(path)?;
    dir.kind(&name)
}

/// What a path leads to: as [`stat`], but a trusted link at its end is followed.
///
/// # Errors
/// What the kernel says, or [`Foreign`] for a link of somebody else's.
pub fn target(path: &Path) -> io::Result<Kind> {
    let (dir, name) = walk::target(path)?;
    dir.kind(&name)
}

/// Whether a path leads to something, through trusted links only. `false` as well where that
/// cannot be told: use [`target`] where the difference matters.
#[must_use]
pub fn exists(path: &Path) -> bool {
    target(path).is_ok()
}

/// Whether a path leads to a directory; `false` as for [`exists`].
#[must_use]
pub fn is_directory(path: &Path) -> bool {
    target(path).is_ok_and(|kind| kind == Kind::Directory)
}

/// Whether a path leads to a regular file; `false` as for [`exists`].
#[must_use]
pub fn is_file(path: &Path) -> bool {
    target(path).is_ok_and(|kind| kind == Kind::File)
}

/// Whether two paths lead to the same file, through any link.
#[must_use]
pub fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| rustix::fs::stat(path).map(|stat| (stat.st_dev, stat.st_ino));
    id(one).is_ok_and(|one| id(other) == Ok(one))
}

/// Opens a regular file for reading, without ever waiting for anybody.
///
/// # Errors
/// What the kernel says; [`Foreign`] for what is no regular file, or a link of somebody else's.
pub fn open(path: &Path) -> io::Result<File> {
    walk::open(path, OFlags::RDONLY)
}

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// As [`open`], and [`Foreign::TooLarge`].
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_at_most(open(path)?, path, most)
}

/// Reads a text of at most [`MOST`] bytes; bytes that are no UTF-8 become U+FFFD.
///
/// # Errors
/// As [`read`].
pub fn text(path: &Path) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&read(path, MOST)?).into_owned())
}

/// The paths in a directory, a hundred thousand at most.
///
/// # Errors
/// What the kernel says, or [`Foreign`].
pub fn entries(path: &Path) -> io::Result<Vec<PathBuf>> {
    let names = Dir::open(path)?.names()?;
    Ok(names.iter().map(|name| path.join(name)).collect())
}

/// Whether a directory has no entries.
///
/// # Errors
/// As [`entries`].
pub fn is_empty(path: &Path) -> io::Result<bool> {
    Dir::open(path)?.is_empty()
}

/// Makes a directory and its parents; one that exists keeps its mode.
///
/// # Errors
/// What `mkdir(2)` says, or [`Foreign`].
pub fn create_directory(path: &Path, mode: u32) -> io::Result<()> {
    Dir::make(path, mode).map(drop)
}

/// Makes a directory, with exactly this mode, that only root or the user that runs this can change
/// or replace; its parents are made as for [`create_directory`].
///
/// # Errors
/// What the kernel says; [`Foreign::Open`] where others can write to it or to a directory on the
/// way.
pub fn create_private(path: &Path, mode: u32) -> io::Result<()> {
    let (above, name) = match path.parent().filter(|above| !above.as_os_str().is_empty()) {
        Some(above) => {
            Dir::make(above, 0o755)?;
            Dir::parent(path)?
        }
        None => Dir::parent(path)?,
    };
    let dir = above.make_sub(&name, mode)?;
    if dir.is_closed() {
        return Ok(());
    }
    let path = path.to_owned();
    Err(Foreign::Open { path }.into())
}

/// Whether a directory that is made at a path now would be ours alone, and stay so.
#[must_use]
pub fn can_be_private(path: &Path) -> bool {
    match Dir::open(path) {
        Ok(dir) => dir.is_closed(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = path
                .ancestors()
                .skip(1)
                .find_map(|above| match Dir::open(above) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                    other => Some(other),
                });
            above.is_some_and(|dir| {
                dir.is_ok_and(|dir| dir.keeps_ours() && dir.check_writable().is_ok())
            })
        }
        Err(_) => false,
    }
}

/// Whether this process can write to a directory, or to the first one above it that exists.
#[must_use]
pub fn can_be_written(path: &Path) -> bool {
    let existing = path.ancestors().find(|path| exists(path));
    existing.is_some_and(|path| Dir::open(path).is_ok_and(|dir| dir.check_writable().is_ok()))
}

/// Where a symbolic link leads, as it is written in it, whoever made it.
///
/// # Errors
/// What `readlink(2)` says, or [`Foreign`] for a link on the way.
pub fn link_target(path: &Path) -> io::Result<PathBuf> {
    let (dir, name) = Dir::parent(path)?;
    dir.link_target(&name)
}

/// Makes a character device with exactly this mode; what is there already is left alone.
///
/// # Errors
/// What `mknod(2)` says.
pub fn make_device(path: &Path, mode: u32, number: rustix::fs::Dev) -> io::Result<()> {
    if let Some(above) = path.parent() {
        create_directory(above, 0o755)?;
    }
    let (dir, name) = Dir::parent(path)?;
    dir.make_device(&name, mode, number)
}

/// Lets a group use a device as its owner does, where not everybody may.
///
/// # Errors
/// What the kernel says; [`Foreign::Kind`] for anything but a device.
pub fn open_device_to_group(path: &Path, gid: u32) -> io::Result<()> {
    let (dir, name) = Dir::parent(path)?;
    let file = dir.look(&name, Kind::Device)?;
    let mode = rustix::fs::fstat(&file)?.st_mode;
    if mode & 0o006 == 0o006 {
        return Ok(());
    }
    let group = Some(rustix::fs::Gid::from_raw(gid));
    rustix::fs::chownat(&file, "", None, group, AtFlags::EMPTY_PATH)?;
    change_mode(&file, (mode & 0o7777) | 0o060)
}

/// Changes the mode of what a descriptor was opened for without opening it (`O_PATH`), which
/// `fchmod(2)` does not take; `fchmodat2(2)` is of Linux 6.6.
fn change_mode(file: &OwnedFd, mode: u32) -> io::Result<()> {
    let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::chmod(descriptor, Mode::from_raw_mode(mode))?)
}

/// Writes a file anew in one step: readers see the old or the new content, never a part, and what
/// was at the path before (a link, a pipe, another name of somebody's file) is left as it is.
///
/// # Errors
/// What the kernel says, or [`Foreign`].
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let (dir, name) = Dir::parent(path)?;
    dir.replace(&name, content, mode)
}

/// Writes into a file that is there, for whoever has mounted it alone: see [`Dir::overwrite`].
///
/// # Errors
/// As [`Dir::overwrite`].
pub fn overwrite(path: &Path, content: &[u8]) -> io::Result<()> {
    let (dir, name) = Dir::parent(path)?;
    dir.overwrite(&name, content)
}

#[cfg(test)]
mod tests;
