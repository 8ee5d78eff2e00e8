//! The termination message of a container: a file that a kubelet mounts, and whose text it shows as
//! the reason of an end (`kubectl describe pod`).

use std::io;
use std::path::Path;

use crate::files;

/// A kubelet takes so many bytes, and drops the rest.
const MOST: usize = 4096;

/// What stands for what is left out.
const GAP: &str = "\n[…]\n";

/// The last lines say what helps.
const TAIL: usize = 1024;

/// Leaves a message, if the file is there. It is made by whoever wants it, and may be anything:
/// nothing but a regular file with this one name is written, and nobody waits. A failure costs the
/// message only.
pub fn leave(path: &Path, text: &str) {
    match files::overwrite(path, fit(text).as_bytes()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::debug!("{}: {error}", path.display()),
    }
}

/// The beginning and the end of a text that is too long.
fn fit(text: &str) -> String {
    if text.len() <= MOST {
        return text.to_owned();
    }
    let room = MOST - GAP.len() - TAIL;
    let head = (0..=room).rev().find_map(|end| text.get(..end));
    let tail = (text.len() - TAIL..).find_map(|start| text.get(start..));
    [head.unwrap_or_default(), tail.unwrap_or_default()].join(GAP)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustix::fs::{FileType, Mode};
    use std::fs;

    #[test]
    fn a_file_that_is_there_gets_the_text_and_nothing_else_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        leave(&path("none"), "text");
        assert!(!path("none").exists());
        fs::write(path("file"), "an older and longer one").unwrap();
        leave(&path("file"), "text");
        assert_eq!(fs::read_to_string(path("file")).unwrap(), "text");
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        leave(&path("link"), "other");
        assert_eq!(fs::read_to_string(path("file")).unwrap(), "text");
        fs::hard_link(path("file"), path("second")).unwrap();
        leave(&path("file"), "of two names");
        assert_eq!(fs::read_to_string(path("second")).unwrap(), "text");
        let kind = FileType::Fifo;
        let mode = Mode::from(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), kind, mode, 0).unwrap();
        for other in [path("pipe"), dir.path().to_owned()] {
            leave(&other, "nobody waits");
        }
        leave(Path::new("/dev/null"), "not a file");
    }

    proptest! {
        #[test]
        fn a_long_text_keeps_its_beginning_and_its_end(text in "(é|x|\n){0,6000}") {
            let fitted = fit(&text);
            prop_assert!(fitted.len() <= MOST);
            prop_assert!(text.len() > MOST || fitted == text);
            if let Some((head, tail)) = fitted.split_once(GAP) {
                prop_assert!(text.starts_with(head) && text.ends_with(tail));
            }
        }
    }
}
