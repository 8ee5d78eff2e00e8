//! Where dockerd certainly cannot store images, or may not.

use std::path::PathBuf;

use super::words;
use crate::base::explain::{Advice, Explain, samples};

/// A refusal because of storage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageRefusal {
    /// The user chose a driver that a probe proved impossible.
    #[error("{choice} cannot work on {place}")]
    Impossible {
        /// Where it was chosen, with the value.
        choice: String,
        /// Its name in the store that is used.
        driver: String,
        /// The directory with its file system.
        place: String,
        /// The directory.
        path: PathBuf,
        /// What the probe found.
        why: String,
    },
    /// The data root holds a driver's data, and the driver does not work there.
    #[error("the data of {driver} in {} cannot be used", path.display())]
    PriorImpossible {
        driver: String,
        /// The directory with its file system.
        place: String,
        /// The data root.
        path: PathBuf,
        /// What the probe found.
        why: String,
    },
    /// dockerd ends when it finds several.
    #[error("{} holds the data of several storage drivers: {}", path.display(), drivers.join(", "))]
    SeveralPrior {
        /// The data root.
        path: PathBuf,
        drivers: Vec<String>,
    },
    /// Only a driver that copies would work, and the user forbade those.
    #[error("only the slow storage driver {driver} works on {}", path.display())]
    TooSlow {
        driver: String,
        /// The directory.
        path: PathBuf,
        /// What the probe found.
        why: String,
    },
    /// A size for every container needs quotas.
    #[error("overlay2.size={size} cannot work on {place}")]
    NoQuota {
        size: String,
        /// The directory with its file system.
        place: String,
    },
    /// Nothing can be written.
    #[error("{place} is read-only")]
    ReadOnly {
        /// The directory.
        path: PathBuf,
        /// The directory with its file system.
        place: String,
    },
    /// Not even a directory fits.
    #[error("{place} is full: no space left on device")]
    Full {
        /// The directory.
        path: PathBuf,
        /// The directory with its file system.
        place: String,
    },
    /// The kernel refuses writes for another reason.
    #[error("nothing can be written to {place}: {why}")]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// The directory with its file system.
        place: String,
        why: String,
    },
}

impl Explain for StorageRefusal {
    fn advice(&self) -> Advice {
        const KEPT: &str = "dockerd keeps images and its state there";
        match self {
            Self::Impossible {
                choice,
                driver,
                path,
                why,
                ..
            } => Advice::new(
                format!("{driver} was tried there: {why}"),
                format!("remove {choice}, or {}", words::volume(path)),
            ),
            Self::PriorImpossible {
                driver,
                place,
                path,
                why,
            } => Advice::new(
                format!(
                    "{driver} was tried on {place}: {why}; dockerd does not start with another \
                     driver by itself, since that would hide the images"
                ),
                format!(
                    "mount the file system that these images were made on, or an empty volume, at \
                     {}; --storage-driver=vfs starts without the images of {driver}",
                    path.display()
                ),
            ),
            Self::SeveralPrior { drivers, path } => {
                let ways = drivers
                    .iter()
                    .map(|driver| format!("--storage-driver={driver}"));
                Advice::new(
                    "dockerd does not start unless it is told which one to use",
                    format!(
                        "start with {}; or remove the directories of the others from {}",
                        ways.collect::<Vec<_>>().join(" or "),
                        path.display()
                    ),
                )
            }
            Self::TooSlow { path, why, .. } => Advice::new(
                format!("DIND_STORAGE=strict, and {why}"),
                format!("{}; or remove DIND_STORAGE=strict", words::volume(path)),
            ),
            Self::NoQuota { .. } => Advice::new(
                "dockerd can only limit containers on xfs that is mounted with pquota",
                "remove --storage-opt overlay2.size (storage-opts in daemon.json), or use a \
                 volume on xfs that the node mounts with -o pquota",
            ),
            Self::ReadOnly { path, .. } => Advice::new(
                KEPT,
                format!(
                    "{}; with --read-only a volume or --tmpfs {} is needed",
                    words::volume(path),
                    path.display()
                ),
            ),
            Self::Full { path, .. } => Advice::new(
                "a directory could not be made there, and dockerd ends when it cannot make one; \
                 it cannot prune anything either before it runs",
                format!(
                    "free space on it, use a larger volume, or (Kubernetes) raise the sizeLimit \
                     of the emptyDir at {}",
                    path.display()
                ),
            ),
            Self::NotWritable { path, .. } => Advice::new(
                KEPT,
                format!(
                    "let root write there (root_squash of NFS, SELinux labels, quotas), or {}",
                    words::volume(path)
                ),
            ),
        }
    }
}

samples! { StorageRefusal {
    Impossible {
        choice: "--storage-driver=overlay2".into(),
        driver: "overlay2".into(),
        place: "/path (overlay)".into(),
        path: "/path".into(),
        why: "what the trial found".into(),
    },
    PriorImpossible {
        driver: "overlay2".into(),
        place: "/path (overlay)".into(),
        path: "/path".into(),
        why: "what the trial found".into(),
    },
    SeveralPrior { path: "/path".into(), drivers: vec!["overlay2".into(), "vfs".into()] },
    TooSlow { driver: "vfs".into(), path: "/path".into(), why: "what the trial found".into() },
    NoQuota { size: "10G".into(), place: "/path (ext4)".into() },
    ReadOnly { path: "/path".into(), place: "/path (ext4)".into() },
    Full { path: "/path".into(), place: "/path (ext4)".into() },
    NotWritable {
        path: "/path".into(),
        place: "/path (nfs)".into(),
        why: "Permission denied".into(),
    },
} }
