//! The names on the way to our file: what was executed, and the links that the kernel followed.

#![expect(
    clippy::disallowed_methods,
    reason = "links are looked at as the kernel followed them, whoever made them"
)]

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// So many links the kernel follows.
const MOST_LINKS: usize = 40;

/// The last part of a path.
pub(super) fn name(path: &OsStr) -> &OsStr {
    Path::new(path).file_name().unwrap_or_default()
}

/// The names of a file and of what it links to, one after the other.
pub(super) fn names(executed: &Path) -> Vec<OsString> {
    let mut names = Vec::new();
    let mut path: PathBuf = executed.to_owned();
    for _ in 0..MOST_LINKS {
        names.push(path.file_name().unwrap_or_default().to_owned());
        let Ok(target) = std::fs::read_link(&path) else {
            break;
        };
        path = match path.parent() {
            Some(directory) => directory.join(target),
            None => target,
        };
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_is_named_and_a_circle_ends() {
        let dir = tempfile::tempdir().unwrap();
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, dir.path().join(name)).unwrap();
        };
        link("dind-init", "dind");
        link(dir.path().join("dind").to_str().unwrap(), "first");
        assert_eq!(
            names(&dir.path().join("first")),
            ["first", "dind", "dind-init"]
        );
        link("b", "a");
        link("a", "b");
        assert_eq!(names(&dir.path().join("a")).len(), MOST_LINKS);
        assert_eq!(names(Path::new("")), [""]);
    }
}
