//! The official names beside our binary.

use std::path::{Path, PathBuf};

use super::ApplyError;
use crate::files;
use crate::files::Dir;
use crate::plan::names::{Form, Name};

/// A path from the root; its links stay links.
///
/// # Errors
/// There is no working directory any more.
pub fn absolute(path: &Path) -> Result<PathBuf, ApplyError> {
    std::path::absolute(path).map_err(|e| ApplyError::new("find", path, e))
}

/// Makes each name, in place of what was there.
///
/// # Errors
/// What the kernel says; a directory in place of a name is left alone.
pub fn make(names: &[Name]) -> Result<(), ApplyError> {
    names.iter().try_for_each(make_one).map_err(|error| {
        error.with_help(
            "the names go into the directory of the binary unless --dir names another one",
            "run it as root (in a Dockerfile after USER root), in a directory that can be written \
             to, and where no directory has one of the names",
        )
    })
}

fn make_one(name: &Name) -> Result<(), ApplyError> {
    let path = &name.path;
    match &name.form {
        Form::Link(target) => {
            let linked = Dir::parent(path).and_then(|(dir, name)| dir.link(&name, target));
            linked.map_err(|e| ApplyError::new("link", path, e))
        }
        Form::Script(text) => files::replace(path, text.as_bytes(), 0o755)
            .map_err(|e| ApplyError::new("write", path, e)),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::plan::names;

    #[test]
    fn names_are_made_in_place_of_old_ones() {
        let dir = tempfile::tempdir().unwrap();
        let binary = dir.path().join("dind-init");
        fs::write(&binary, "ours").unwrap();
        // What an image of yesterday has: the binary's own content must not be written over.
        std::os::unix::fs::symlink("dind-init", dir.path().join("dind")).unwrap();
        for links in [false, true, false] {
            make(&names::plan(&binary, None, links)).unwrap();
            let meta = fs::symlink_metadata(dir.path().join("dind")).unwrap();
            assert_eq!(meta.is_symlink(), links);
            assert!(links || meta.permissions().mode() & 0o7777 == 0o755);
            assert_eq!(fs::read_to_string(&binary).unwrap(), "ours");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 5);
        }
    }
}
