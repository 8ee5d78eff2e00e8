//! Sentences about file systems and drivers.

use std::path::Path;

use crate::host::storage::RootFacts;
use crate::host::storage::overlay::{Feature, OverlayProbe};

const MIB: u64 = 1 << 20;

/// Below this even a small image does not fit.
const LITTLE_BYTES: u64 = 256 * MIB;
const FEW_INODES: u64 = 5000;

/// A directory with its file system.
pub(super) fn place(root: &RootFacts) -> String {
    let path = root.path.display();
    match root.fs_type.as_str() {
        "overlay" => format!("{path} (overlay: the container's own file system, not a volume)"),
        fs_type => format!("{path} ({fs_type})"),
    }
}

/// How to give a container a volume there.
pub(super) fn volume(path: &Path) -> String {
    let path = path.display();
    format!(
        "mount a volume there: docker run -v NAME:{path}; compose: volumes: [\"NAME:{path}\"]; \
         Kubernetes: an emptyDir at {path}"
    )
}

/// What an overlay file system lacks.
pub(super) fn missing(probe: &OverlayProbe) -> String {
    let word = |feature: &Feature| match feature {
        Feature::Mount => "it cannot be mounted",
        Feature::Layers => "several layers do not appear as one",
        Feature::Whiteout => "deleted files come back (whiteouts)",
        Feature::Opaque => "directories made anew show old files (trusted.overlay.opaque)",
        Feature::Rename => "files of lower layers cannot be renamed",
        Feature::FileTypes => "directories do not tell file types (d_type; xfs needs ftype=1)",
    };
    let words: Vec<_> = probe.missing.iter().map(word).collect();
    let error = probe.error.as_ref().map(|error| format!(" ({error})"));
    format!("{}{}", words.join(", "), error.unwrap_or_default())
}

/// The loud line about drivers that copy.
pub(super) fn slow(driver: &str, root: &RootFacts, why: &str) -> String {
    format!(
        "SLOW: the {driver} storage driver copies every layer whole, which takes many times the \
         space and time; {why}; {}; DIND_STORAGE=strict refuses to start like this",
        volume(&root.path)
    )
}

/// Too little to work with.
pub(super) fn little_space(root: &RootFacts) -> Option<String> {
    let few = root.free_inodes.filter(|inodes| *inodes < FEW_INODES);
    if root.free_bytes >= LITTLE_BYTES && few.is_none() {
        return None;
    }
    let inodes = few.map(|inodes| format!(" and {inodes} inodes"));
    Some(format!(
        "{}: only {} MiB{} are left",
        place(root),
        root.free_bytes / MIB,
        inodes.unwrap_or_default()
    ))
}

/// File systems that work, with a price.
pub(super) fn unusual(root: &RootFacts) -> Option<String> {
    let fs_type = root.fs_type.as_str();
    let place = place(root);
    match fs_type {
        "tmpfs" | "ramfs" => Some(format!(
            "{place}: images and containers live in memory and count against its limit"
        )),
        "9p" | "virtiofs" | "nfs" | "nfs4" | "cifs" | "smb3" | "ceph" | "glusterfs" => {
            Some(format!(
                "{place} is a shared file system: expect slow images; a local volume is faster"
            ))
        }
        fuse if fuse.starts_with("fuse") => Some(format!(
            "{place} is a file system in user space: expect slow images; a local volume is faster"
        )),
        _ => None,
    }
}
