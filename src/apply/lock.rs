//! The lock that keeps a second DinD away from a data root, and the marker beside it.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::OFlags;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{ApplyError, file};
use crate::base::explain::{Advice, Explain, Failure, samples};
use crate::files::{Dir, Foreign, lock};
use crate::host::storage::content::Marker;
use crate::host::storage::owner::Owner;

/// How long a predecessor may take to let go: in a rolling deploy it is stopping while we start.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Held until the process ends; the kernel lets go then, however it ends.
static HELD: OnceLock<(PathBuf, File)> = OnceLock::new();

/// Somebody else uses the data root.
#[derive(Debug, thiserror::Error)]
#[error("{} is in use by {owner}", path.display())]
pub struct InUse {
    /// The data root.
    path: PathBuf,
    owner: Owner,
}

impl Explain for InUse {
    fn advice(&self) -> Advice {
        Advice::new(
            format!(
                "two daemons on one data root destroy it; it was not let go within {} s",
                TIMEOUT.as_secs()
            ),
            "stop the other one, or give this one a volume or a --data-root of its own \
             (Kubernetes: strategy Recreate, or one PersistentVolumeClaim for each replica)",
        )
    }
}

samples! { InUse: InUse {
    path: "/var/lib/docker".into(),
    owner: Owner { host: "dind-0".into(), ..Owner::default() },
} }

/// Takes the lock, and waits a little for a predecessor that is stopping.
///
/// # Errors
/// [`InUse`], or what the kernel says about the file. A file system without locks is no error.
pub fn hold(path: &Path, owner: &Owner) -> Result<(), Failure> {
    if HELD.get().is_some_and(|(held, _)| held == path) {
        return Ok(());
    }
    let root = path.parent().unwrap_or_else(|| Path::new("/"));
    file::create_directory(root, 0o710)?; // dockerd's own mode (`setupDaemonRoot`)
    let (mut file, ours) = match open(path) {
        Err(error) if Foreign::in_error(&error).is_some() => {
            tracing::warn!("{error}: nothing is locked, so a second DinD is not noticed");
            return Ok(());
        }
        other => other.map_err(|e| ApplyError::new("open", path, e))?,
    };
    let mut told = false;
    let taken = lock::wait(&file, TIMEOUT, || {
        if !told {
            told = true;
            let (owner, wait) = (Owner::read_from(path), TIMEOUT.as_secs());
            let root = root.display();
            tracing::warn!("{root} is in use by {owner}: waiting up to {wait} s for it");
        }
        crate::sys::signal::stop_is_pending()
    });
    match taken {
        Ok(true) => {}
        Ok(false) => {
            let (path, owner) = (root.to_owned(), Owner::read_from(path));
            return Err(InUse { path, owner }.into());
        }
        Err(error) => {
            let path = path.display();
            tracing::warn!("{path} cannot be locked, so a second DinD is not noticed: {error}");
            return Ok(());
        }
    }
    if ours {
        let owner = Owner {
            since: now(),
            ..owner.clone()
        };
        // The text only serves a message of the next one; the lock does not depend on it.
        let written = file
            .set_len(0)
            .and_then(|()| file.write_all(owner.text().as_bytes()));
        if let Err(error) = written {
            tracing::debug!("write {}: {error}", path.display());
        }
    }
    let _ = HELD.set((path.to_owned(), file));
    Ok(())
}

/// Opens the lock file, and tells whether it is ours to write: a file of somebody else, or one
/// with another name, is only locked.
fn open(path: &Path) -> std::io::Result<(File, bool)> {
    let (dir, name) = Dir::parent(path)?;
    match dir.open_own(&name, 0o600) {
        Ok(file) => Ok((file, true)),
        Err(error) => match Foreign::in_error(&error) {
            Some(Foreign::Owner { .. } | Foreign::Names { .. }) => {
                tracing::warn!("{error}; it is locked all the same");
                Ok((dir.open_file(&name, OFlags::RDONLY)?, false))
            }
            _ => Err(error),
        },
    }
}

fn now() -> String {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0);
    now.ok()
        .and_then(|now| now.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// Writes the marker.
///
/// # Errors
/// What the kernel says.
pub fn record(path: &Path, marker: &Marker) -> Result<(), ApplyError> {
    let marker = Marker {
        first_seen: now(),
        ..marker.clone()
    };
    let text = serde_json::to_string(&marker).unwrap_or_default();
    file::replace(path, format!("{text}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;
    use crate::host::storage::owner::{LockState, lock_file};
    use crate::sys::probe::{ProbeResult, Probes, UnshareFlags};

    #[test]
    fn the_lock_is_held_for_life_and_taken_twice_by_the_same_process() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("new/root");
        let owner = Owner {
            host: "ci-7".into(),
            ..Owner::default()
        };
        // In a process of its own, since one process holds one lock for ever.
        let mut probes = Probes::new();
        let path = lock_file(&root);
        let ticket = probes.start("lock", UnshareFlags::empty(), TIMEOUT, || {
            let twice = [hold(&path, &owner), hold(&path, &owner)];
            (twice.iter().all(Result::is_ok), LockState::read(&root))
        });
        let answer = probes.collect().take(ticket);
        let ProbeResult::Known((true, LockState::Held(found))) = &answer else {
            panic!("{answer:?}")
        };
        assert!(
            found.host == "ci-7" && found.since.ends_with('Z'),
            "{found}"
        );
        // Its process is ending, and the lock ends with it: this waits for nothing else.
        let file = files::open(&lock_file(&root)).unwrap();
        assert!(lock::wait(&file, TIMEOUT, || false).unwrap());
    }

    #[test]
    fn the_marker_is_written_with_the_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marker");
        let marker = Marker {
            store: None,
            driver: "overlay2".into(),
            dind_init: "1".into(),
            first_seen: String::new(),
        };
        record(&path, &marker).unwrap();
        let found: Marker = serde_json::from_slice(&files::read(&path, 1000).unwrap()).unwrap();
        assert!(found.first_seen.contains('T') && found.driver == "overlay2");
    }
}
