//! The state directory: what dockerd and users' scripts find about the namespaces.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::error::LaunchError;
use crate::base::explain::exit;
use crate::files::lock::Share;
use crate::files::{self, Dir};

/// What a run leaves in the directory, ours or rootlesskit's. Nothing else is ever removed.
const LEFT: [&str; 11] = [
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
    crate::plan::rootless::proxy::NAME,
];

/// A directory that is ours while we live.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    dir: Dir,
    _lock: File,
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
                    .with_help(
                        "the state directory of the namespaces must be this user's",
                        "set XDG_RUNTIME_DIR or DOCKERD_ROOTLESS_ROOTLESSKIT_STATE_DIR to a \
                         directory that this user can write",
                    )
                    .with_code(exit::REFUSED)
            }
        };
        files::create_private(path, 0o700).map_err(failed("make the state directory"))?;
        let dir = Dir::open(path).map_err(failed("use the state directory"))?;
        let lock = dir
            .open_own("lock", 0o600)
            .map_err(failed("open the lock in"))?;
        match files::lock::take(&lock, Share::Nobody) {
            Ok(true) => {}
            Ok(false) => {
                return Err(LaunchError::plain(what("take over the state directory"))
                    .with_help(
                        "another RootlessKit is running with the same state directory",
                        "stop it, or give this one another DOCKERD_ROOTLESS_ROOTLESSKIT_STATE_DIR",
                    )
                    .with_code(exit::REFUSED));
            }
            Err(error) => return Err(failed("lock")(error)),
        }
        let state = Self {
            path: path.to_owned(),
            dir,
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

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file that everybody may read and nobody change.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn write(&self, name: &str, content: &str) -> io::Result<()> {
        self.dir.replace(name.as_ref(), content.as_bytes(), 0o444)
    }

    /// Makes a link that leads to a program.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn link(&self, name: &str, target: &Path) -> io::Result<()> {
        self.dir.link(name.as_ref(), target)
    }

    /// Removes what a run leaves.
    pub fn clear(&self) {
        for name in LEFT {
            let path = self.path.join(name);
            if let Err(error) = files::remove(&path) {
                tracing::warn!("{} could not be removed: {error}", path.display());
            }
        }
    }
}

/// Removes a directory that was made for one run.
pub fn remove(path: &Path) {
    // Tolerated: what somebody put there is not ours to remove.
    for name in LEFT {
        let _ = files::remove(&path.join(name));
    }
    let _ = files::remove(&path.join("lock"));
    let removed = Dir::parent(path).and_then(|(above, name)| above.remove_empty(&name));
    if let Err(error) = removed {
        tracing::debug!("{} stays: {error}", path.display());
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::base::explain::Explain as _;

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
