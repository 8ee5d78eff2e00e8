//! A directory, held by its descriptor: what its path means later does not matter.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, FileType, Gid, Mode, OFlags, Stat, StatVfsMountFlags, Uid};
use rustix::io::Errno;

use super::trust::{Foreign, Kind, Trust};
use super::walk::{self, CAREFUL};

/// More entries than that are not listed: no directory that is looked through has so many.
pub(super) const MOST_NAMES: usize = 100_000;

#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
    steady: bool,
    closed: bool,
}

impl Dir {
    pub(super) fn new(fd: OwnedFd, path: PathBuf, steady: bool, closed: bool) -> Self {
        Self {
            fd,
            path,
            steady,
            closed,
        }
    }

    /// Opens a directory.
    ///
    /// # Errors
    /// What the kernel says, or [`Foreign`] for a link of somebody else's, or no directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        walk::directory(path, None)
    }

    /// Opens a directory, and makes it and its parents where they are missing; the umask counts.
    ///
    /// # Errors
    /// As [`Dir::open`], and what `mkdir(2)` says.
    pub fn make(path: &Path, mode: u32) -> io::Result<Self> {
        walk::directory(path, Some(mode))
    }

    /// The directory that a path is in, and the path's last name.
    ///
    /// # Errors
    /// As [`Dir::open`].
    pub fn parent(path: &Path) -> io::Result<(Self, OsString)> {
        walk::parent(path)
    }

    /// Opens a directory in this one; no link is followed.
    ///
    /// # Errors
    /// As [`Dir::open`].
    pub fn sub(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let (name, path) = (name.as_ref(), self.path.join(name.as_ref()));
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
        let (own, stat) = (rustix::fs::fstat(&self.fd)?, rustix::fs::fstat(&fd)?);
        match Kind::of(&stat) {
            Kind::Directory => {}
            Kind::Link => {
                let uid = stat.st_uid;
                return Err(Foreign::Link { path, uid }.into());
            }
            found => return Err(Foreign::kind(&path, found, Kind::Directory)),
        }
        let trust = Trust::current();
        let steady = self.steady && trust.holds(&own, &stat);
        let closed = steady && trust.is_closed(&stat);
        Ok(Self::new(fd, path, steady, closed))
    }

    /// As [`Dir::sub`], and makes the directory where it is missing, with exactly this mode.
    ///
    /// # Errors
    /// As [`Dir::sub`], and what `mkdir(2)` says.
    pub fn make_sub(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<Self> {
        let name = name.as_ref();
        match rustix::fs::mkdirat(&self.fd, name, Mode::RWXU) {
            Ok(()) => {
                let dir = self.sub(name)?;
                rustix::fs::fchmod(dir.reopen()?, Mode::from_raw_mode(mode))?;
                Ok(dir)
            }
            Err(Errno::EXIST) => self.sub(name),
            // On a read-only file system the answer is the same whether it is there or not.
            Err(error) => self.sub(name).map_err(|_| error.into()),
        }
    }

    /// The path under which it was found.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nobody else could have led us elsewhere on the way here, nor can later.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        self.steady
    }

    /// Whether, besides, nobody else can make, rename or remove anything in it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether nobody else can rename or remove what this process makes in it: it is closed, or
    /// sticky, as a tmpfs of docker's `--tmpfs /run` is.
    #[must_use]
    pub fn keeps_ours(&self) -> bool {
        let stat = self.stat();
        self.closed || (self.steady && stat.is_ok_and(|stat| Trust::current().is_sticky(&stat)))
    }

    /// A descriptor that can be locked, synchronised and changed, as this one cannot (`O_PATH`).
    ///
    /// # Errors
    /// What `open(2)` says: `EACCES` where we may enter but not read.
    pub fn reopen(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.fd, ".", flags, Mode::empty())?)
    }

    /// What `stat(2)` says of the directory itself.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.fd)?)
    }

    /// What `lstat(2)` says of an entry.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn stat_of(&self, name: &OsStr) -> io::Result<Stat> {
        Ok(rustix::fs::statat(
            &self.fd,
            name,
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }

    /// What an entry is.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn kind(&self, name: &OsStr) -> io::Result<Kind> {
        Ok(Kind::of(&self.stat_of(name)?))
    }

    /// The names in it, at most `MOST_NAMES`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let entries = self.entries()?.take(MOST_NAMES);
        entries.map(|entry| entry.map(|(name, _)| name)).collect()
    }

    /// Whether it has no entries.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.entries()?.next().is_none())
    }

    /// Names and kinds, as far as the file system tells them.
    pub(super) fn entries(
        &self,
    ) -> io::Result<impl Iterator<Item = io::Result<(OsString, FileType)>> + use<>> {
        let dir = rustix::fs::Dir::new(self.reopen()?)?;
        Ok(dir.filter_map(|entry| match entry {
            Ok(entry) => {
                let name = entry.file_name().to_bytes();
                let special = name == b"." || name == b"..";
                let found = (OsStr::from_bytes(name).to_owned(), entry.file_type());
                (!special).then_some(Ok(found))
            }
            Err(error) => Some(Err(error.into())),
        }))
    }

    /// A descriptor of what an entry is (`O_PATH`), if it is of this kind.
    pub(super) fn look(&self, name: &OsStr, wanted: Kind) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
        match Kind::of(&rustix::fs::fstat(&file)?) {
            found if found == wanted => Ok(file),
            found => Err(Foreign::kind(&self.path.join(name), found, wanted)),
        }
    }

    /// Opens a regular file in it, without waiting and without following a link.
    ///
    /// # Errors
    /// What the kernel says; [`Foreign`] for anything but a regular file.
    pub fn open_file(&self, name: &OsStr, flags: OFlags) -> io::Result<File> {
        let path = self.path.join(name);
        match rustix::fs::openat(&self.fd, name, flags | CAREFUL, Mode::empty()) {
            Ok(fd) => walk::regular(fd.into(), &path),
            // Sockets and pipes without a reader answer so (`open(2)`).
            Err(error @ (Errno::NXIO | Errno::LOOP | Errno::ISDIR)) => match self.kind(name) {
                Ok(found) if found != Kind::File => Err(Foreign::kind(&path, found, Kind::File)),
                _ => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a regular file of at most `most` bytes.
    ///
    /// # Errors
    /// As [`Dir::open_file`], and [`Foreign::TooLarge`].
    pub fn read(&self, name: impl AsRef<OsStr>, most: u64) -> io::Result<Vec<u8>> {
        let name = name.as_ref();
        let file = self.open_file(name, OFlags::RDONLY)?;
        read_at_most(file, &self.path.join(name), most)
    }

    /// Renames within the directory.
    ///
    /// # Errors
    /// What `rename(2)` says.
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Where a symbolic link in it leads, as it is written in it.
    ///
    /// # Errors
    /// What `readlink(2)` says: `EINVAL` for anything else.
    pub fn link_target(&self, name: &OsStr) -> io::Result<PathBuf> {
        let target = rustix::fs::readlinkat(&self.fd, name, Vec::new())?;
        Ok(OsStr::from_bytes(target.as_bytes()).into())
    }

    /// Removes a name that is no directory, whoever put it there. [`super::remove`] looks first.
    ///
    /// # Errors
    /// What `unlink(2)` says.
    pub fn unlink(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Removes an empty directory in it.
    ///
    /// # Errors
    /// What `rmdir(2)` says.
    pub fn remove_empty(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
    }

    /// Whether its file system is read-only here.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        let flags = rustix::fs::fstatvfs(&self.fd).map(|fs| fs.f_flag);
        flags.is_ok_and(|flags| flags.contains(StatVfsMountFlags::RDONLY))
    }

    /// Whether this process may make entries in it.
    ///
    /// # Errors
    /// Why not: `EACCES`, `EROFS`.
    pub fn check_writable(&self) -> io::Result<()> {
        let access = Access::WRITE_OK | Access::EXEC_OK;
        // Not by the effective ids: the call for that is of Linux 5.8, and ours are the same.
        Ok(rustix::fs::accessat(
            &self.fd,
            ".",
            access,
            AtFlags::empty(),
        )?)
    }

    /// Gives the directory itself to a user.
    ///
    /// # Errors
    /// What `chown(2)` says.
    pub fn give(&self, uid: u32, gid: u32) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        let flags = AtFlags::EMPTY_PATH;
        Ok(rustix::fs::chownat(
            &self.fd,
            "",
            Some(uid),
            Some(gid),
            flags,
        )?)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Reads the rest of an open file of at most `most` bytes.
///
/// # Errors
/// What the kernel says, and [`Foreign::TooLarge`] with this path.
pub fn read_at_most(file: File, path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let path = path.to_owned();
        return Err(Foreign::TooLarge { path, most }.into());
    }
    Ok(bytes)
}
