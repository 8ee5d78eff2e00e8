//! Who uses a data root: the lock file's text, and what we write into it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::printable::line;
use crate::files;
use crate::files::lock::{self, Share};
use crate::host::mountinfo::Mount;

/// The file that PID 1 keeps locked for as long as it lives.
pub const LOCK_FILE: &str = ".dind-init.lock";

/// The text is a line of a few words.
const MOST: u64 = 4096;
/// The longest host name (`gethostname(2)`), and what a time takes: the rest of a lock's text is
/// not told.
const HOST_NAME: usize = 64;
const TIME: usize = 40;

/// One that holds a data root.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// Its host name; in Kubernetes the name of the pod.
    pub host: String,
    /// Its container's id, where that could be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Since when, by the clock of its machine.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub since: String,
}

/// The lock on a data root, as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockState {
    /// Nobody holds it.
    Free,
    /// Somebody does.
    Held(Owner),
}

impl LockState {
    /// Looks, without waiting.
    #[must_use]
    pub fn read(data_root: &Path) -> Self {
        let path = lock_file(data_root);
        let Ok(file) = files::open(&path) else {
            return Self::Free; // who wants to take it is told why that cannot be
        };
        // The lock that is taken here for a moment is shared: another one who starts and tries
        // for the exclusive one meanwhile tries again.
        match lock::take(&file, Share::Others) {
            Ok(false) => Self::Held(Owner::read_from(&path)),
            Ok(true) | Err(_) => Self::Free,
        }
    }
}

#[must_use]
pub fn lock_file(data_root: &Path) -> PathBuf {
    data_root.join(LOCK_FILE)
}

impl Owner {
    /// Ourselves; the time comes when the lock is taken.
    #[must_use]
    pub fn read(mounts: &[Mount]) -> Self {
        let name = rustix::system::uname();
        Self {
            host: name.nodename().to_string_lossy().into_owned(),
            container: container_id(mounts),
            since: String::new(),
        }
    }

    /// Reads a lock file; whoever cannot be told is an owner without a name.
    #[must_use]
    pub fn read_from(path: &Path) -> Self {
        let text = files::read(path, MOST).unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(&text))
    }

    /// Reads the text of a lock file; one that is being written is an owner without a name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// The text of a lock file.
    #[must_use]
    pub fn text(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        format!("{text}\n")
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.as_str() {
            "" => f.write_str("an unknown dind-init")?,
            host => write!(f, "dind-init on {}", line(host).at_most(HOST_NAME))?,
        }
        if let Some(id) = &self.container {
            write!(
                f,
                " (container {})",
                line(id.get(..12).unwrap_or(id)).at_most(12)
            )?;
        }
        match self.since.as_str() {
            "" => Ok(()),
            since => write!(f, " since {}", line(since).at_most(TIME)),
        }
    }
}

/// The id of the container that we are in: engines and kubelets mount files of a directory that
/// is named after it on /etc/hostname, /etc/hosts or /etc/resolv.conf.
fn container_id(mounts: &[Mount]) -> Option<String> {
    let files = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"].map(Path::new);
    let roots = mounts
        .iter()
        .filter(|mount| files.contains(&mount.point.as_path()))
        .flat_map(|mount| mount.root.iter());
    let id = roots.filter_map(|name| name.to_str()).find(|name| {
        let hex = |c: char| c.is_ascii_hexdigit();
        let docker = name.len() == 64 && name.chars().all(hex);
        let pod = name.len() == 36 && name.chars().all(|c| hex(c) || c == '-');
        docker || pod
    });
    id.map(str::to_owned)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use super::*;
    use crate::host::mountinfo;

    #[test]
    fn the_container_is_told_by_the_mounts_of_engine_and_kubelet() {
        let id = "4e2485af98f1a3e96660e5f2ed77010222cd0fd97138b562cad06b0701204082";
        for (root, expected) in [
            (
                format!("/var/lib/docker/containers/{id}/hostname"),
                Some(id),
            ),
            (
                "/var/lib/kubelet/pods/0a5f35e2-7d0e-4b3d-9d50-6c9e3f0d1a11/etc-hosts".into(),
                Some("0a5f35e2-7d0e-4b3d-9d50-6c9e3f0d1a11"),
            ),
            ("/etc/hostname".into(), None),
        ] {
            let line = format!("1 0 8:1 {root} /etc/hostname rw - ext4 /dev/vda rw\n");
            let found = container_id(&mountinfo::parse(line.as_bytes()));
            assert_eq!(found.as_deref(), expected);
        }
    }

    #[test]
    fn the_owner_of_a_held_lock_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(LockState::read(dir.path()), LockState::Free);
        let owner = Owner {
            host: "ci-7".into(),
            container: Some("0123456789abcdef".into()),
            since: "2026-01-02T03:04:05Z".into(),
        };
        std::fs::write(lock_file(dir.path()), owner.text()).unwrap();
        assert_eq!(LockState::read(dir.path()), LockState::Free);
        let holder = files::open(&lock_file(dir.path())).unwrap();
        assert!(lock::take(&holder, Share::Nobody).unwrap());
        assert_eq!(LockState::read(dir.path()), LockState::Held(owner.clone()));
        assert_eq!(
            owner.to_string(),
            "dind-init on ci-7 (container 0123456789ab) since 2026-01-02T03:04:05Z"
        );
        assert_eq!(Owner::parse("{\"ho").to_string(), "an unknown dind-init");
        let hostile = Owner {
            host: "a\u{1b}[2J\nerror: give up".into(),
            container: Some("\u{1b}]0;x".into()),
            since: "x".repeat(5000),
        };
        let told = hostile.to_string();
        assert!(
            !told.contains(char::is_control) && told.len() < 300,
            "{told}"
        );
    }
}
