//! The only writer of TLS material.
//!
//! Everything is prepared in temporary files beside their destinations and then renamed in the
//! order of [`Item::ALL`]: what can fail for lack of space fails before anything was changed, a
//! crash of ours leaves a state that the next run completes, and who waits for the client's
//! certificate finds all the rest in place.
//!
//! Making it survive a power cut is [`make_durable`], a call of its own: a dozen fsyncs cost more
//! than all the cryptography, and dockerd need not wait for them. Until then a cut can only leave
//! files empty or old, which the next run takes for missing and makes again.
//!
//! "No choices at apply time" has its exception here: several containers may share the directory,
//! so that what was true when the plan was printed may be over when the lock is held. The very
//! same pure decision is therefore taken again under the lock.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::fs::{AtFlags, CWD, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use time::OffsetDateTime;

use crate::host::certs;
use crate::tls::{self, FolderId, IssueError, Item, Names, NewFile, Owner, TlsPlan, Wish};

mod error;

pub use error::CertificateError;

/// How long another container may hold the lock. Making a set takes milliseconds; who needs
/// longer hangs on its disk.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Begin of the name of a temporary file; what begins so and is found under the lock was left by
/// a run that was killed.
const TEMPORARY: &str = ".dind-init.";

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The plan that was carried out, made under the lock.
    pub plan: TlsPlan,
    /// The files that were written.
    pub written: Vec<Item>,
    /// What the user should know, beside the notes of the plan.
    pub notes: Vec<String>,
}

impl Outcome {
    /// The lines that the official image prints on stdout for what holds.
    #[must_use]
    pub fn verified(&self) -> Vec<String> {
        let line = |item: &Item| format!("{}: OK", self.plan.directory.join(item.path()).display());
        [Item::ServerCertificate, Item::ClientCertificate]
            .iter()
            .filter(|item| self.plan.vouches_for(**item))
            .map(line)
            .collect()
    }
}

/// Brings the directory into the state that the wish asks for.
///
/// # Errors
/// A refusal (nothing was changed), or a write that failed.
pub fn apply(wish: &Wish, names: &Names, now: OffsetDateTime) -> Result<Outcome, CertificateError> {
    let decide = || tls::decide(wish, names, &certs::read(&wish.directory), now);
    let plan = decide()?;
    // The common restart, and the only way that works on a volume that cannot be written: there
    // is nothing to do, and so nothing to lock.
    if plan.is_settled() {
        return Ok(Outcome {
            plan,
            written: Vec::new(),
            notes: Vec::new(),
        });
    }
    let root = Root::make(&wish.directory)?;
    let mut notes = Vec::new();
    let locked = lock(root.fd.as_fd(), &wish.directory, LOCK_WAIT)?;
    match &locked {
        Lock::Held => root.remove_leftovers(),
        Lock::Unavailable(error) => {
            let directory = wish.directory.display();
            notes.push(format!(
                "{directory} cannot be locked ({error}): do not share it"
            ));
        }
    }
    let material = certs::read(&wish.directory);
    let plan = tls::decide(wish, names, &material, now)?;
    let Owner::Us(managed) = &plan.owner else {
        return Ok(Outcome {
            plan,
            written: Vec::new(),
            notes,
        });
    };
    let files = tls::issue(managed, &material).map_err(|source| root.cannot_issue(source))?;
    let written = root.install(&files)?;
    // Done, then verified: by the same decision, on what is there now.
    match decide() {
        Ok(again) if again.is_settled() => {}
        // Without a lock this says only that somebody else was here meanwhile.
        _ if matches!(locked, Lock::Unavailable(_)) => {}
        Ok(again) => return Err(root.unsettled(again.to_string())),
        Err(refusal) => return Err(root.unsettled(refusal.to_string())),
    }
    Ok(Outcome {
        plan,
        written,
        notes,
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Lock {
    Held,
    /// Some network file systems lock only what is open for writing, which a directory never is.
    Unavailable(Errno),
}

/// Takes the lock, which the kernel drops with the descriptor, whatever becomes of us.
fn lock(directory: impl AsFd, path: &Path, wait: Duration) -> Result<Lock, CertificateError> {
    let begin = Instant::now();
    loop {
        match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Lock::Held),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) if begin.elapsed() >= wait => {
                return Err(CertificateError::Busy {
                    directory: path.into(),
                    waited: wait,
                });
            }
            Err(Errno::WOULDBLOCK) => {
                // A lock tells nobody when it is free, and blocking for it has no deadline.
                let pause = Timespec {
                    tv_sec: 0,
                    tv_nsec: 2_000_000,
                };
                let _ = rustix::event::poll(&mut [], Some(&pause));
            }
            Err(error) => return Ok(Lock::Unavailable(error)),
        }
    }
}

/// The directory, open.
struct Root<'a> {
    path: &'a Path,
    fd: OwnedFd,
}

/// A file that waits beside its destination.
struct Prepared<'a> {
    item: Item,
    folder: &'a OwnedFd,
    name: String,
}

impl<'a> Root<'a> {
    fn make(path: &'a Path) -> Result<Self, CertificateError> {
        let failed = |operation, path: &Path, error: Errno| CertificateError::Write {
            operation,
            path: path.into(),
            written: Vec::new(),
            source: error.into(),
        };
        let mut ancestors: Vec<&Path> = path.ancestors().collect();
        ancestors.reverse();
        for place in ancestors
            .into_iter()
            .filter(|place| !place.as_os_str().is_empty())
        {
            make_folder(CWD, place).map_err(|error| failed("make", place, error))?;
        }
        let fd = open_folder(CWD, path).map_err(|error| failed("open", path, error))?;
        Ok(Self { path, fd })
    }

    /// Makes the folders that are needed, fills temporary files, and renames them in order.
    fn install(&self, files: &[NewFile]) -> Result<Vec<Item>, CertificateError> {
        let mut folders = Vec::new();
        for id in FolderId::ALL {
            if files.iter().any(|file| file.item.folder() == id) {
                let failed = |error| self.cannot("make", Path::new(id.name()), &[], error);
                make_folder(&self.fd, id.name()).map_err(failed)?;
                let failed = |error| self.cannot("open", Path::new(id.name()), &[], error);
                folders.push((id, open_folder(&self.fd, id.name()).map_err(failed)?));
            }
        }
        let mut prepared = Vec::new();
        let mut written = Vec::new();
        let result = self
            .prepare_all(files, &folders, &mut prepared)
            .and_then(|()| self.rename_all(&prepared, &mut written));
        if let Err(error) = result {
            for file in prepared.iter().filter(|file| !written.contains(&file.item)) {
                let _ = rustix::fs::unlinkat(file.folder, &file.name, AtFlags::empty());
            }
            return Err(error);
        }
        Ok(written)
    }

    fn prepare_all<'b>(
        &self,
        files: &[NewFile],
        folders: &'b [(FolderId, OwnedFd)],
        prepared: &mut Vec<Prepared<'b>>,
    ) -> Result<(), CertificateError> {
        for file in files {
            let token = tls::token().map_err(|source| self.cannot_issue(source))?;
            let name = format!("{TEMPORARY}{:016x}.{}", token.0, file.item.file_name());
            let Some((_, folder)) = folders.iter().find(|(id, _)| *id == file.item.folder()) else {
                continue; // every folder of `files` was opened by our caller
            };
            // Listed before it is made, so that a failure half way removes it, too.
            prepared.push(Prepared {
                item: file.item,
                folder,
                name: name.clone(),
            });
            fill(folder, &name, file)
                .map_err(|source| self.failed("write", Path::new(file.item.path()), &[], source))?;
        }
        Ok(())
    }

    fn rename_all(
        &self,
        prepared: &[Prepared<'_>],
        written: &mut Vec<Item>,
    ) -> Result<(), CertificateError> {
        for file in prepared {
            let name = file.item.file_name();
            rustix::fs::renameat(file.folder, &file.name, file.folder, name).map_err(|error| {
                self.cannot("rename", Path::new(file.item.path()), written, error)
            })?;
            written.push(file.item);
        }
        Ok(())
    }

    /// Temporary files of a run that was killed. Failing to remove them does no harm.
    fn remove_leftovers(&self) {
        for id in FolderId::ALL {
            let Ok(folder) = open_folder(&self.fd, id.name()) else {
                continue;
            };
            let Ok(entries) = Dir::read_from(&folder) else {
                continue;
            };
            for entry in entries.flatten() {
                if entry
                    .file_name()
                    .to_bytes()
                    .starts_with(TEMPORARY.as_bytes())
                {
                    let _ = rustix::fs::unlinkat(&folder, entry.file_name(), AtFlags::empty());
                }
            }
        }
    }

    fn cannot(
        &self,
        operation: &'static str,
        path: &Path,
        written: &[Item],
        error: Errno,
    ) -> CertificateError {
        self.failed(operation, path, written, error.into())
    }

    fn failed(
        &self,
        operation: &'static str,
        path: &Path,
        written: &[Item],
        source: io::Error,
    ) -> CertificateError {
        let (path, written) = (self.path.join(path), written.to_vec());
        CertificateError::Write {
            operation,
            path,
            written,
            source,
        }
    }

    fn cannot_issue(&self, source: IssueError) -> CertificateError {
        CertificateError::Issue {
            directory: self.path.into(),
            source,
        }
    }

    fn unsettled(&self, remaining: String) -> CertificateError {
        CertificateError::Unsettled {
            directory: self.path.into(),
            remaining,
        }
    }
}

/// Makes a folder that everybody may enter, whatever the umask; an existing one stays as it is.
fn make_folder(at: impl AsFd, path: impl rustix::path::Arg + Copy) -> rustix::io::Result<()> {
    let mode = Mode::from_raw_mode(0o755);
    match rustix::fs::mkdirat(&at, path, mode) {
        Ok(()) => rustix::fs::fchmod(open_folder(&at, path)?, mode),
        Err(Errno::EXIST) => Ok(()),
        // `mkdir /` and of mount points on read-only file systems: opening it will tell.
        Err(Errno::ROFS | Errno::ACCESS) if open_folder(&at, path).is_ok() => Ok(()),
        Err(error) => Err(error),
    }
}

fn open_folder(at: impl AsFd, path: impl rustix::path::Arg) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(at, path, flags, Mode::empty())
}

/// A new file with exactly the wished permissions. Exclusive and without following links:
/// everybody may put files into a shared client folder.
fn fill(folder: &OwnedFd, name: &str, file: &NewFile) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut target = File::from(rustix::fs::openat(
        folder,
        name,
        flags,
        Mode::from_raw_mode(0o600),
    )?);
    target.write_all(&file.bytes)?;
    rustix::fs::fchmod(&target, Mode::from_raw_mode(file.item.mode()))?;
    Ok(())
}

/// Waits until what was written is safe on the disk, the files before the folders that name them.
/// Where a file system cannot do that (some cannot for directories), it is its own to keep it.
pub fn make_durable(directory: &Path, written: &[Item]) {
    let mut paths: Vec<_> = written
        .iter()
        .map(|item| directory.join(item.path()))
        .collect();
    paths.extend(
        FolderId::ALL
            .iter()
            .map(|folder| directory.join(folder.name())),
    );
    paths.push(directory.to_owned());
    for path in paths {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Ok(fd) = rustix::fs::open(&path, flags, Mode::empty()) {
            let _ = rustix::fs::fsync(&fd);
        }
    }
}

#[cfg(test)]
mod tests;
