//! A directory, held by its descriptor: what its path means later does not matter.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, FileType, Gid, Mode, OFlags, Stat, StatVfsMountFlags, Uid};
use rustix::io::Errno;

use super::trust::{Foreign, Kind, Trust};
use super::walk::{self, CAREFUL};

/// More entries than that are not listed: no directory that is looked through has so many.
pub(super) const MOST_NAMES: usize = 100_000;

/// How the name of a file that is being written begins; what is found with it was left by a
/// process that was killed.
pub const TEMPORARY: &[u8] = b".dind-init.";

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

    /// Opens a file of our own for reading and writing, and makes it where it is missing. One
    /// that belongs to somebody else, or has another name as well, is refused.
    ///
    /// # Errors
    /// What the kernel says, or [`Foreign`].
    pub fn open_own(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<File> {
        let name = name.as_ref();
        let path = self.path.join(name);
        let flags = OFlags::RDWR | OFlags::CREATE | CAREFUL;
        let opened = rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(mode));
        let file = match opened {
            Ok(fd) => walk::regular(fd.into(), &path)?,
            Err(error) => match self.kind(name) {
                Ok(found) if found != Kind::File => {
                    return Err(Foreign::kind(&path, found, Kind::File));
                }
                _ => return Err(error.into()),
            },
        };
        let stat = rustix::fs::fstat(&file)?;
        if !Trust::current().includes(stat.st_uid) {
            let uid = stat.st_uid;
            return Err(Foreign::Owner { path, uid }.into());
        }
        if stat.st_nlink > 1 {
            let links = links(&stat);
            return Err(Foreign::Names { path, links }.into());
        }
        Ok(file)
    }

    /// Writes a file anew in one step, with exactly this mode.
    ///
    /// # Errors
    /// What the kernel says: `EISDIR` where a directory is in the way.
    pub fn replace(&self, name: &OsStr, content: &[u8], mode: u32) -> io::Result<()> {
        let temporary = self.prepare(name, content, mode)?;
        self.rename(&temporary, name).inspect_err(|_| {
            let _ = self.unlink(&temporary);
        })
    }

    /// Writes into a regular file that is there, in place: one that is mounted by itself cannot be
    /// replaced. It may be anybody's, but has no other name; it is emptied only when that is clear.
    ///
    /// # Errors
    /// What the kernel says: `ENOENT` where there is none; [`Foreign`].
    pub fn overwrite(&self, name: &OsStr, content: &[u8]) -> io::Result<()> {
        let mut file = self.open_file(name, OFlags::WRONLY)?;
        let stat = rustix::fs::fstat(&file)?;
        if stat.st_nlink > 1 {
            let (path, links) = (self.path.join(name), links(&stat));
            return Err(Foreign::Names { path, links }.into());
        }
        file.set_len(0)?;
        file.write_all(content)
    }

    /// Writes a file under a random name beside its own, which is returned: what can fail for
    /// want of space fails before anything is replaced.
    ///
    /// # Errors
    /// What the kernel says; nothing is left then.
    pub fn prepare(&self, name: &OsStr, content: &[u8], mode: u32) -> io::Result<OsString> {
        let temporary = temporary(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | CAREFUL;
        let private = Mode::from_raw_mode(0o600);
        let mut file = File::from(rustix::fs::openat(&self.fd, &temporary, flags, private)?);
        let written = file.write_all(content).and_then(|()| {
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(io::Error::from)
        });
        match written {
            Ok(()) => Ok(temporary),
            Err(error) => {
                let _ = self.unlink(&temporary);
                Err(error)
            }
        }
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

    /// Makes a symbolic link; one that is there with this target is left alone, and anything else
    /// that is no directory is replaced in one step.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn link(&self, name: &OsStr, target: &Path) -> io::Result<()> {
        let found = self.link_target(name);
        if found.is_ok_and(|found| found.as_os_str() == target.as_os_str()) {
            return Ok(());
        }
        let temporary = temporary(name)?;
        rustix::fs::symlinkat(target, &self.fd, &temporary)?;
        self.rename(&temporary, name).inspect_err(|_| {
            let _ = self.unlink(&temporary);
        })
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

    /// Makes a character device with exactly this mode; what is there already is left alone.
    ///
    /// # Errors
    /// What `mknod(2)` says.
    pub fn make_device(&self, name: &OsStr, mode: u32, number: rustix::fs::Dev) -> io::Result<()> {
        let mode = Mode::from_raw_mode(mode);
        // Single-threaded, so that nothing else is made meanwhile.
        let umask = rustix::process::umask(Mode::empty());
        let made = rustix::fs::mknodat(&self.fd, name, FileType::CharacterDevice, mode, number);
        rustix::process::umask(umask);
        match made {
            Err(Errno::EXIST) => Ok(()),
            other => Ok(other?),
        }
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

/// A name that nobody can have prepared something for.
fn temporary(name: &OsStr) -> io::Result<OsString> {
    let mut text = OsString::from(format!(".dind-init.{:016x}.", unforeseen()?));
    text.push(name);
    Ok(text)
}

/// A number that nobody can have foreseen: for a name for which nothing is prepared, for the id of
/// a question that nobody else answers.
///
/// # Errors
/// What `getrandom(2)` says.
pub fn unforeseen() -> io::Result<u64> {
    let mut bytes = [0; 8];
    // Never waits for entropy: a name need not be a secret for ever, only unknown beforehand.
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::INSECURE)
        .or_else(|_| rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK))?;
    Ok(u64::from_ne_bytes(bytes))
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

#[expect(
    clippy::allow_attributes,
    reason = "the type differs between architectures"
)]
#[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
fn links(stat: &Stat) -> u64 {
    stat.st_nlink as u64
}
