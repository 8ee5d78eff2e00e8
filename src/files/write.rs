//! What is written into a directory: files in one step or in place, links and devices.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::dir::Dir;
use super::trust::{Foreign, Kind, Trust};
use super::walk::{self, CAREFUL};

/// How the name of a file that is being written begins; what is found with it was left by a
/// process that was killed.
pub const TEMPORARY: &str = ".dind-init.";

impl Dir {
    /// Opens a file of our own for reading and writing, and makes it where it is missing. One
    /// that belongs to somebody else, or has another name as well, is refused.
    ///
    /// # Errors
    /// What the kernel says, or [`Foreign`].
    pub fn open_own(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<File> {
        let name = name.as_ref();
        let path = self.path().join(name);
        let flags = OFlags::RDWR | OFlags::CREATE | CAREFUL;
        let opened = rustix::fs::openat(self, name, flags, Mode::from_raw_mode(mode));
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
            let (path, links) = (self.path().join(name), links(&stat));
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
        let mut file = File::from(rustix::fs::openat(self, &temporary, flags, private)?);
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
        rustix::fs::symlinkat(target, self, &temporary)?;
        self.rename(&temporary, name).inspect_err(|_| {
            let _ = self.unlink(&temporary);
        })
    }

    /// Makes a character device with exactly this mode; what is there already is left alone.
    ///
    /// # Errors
    /// What `mknod(2)` says.
    pub fn make_device(&self, name: &OsStr, mode: u32, number: rustix::fs::Dev) -> io::Result<()> {
        let mode = Mode::from_raw_mode(mode);
        // Single-threaded, so that nothing else is made meanwhile.
        let umask = rustix::process::umask(Mode::empty());
        let made = rustix::fs::mknodat(self, name, FileType::CharacterDevice, mode, number);
        rustix::process::umask(umask);
        match made {
            Err(Errno::EXIST) => Ok(()),
            other => Ok(other?),
        }
    }
}

/// A name that nobody can have prepared something for.
fn temporary(name: &OsStr) -> io::Result<OsString> {
    let mut text = OsString::from(format!("{TEMPORARY}{:016x}.", unforeseen()?));
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

#[expect(
    clippy::allow_attributes,
    reason = "the type differs between architectures"
)]
#[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
fn links(stat: &Stat) -> u64 {
    stat.st_nlink as u64
}
