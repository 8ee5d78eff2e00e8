//! From a path to a descriptor of its directory, one component after the other.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::dir::Dir;
use super::trust::{Foreign, Kind, Trust};

/// As many as the kernel follows (`path_resolution(7)`).
const MOST_LINKS: u32 = 40;

/// Only a descriptor: nothing is read, no device and no pipe is woken.
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Never waits (for the other end of a pipe, a lease, a terminal), never follows a link.
pub(super) const CAREFUL: OFlags = OFlags::NONBLOCK
    .union(OFlags::NOCTTY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// What happens at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Its directory and its last name are wanted, whatever the name leads to.
    Name,
    /// The same, but a trusted link there is followed.
    Target,
    /// The end itself is a directory; it is made with this mode where it is missing.
    Directory(Option<u32>),
}

/// The directory of a path, and its last name.
pub(super) fn parent(path: &Path) -> io::Result<(Dir, OsString)> {
    resolve(path, End::Name)
}

/// The same for what a path leads to at last.
pub(super) fn target(path: &Path) -> io::Result<(Dir, OsString)> {
    resolve(path, End::Target)
}

/// A directory that exists, or is made with its parents.
pub(super) fn directory(path: &Path, create: Option<u32>) -> io::Result<Dir> {
    resolve(path, End::Directory(create)).map(|(dir, _)| dir)
}

/// Where a path really is, through trusted links only.
///
/// # Errors
/// What the kernel says, or [`Foreign`].
pub fn real(path: &Path) -> io::Result<PathBuf> {
    let (dir, name) = target(path)?;
    dir.kind(&name)?;
    Ok(match name.as_encoded_bytes() {
        b"." => dir.path().to_owned(),
        _ => dir.path().join(name),
    })
}

/// Opens a regular file.
pub(super) fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    let at_once = rustix::fs::openat2(
        CWD,
        path,
        flags | CAREFUL,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    );
    match at_once {
        Ok(fd) => regular(fd.into(), path),
        // A link, a socket, a kernel before 5.6, a filter or sandbox that does not know the call.
        Err(Errno::LOOP | Errno::NXIO | Errno::NOSYS | Errno::PERM) => {
            let (dir, name) = target(path)?;
            dir.open_file(&name, flags)
        }
        Err(error) => Err(error.into()),
    }
}

/// The file, if it is a regular one.
pub(super) fn regular(file: File, path: &Path) -> io::Result<File> {
    match Kind::of(&rustix::fs::fstat(&file)?) {
        Kind::File => Ok(file),
        found => Err(Foreign::kind(path, found, Kind::File)),
    }
}

struct Walk {
    trust: Trust,
    fd: OwnedFd,
    stat: Stat,
    path: PathBuf,
    /// Whether nobody else could have led us elsewhere so far.
    steady: bool,
    links: u32,
}

fn resolve(path: &Path, end: End) -> io::Result<(Dir, OsString)> {
    let mut walk = Walk::start(path.is_absolute())?;
    // The next component is the last one.
    let mut rest: Vec<OsString> = components(path).collect();
    rest.reverse();
    while let Some(name) = rest.pop() {
        let last = rest.is_empty();
        if last && end == End::Name && name != ".." {
            return Ok((walk.into_dir(), name));
        }
        let create = match end {
            End::Directory(mode) => mode,
            End::Name | End::Target => None,
        };
        let (fd, stat) = walk.look(&name, create)?;
        match Kind::of(&stat) {
            Kind::Link => {
                let target = walk.follow(&name, &fd, &stat)?;
                if target.is_absolute() {
                    let links = walk.links;
                    walk = Walk::start(true)?;
                    walk.links = links;
                }
                let target: Vec<OsString> = components(&target).collect();
                rest.extend(target.into_iter().rev());
            }
            Kind::Directory => walk.enter(&name, fd, stat),
            _ if last && end == End::Target => return Ok((walk.into_dir(), name)),
            found => {
                return Err(Foreign::kind(
                    &walk.path.join(&name),
                    found,
                    Kind::Directory,
                ));
            }
        }
    }
    Ok((walk.into_dir(), ".".into()))
}

fn components(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

impl Walk {
    fn start(absolute: bool) -> io::Result<Self> {
        let path = if absolute { "/" } else { "." };
        let fd = rustix::fs::open(path, LOOK | OFlags::DIRECTORY, Mode::empty())?;
        Ok(Self {
            trust: Trust::current(),
            stat: rustix::fs::fstat(&fd)?,
            fd,
            path: if absolute {
                path.into()
            } else {
                PathBuf::new()
            },
            steady: true,
            links: 0,
        })
    }

    /// Opens a component as what it is; makes a directory there where that is asked for.
    fn look(&self, name: &OsStr, create: Option<u32>) -> io::Result<(OwnedFd, Stat)> {
        let open = || rustix::fs::openat(&self.fd, name, LOOK, Mode::empty());
        let fd = match (open(), create) {
            (Err(Errno::NOENT), Some(mode)) => {
                match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(mode)) {
                    Ok(()) | Err(Errno::EXIST) => open()?,
                    Err(error) => return Err(error.into()),
                }
            }
            (other, _) => other?,
        };
        let stat = rustix::fs::fstat(&fd)?;
        Ok((fd, stat))
    }

    /// The target of a link that may be followed.
    fn follow(&mut self, name: &OsStr, link: &OwnedFd, stat: &Stat) -> io::Result<PathBuf> {
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(Errno::LOOP.into());
        }
        // A volume that is read-only here is filled by who made the pod or container
        // (ConfigMaps and Secrets are full of links in a directory of mode 0777).
        let closed = self.trust.is_closed(&self.stat)
            || rustix::fs::fstatvfs(&self.fd)
                .is_ok_and(|fs| fs.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
        if !(self.steady && closed && self.trust.includes(stat.st_uid)) {
            let (path, uid) = (self.path.join(name), stat.st_uid);
            return Err(Foreign::Link { path, uid }.into());
        }
        let target = rustix::fs::readlinkat(link, "", Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()).into())
    }

    fn enter(&mut self, name: &OsStr, fd: OwnedFd, stat: Stat) {
        if name == ".." {
            // What a directory is in cannot be exchanged from outside.
            if !self.path.pop() {
                self.path.push("..");
            }
        } else {
            self.steady &= self.trust.holds(&self.stat, &stat);
            self.path.push(name);
        }
        (self.fd, self.stat) = (fd, stat);
    }

    fn into_dir(self) -> Dir {
        let closed = self.steady && self.trust.is_closed(&self.stat);
        Dir::new(self.fd, self.path, self.steady, closed)
    }
}
