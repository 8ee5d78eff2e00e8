//! Unix sockets in directories: bound with owner and mode through descriptors, looked at without
//! waiting, removed only while they are ours.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Stat};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::dir::Dir;
use super::trust::{Foreign, Kind, Trust};

/// Whether and by whom a socket is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// Nobody has it: its owner is gone.
    No,
    /// Somebody has bound it and lives, or that could not be told (no permission).
    Yes,
}

/// Asks a socket whether somebody listens, without waiting, and without leaving a connection in
/// somebody's log.
#[must_use]
pub fn served(path: &Path) -> Served {
    match crate::sys::net::is_bound(path) {
        Ok(false) => Served::No,
        Ok(true) | Err(_) => Served::Yes,
    }
}

/// The name of a socket that this process bound, and the proof that what is there is still it.
#[derive(Debug)]
pub struct OwnName {
    dir: Dir,
    name: OsString,
    device: u64,
    inode: u64,
}

impl OwnName {
    /// Removes the name, unless something else is there by now: another daemon may have taken it
    /// over.
    ///
    /// # Errors
    /// What `unlink(2)` says.
    pub fn remove(&self) -> io::Result<()> {
        match self.dir.stat_of(&self.name) {
            Ok(stat) if is(&stat, self.device, self.inode) => self.dir.unlink(&self.name),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.path().join(&self.name)
    }
}

/// Binds a unix socket that does not listen yet. It has this mode and group before anybody can
/// connect, however open its directory is: it is made with mode 0600, and changed by descriptor.
///
/// # Errors
/// What the kernel says; [`Foreign::Moved`] where somebody put something else in its place at
/// that very moment.
pub fn bind(
    path: &Path,
    kind: SocketType,
    mode: u32,
    gid: Option<u32>,
) -> io::Result<(OwnedFd, OwnName)> {
    let (dir, name) = Dir::parent(path)?;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    // The socket keeps the name that it is bound by, and dockerd's log shows it: the path itself
    // where nobody can exchange a directory on the way, else the directory that we hold.
    let address = if dir.is_steady() {
        path.to_owned()
    } else {
        PathBuf::from(format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd())).join(&name)
    };
    let address = SocketAddrUnix::new(&address)?;
    // Both count for the file's mode: the socket's own (`unix(7)`; not in every sandbox), which a
    // default ACL of the directory does not change, and the umask. Single-threaded, so that nothing
    // else is made meanwhile.
    let _ = rustix::fs::fchmod(&socket, Mode::from_raw_mode(0o600));
    let umask = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = rustix::net::bind(&socket, &address);
    rustix::process::umask(umask);
    bound?;
    let file = file_of(&socket, &dir, &name)?;
    let stat = rustix::fs::fstat(&file)?;
    let own = OwnName {
        dir,
        name,
        device: stat.st_dev,
        inode: stat.st_ino,
    };
    match finish(&file, &stat, mode, gid) {
        Ok(()) => Ok((socket, own)),
        Err(error) => {
            let _ = own.remove();
            Err(error)
        }
    }
}

/// Gives a socket that is there to a group, by its descriptor.
///
/// # Errors
/// What the kernel says; [`Foreign::Kind`] for anything but a socket.
pub fn give_to_group(path: &Path, gid: u32) -> io::Result<()> {
    let (dir, name) = Dir::parent(path)?;
    let file = dir.look(&name, Kind::Socket)?;
    let group = Some(Gid::from_raw(gid));
    Ok(rustix::fs::chownat(
        &file,
        "",
        None,
        group,
        AtFlags::EMPTY_PATH,
    )?)
}

/// Group and mode, by the descriptor of the file itself.
fn finish(file: &OwnedFd, stat: &Stat, mode: u32, gid: Option<u32>) -> io::Result<()> {
    if let Some(gid) = gid.filter(|gid| *gid != stat.st_gid) {
        let group = Some(Gid::from_raw(gid));
        rustix::fs::chownat(file, "", None, group, AtFlags::EMPTY_PATH)?;
    }
    // fchmod(2) does not take such a descriptor, and fchmodat2(2) is of Linux 6.6.
    super::change_mode(file, mode)
}

/// A descriptor of the file that `bind(2)` made.
fn file_of(socket: &OwnedFd, dir: &Dir, name: &OsString) -> io::Result<OwnedFd> {
    // From the socket itself, which cannot be mistaken. It takes Linux 4.20 and CAP_NET_ADMIN.
    if let Ok(file) = crate::sys::net::file_of_socket(socket) {
        return Ok(file);
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    let fresh = Kind::of(&stat) == Kind::Socket
        && Trust::current().includes(stat.st_uid)
        && stat.st_nlink == 1
        && stat.st_mode & 0o7777 == 0o600;
    if fresh {
        return Ok(file);
    }
    let path = dir.path().join(name);
    Err(Foreign::Moved { path }.into())
}

#[expect(
    clippy::allow_attributes,
    reason = "the types differ between architectures"
)]
#[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
fn is(stat: &Stat, device: u64, inode: u64) -> bool {
    (stat.st_dev as u64, stat.st_ino as u64) == (device, inode)
}
