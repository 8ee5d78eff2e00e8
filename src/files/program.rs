//! Programs, as `execve(2)` and `execvp(3)` find them.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Whether a path leads to a program that this process may run, through any link, as `execve(2)`
/// follows them: whose programs are run, `PATH` says.
#[must_use]
pub fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// Finds a program as execvp(3) does: a name with a slash is a path, any other is looked up in
/// the directories of `path` (the default is that of glibc). What may not be executed, a directory
/// too, is passed over, and is the answer only when nothing better comes.
#[must_use]
pub fn find_program(name: &OsStr, path: Option<&OsStr>) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(name));
    }
    if name.is_empty() {
        return None;
    }
    let path = path.unwrap_or_else(|| OsStr::new("/bin:/usr/bin"));
    let (mut refused, mut unusable) = (None, None);
    for dir in std::env::split_paths(path) {
        let candidate = if dir.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            dir
        }
        .join(name);
        #[expect(clippy::disallowed_methods, reason = "as execve(2) finds it")]
        let found = std::fs::metadata(&candidate);
        match found {
            Ok(meta) if meta.is_file() => {
                if is_executable(&candidate) {
                    return Some(candidate);
                }
                refused.get_or_insert(candidate);
            }
            Ok(_) => {
                unusable.get_or_insert(candidate);
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                unusable.get_or_insert(candidate);
            }
            Err(_) => {}
        }
    }
    refused.or(unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn find_program_passes_over_directories_and_files_without_the_execute_bit() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::create_dir_all(a.join("tool")).unwrap();
        std::fs::create_dir_all(&b).unwrap();
        std::fs::write(b.join("tool"), "").unwrap();
        let path = std::env::join_paths([&a, &b]).unwrap();
        assert_eq!(
            find_program("tool".as_ref(), Some(&path)),
            Some(b.join("tool"))
        );
        assert_eq!(
            find_program("tool".as_ref(), Some(a.as_os_str())),
            Some(a.join("tool")),
            "execve says why it cannot be run"
        );
        assert_eq!(find_program("absent".as_ref(), Some(&path)), None);
        assert_eq!(
            find_program("./x".as_ref(), Some(&path)),
            Some(PathBuf::from("./x"))
        );
        assert_eq!(find_program("".as_ref(), Some(&path)), None);
    }
}
