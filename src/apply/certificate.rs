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

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use time::OffsetDateTime;

use crate::files::{self, Dir};
use crate::host::certs;
use crate::plan::step::CertificateStep;
use crate::sys::spawn;
use crate::tls::{self, FolderId, IssueError, Item, Names, NewFile, Owner, Request, TlsPlan};

mod error;

pub use error::CertificateError;

/// How long another container may hold the lock. Making a set takes milliseconds; who needs
/// longer hangs on its disk, or only wants to keep us from starting: everybody who can read the
/// directory can lock it.
const LOCK_WAIT: Duration = Duration::from_secs(3);

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

/// Carries out the step of a start, and says what was done. What was written is made durable beside
/// dockerd's start.
///
/// # Errors
/// As [`apply`].
pub fn carry_out(step: &CertificateStep) -> Result<(), CertificateError> {
    let outcome = apply(&step.request, &step.names, step.now)?;
    for note in outcome.plan.notes.iter().chain(&outcome.notes) {
        tracing::warn!("{note}");
    }
    if !outcome.written.is_empty() {
        for line in outcome.plan.changes() {
            tracing::info!("certificates: {line}");
        }
    }
    for line in outcome.verified() {
        tracing::info!("{line}");
    }
    if !outcome.written.is_empty() {
        spawn::aside(|| make_durable(&step.request.directory, &outcome.written));
    }
    Ok(())
}

/// Brings the directory into the state that the request asks for.
///
/// # Errors
/// A refusal (nothing was changed), or a write that failed.
pub fn apply(
    request: &Request,
    names: &Names,
    now: OffsetDateTime,
) -> Result<Outcome, CertificateError> {
    let decide = || tls::decide(request, names, &certs::read(&request.directory), now);
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
    let root = Root::make(&request.directory)?;
    let mut notes = Vec::new();
    let locked = lock(&root.lockable, LOCK_WAIT);
    let directory = request.directory.display();
    match &locked {
        Lock::Held => root.remove_leftovers(),
        Lock::Unavailable(error) => notes.push(format!(
            "{directory} cannot be locked ({error}): do not share it"
        )),
        Lock::Busy => notes.push(format!(
            "{directory} has been locked by another process for {} s, and is used all the same: \
             share only its client folder",
            LOCK_WAIT.as_secs()
        )),
    }
    let material = certs::read(&request.directory);
    let plan = tls::decide(request, names, &material, now)?;
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
        _ if !matches!(locked, Lock::Held) => {}
        Ok(again) => return Err(root.unsettled(again.to_string())),
        Err(refusal) => return Err(root.unsettled(refusal.to_string())),
    }
    Ok(Outcome {
        plan,
        written,
        notes,
    })
}

#[derive(Debug)]
enum Lock {
    Held,
    /// Some network file systems lock only what is open for writing, which a directory never is.
    Unavailable(io::Error),
    /// Somebody holds it for longer than anybody needs it.
    Busy,
}

/// Takes the lock, which the kernel drops with the descriptor, whatever becomes of us.
fn lock(directory: &OwnedFd, wait: Duration) -> Lock {
    match files::lock::wait(directory, wait, || false) {
        Ok(true) => Lock::Held,
        Ok(false) => Lock::Busy,
        Err(error) => Lock::Unavailable(error),
    }
}

/// The directory, open.
struct Root<'a> {
    path: &'a Path,
    dir: Dir,
    lockable: OwnedFd,
}

/// A file that waits beside its destination.
struct Prepared<'a> {
    item: Item,
    folder: &'a Dir,
    name: OsString,
}

/// Everybody may enter the folders, whatever the umask.
const FOLDER_MODE: u32 = 0o755;

impl<'a> Root<'a> {
    fn make(path: &'a Path) -> Result<Self, CertificateError> {
        let failed = |operation, source| CertificateError::Write {
            operation,
            path: path.into(),
            written: Vec::new(),
            source,
        };
        let dir = make(path).map_err(|error| failed("make", error))?;
        let lockable = dir.reopen().map_err(|error| failed("open", error))?;
        Ok(Self {
            path,
            dir,
            lockable,
        })
    }

    /// Makes the folders that are needed, fills temporary files, and renames them in order.
    fn install(&self, files: &[NewFile]) -> Result<Vec<Item>, CertificateError> {
        let mut folders = Vec::new();
        for id in FolderId::ALL {
            if files.iter().any(|file| file.item.folder() == id) {
                let folder = self.dir.make_sub(id.name(), FOLDER_MODE);
                let failed = |error| self.failed("make", Path::new(id.name()), &[], error);
                folders.push((id, folder.map_err(failed)?));
            }
        }
        let mut prepared = Vec::new();
        let mut written = Vec::new();
        let result = self
            .prepare_all(files, &folders, &mut prepared)
            .and_then(|()| self.rename_all(&prepared, &mut written));
        if let Err(error) = result {
            for file in prepared.iter().filter(|file| !written.contains(&file.item)) {
                let _ = file.folder.unlink(&file.name);
            }
            return Err(error);
        }
        Ok(written)
    }

    fn prepare_all<'b>(
        &self,
        files: &[NewFile],
        folders: &'b [(FolderId, Dir)],
        prepared: &mut Vec<Prepared<'b>>,
    ) -> Result<(), CertificateError> {
        for file in files {
            let item = file.item;
            let Some((_, folder)) = folders.iter().find(|(id, _)| *id == item.folder()) else {
                continue; // every folder of `files` was opened by our caller
            };
            let name = OsStr::new(item.file_name());
            let name = folder
                .prepare(name, &file.bytes, item.mode())
                .map_err(|source| self.failed("write", Path::new(item.path()), &[], source))?;
            prepared.push(Prepared { item, folder, name });
        }
        Ok(())
    }

    fn rename_all(
        &self,
        prepared: &[Prepared<'_>],
        written: &mut Vec<Item>,
    ) -> Result<(), CertificateError> {
        for file in prepared {
            let name = OsStr::new(file.item.file_name());
            let renamed = file.folder.rename(&file.name, name);
            renamed.map_err(|error| {
                self.failed("rename", Path::new(file.item.path()), written, error)
            })?;
            written.push(file.item);
        }
        Ok(())
    }

    /// Temporary files of a run that was killed. Failing to remove them does no harm.
    fn remove_leftovers(&self) {
        for id in FolderId::ALL {
            let Ok(folder) = self.dir.sub(id.name()) else {
                continue;
            };
            for name in folder.names().unwrap_or_default() {
                if name
                    .as_encoded_bytes()
                    .starts_with(files::TEMPORARY.as_bytes())
                {
                    let _ = folder.unlink(&name);
                }
            }
        }
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

/// Makes the directory and what is missing above it, so that everybody may enter.
fn make(path: &Path) -> io::Result<Dir> {
    match Dir::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let (above, name) = match path.parent().filter(|above| !above.as_os_str().is_empty()) {
        Some(above) => {
            make(above)?;
            Dir::parent(path)?
        }
        None => Dir::parent(path)?,
    };
    above.make_sub(&name, FOLDER_MODE)
}

/// Waits until what was written is safe on the disk, the files before the folders that name them.
/// Where a file system cannot do that (some cannot for directories), it is its own to keep it.
pub fn make_durable(directory: &Path, written: &[Item]) {
    let Ok(root) = Dir::open(directory) else {
        return;
    };
    let sync = |fd: io::Result<OwnedFd>| {
        if let Ok(fd) = fd {
            let _ = rustix::fs::fsync(fd);
        }
    };
    for id in FolderId::ALL {
        let Ok(folder) = root.sub(id.name()) else {
            continue;
        };
        for item in written.iter().filter(|item| item.folder() == id) {
            let file = folder.open_file(OsStr::new(item.file_name()), OFlags::RDONLY);
            sync(file.map(OwnedFd::from));
        }
        sync(folder.reopen());
    }
    sync(root.reopen());
}

#[cfg(test)]
mod tests;
