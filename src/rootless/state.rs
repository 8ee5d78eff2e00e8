//! The state directory: what dockerd and users' scripts find about the namespaces.
#![expect(
    clippy::disallowed_methods,
    reason = "effects of the launch live in rootless/"
)]

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::error::LaunchError;
use crate::explain::exit;

/// What a run leaves in the directory, ours or rootlesskit's. Nothing else is ever removed.
const LEFT: [&str; 10] = [
    ".bp-ready.pipe",
    ".bp.sock",
    ".s4nn.sock",
    "api.sock",
    "child_pid",
    "driver.pid",
    "hosts",
    "netns",
    "notify.sock",
    "resolv.conf",
];

/// A directory that is ours while we live.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: OwnedFd,
}

impl StateDir {
    /// Makes or takes over the directory.
    ///
    /// # Errors
    /// What the kernel says, or that another run holds it.
    pub fn take(path: &Path) -> Result<Self, LaunchError> {
        let what = |step: &str| format!("could not {step} {}", path.display());
        let failed = |step: &str| {
            let what = what(step);
            move |error: io::Error| {
                LaunchError::new(what, &error)
                    .because(
                        "the state directory of the namespaces must be ours",
                        "set XDG_RUNTIME_DIR or DOCKERD_ROOTLESS_ROOTLESSKIT_STATE_DIR to a \
                         directory that this user can write",
                    )
                    .with_code(exit::REFUSED)
            }
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed("make the state directory"))?;
        own(path).map_err(failed("use the state directory"))?;
        let lock = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(failed("open the lock in"))?;
        let lock = OwnedFd::from(lock);
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::AGAIN) => {
                return Err(LaunchError::plain(what("take over the state directory"))
                    .because(
                        "another RootlessKit is running with the same state directory",
                        "stop it, or give this one another DOCKERD_ROOTLESS_ROOTLESSKIT_STATE_DIR",
                    )
                    .with_code(exit::REFUSED));
            }
            Err(error) => return Err(failed("lock")(error.into())),
        }
        let state = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        state.clear();
        Ok(state)
    }

    /// A path inside.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file that everybody may read and nobody change.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn write(&self, name: &str, content: &str) -> io::Result<()> {
        let path = self.path.join(name);
        fs::write(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444))
    }

    /// Removes what a run leaves.
    pub fn clear(&self) {
        for name in LEFT {
            let path = self.path.join(name);
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!("{} could not be removed: {error}", path.display());
            }
        }
    }
}

/// Whether a directory is ours and nobody else can put files in it: somebody could have made it in
/// /tmp before us, with a link in place of a file that we write.
fn own(path: &Path) -> io::Result<()> {
    let meta = fs::metadata(path)?;
    let foreign = meta.uid() != rustix::process::geteuid().as_raw();
    if !meta.is_dir() || foreign || meta.mode() & 0o022 != 0 {
        let text = "it belongs to another user, or others may write to it";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(())
}

/// Removes a directory that was made for one run.
pub fn remove(path: &Path) {
    // Tolerated: what somebody put there is not ours to remove.
    for name in LEFT {
        let _ = fs::remove_file(path.join(name));
    }
    let _ = fs::remove_file(path.join("lock"));
    let _ = fs::remove_dir(path);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Explain as _;

    #[test]
    fn a_directory_has_one_owner_and_only_left_overs_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/state");
        let state = StateDir::take(&path).unwrap();
        state.write("child_pid", "7").unwrap();
        fs::write(path.join("mine.txt"), "x").unwrap();
        let refused = StateDir::take(&path).unwrap_err();
        assert_eq!(refused.exit_code(), 78);
        assert!(
            path.join("child_pid").exists(),
            "nothing of the owner's is touched"
        );
        drop(state);
        StateDir::take(&path).unwrap();
        let mut left: Vec<_> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort_unstable();
        assert_eq!(left, ["lock", "mine.txt"]);
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let refused = StateDir::take(dir.path()).unwrap_err();
        assert_eq!(refused.exit_code(), 78);
        assert!(!dir.path().join("lock").exists());
    }
}
