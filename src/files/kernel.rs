//! `/proc`, `/sys` and cgroups: the kernel makes what is there, and nobody can put a link or a
//! pipe into it. What a process says of itself in them is a stranger's text all the same.
#![expect(
    clippy::disallowed_methods,
    reason = "the one place for files of the kernel"
)]

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

/// No file of the kernel that is read is larger; a mount table of 30,000 lines is half of it.
const MOST: u64 = 8 << 20;

/// Reads a file, at most 8 MiB of it.
///
/// # Errors
/// What the kernel says.
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a text; bytes that are no UTF-8 (names of processes and cgroups) become U+FFFD.
///
/// # Errors
/// What the kernel says.
pub fn text(path: impl AsRef<Path>) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&read(path)?).into_owned())
}

/// Writes a setting in one call, as the kernel wants it.
///
/// # Errors
/// What the kernel says.
pub fn write(path: impl AsRef<Path>, text: impl AsRef<[u8]>) -> io::Result<()> {
    std::fs::write(path, text)
}

/// Opens a setting for writing later, perhaps in another process.
///
/// # Errors
/// What the kernel says.
pub fn open_for_writing(path: impl AsRef<Path>) -> io::Result<File> {
    File::options().write(true).open(path)
}

/// The paths in a directory.
///
/// # Errors
/// What the kernel says.
pub fn entries(path: impl AsRef<Path>) -> io::Result<Vec<PathBuf>> {
    std::fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect()
}

/// Whether there is such a file or directory.
#[must_use]
pub fn exists(path: impl AsRef<Path>) -> bool {
    path.as_ref().exists()
}

/// Where this program is; nothing where that path leads to another file, or to none.
#[must_use]
pub fn own_program() -> Option<PathBuf> {
    let own = "/proc/self/exe";
    let path = std::fs::read_link(own).ok()?;
    super::is_same(&path, Path::new(own)).then_some(path)
}

/// Whether this process may write a file or a directory.
#[must_use]
pub fn is_writable(path: impl AsRef<Path>) -> bool {
    rustix::fs::access(path.as_ref(), rustix::fs::Access::WRITE_OK).is_ok()
}

/// What the kernel says of a descriptor of ours.
pub(super) fn fd_info(fd: BorrowedFd<'_>) -> io::Result<String> {
    text(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))
}
