//! Programs that are scripts: what they say.

use std::path::Path;

use crate::files;

/// Nobody writes a longer one to start one program.
const LONGEST: u64 = 64 * 1024;

/// What is in each of the scripts that `dind-init install` makes.
pub const MARK: &str = "made by `dind-init install`";

/// Whether a script is one of these, wherever it was moved to.
#[must_use]
pub fn is_ours(script: &str) -> bool {
    script.contains(MARK)
}

/// The text of a script; nothing of any other file.
#[must_use]
pub fn read(path: &Path) -> Option<String> {
    let bytes = files::read(path, LONGEST).ok()?;
    bytes
        .starts_with(b"#!")
        .then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether a script becomes another program somewhere: then it has the same pid, and what is handed
/// to it reaches that program. `exec` that only redirects (`exec >FILE`, `exec 3>&1`) does not
/// count; in other languages the word looks the same (`exec(`, `os.execv`).
#[must_use]
pub fn becomes_another(text: &str) -> bool {
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .any(|line| {
            line.match_indices("exec").any(|(place, word)| {
                let before = line.get(..place).and_then(|text| text.chars().next_back());
                let rest = line.get(place + word.len()..).unwrap_or_default();
                let called = rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '(');
                let shell = rest.starts_with([' ', '\t'])
                    && rest.trim_start().starts_with(|c: char| {
                        c == '"' || c == '$' || c == '/' || c == '-' || c.is_ascii_alphabetic()
                    });
                let separate =
                    !before.is_some_and(|c| c.is_ascii_alphanumeric() || "-_/".contains(c));
                separate && (shell || called)
            })
        })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use super::*;

    #[test]
    fn only_a_script_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dockerd");
        assert_eq!(read(&path), None);
        for (text, expected) in [("#!/bin/sh\nx\n", true), ("\x7fELF", false), ("#", false)] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read(&path).as_deref() == Some(text), expected, "{text:?}");
        }
        assert_eq!(read(dir.path()), None);
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("fifo"), mode).unwrap();
        assert_eq!(read(&dir.path().join("fifo")), None);
    }

    #[test]
    fn an_exec_of_a_program_is_told_from_one_that_redirects() {
        for (text, expected) in [
            ("exec dockerd \"$@\"", true),
            ("  exec /usr/bin/dockerd.real \"$@\"", true),
            ("[ -n \"$X\" ] && exec \"$REAL\" \"$@\"", true),
            ("nice -n 5 sh -c 'exec dockerd'", true),
            ("exec -a dockerd dockerd.real", true),
            ("exec(\"/usr/sbin/dockerd\", @ARGV);", true),
            ("os.execv('/usr/sbin/dockerd', sys.argv)", true),
            ("dockerd \"$@\"", false),
            ("dockerd \"$@\" 2>&1 | tee /log", false),
            ("exec >/var/log/dockerd.log 2>&1\ndockerd \"$@\"", false),
            ("exec 3>&1\ndockerd \"$@\"", false),
            ("# exec dockerd\ndockerd \"$@\"", false),
            ("dockerd --exec-opt x --exec-root /y \"$@\"", false),
            ("/opt/exec dockerd", false),
        ] {
            assert_eq!(becomes_another(text), expected, "{text}");
        }
    }
}
