//! Why the program was not started, with the cause as far as the file tells it.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::base::explain::{Advice, Explain, exit, samples};
use crate::sys::spawn::SpawnError;

/// Why the program was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kernel would not execute it.
    // Scripts look for this line with its cause, so it is the one Display with its source inside.
    #[error("exec {program} failed: {cause}")]
    Exec {
        /// The program as it was named.
        program: String,
        cause: io::Error,
        /// What was found out about the file.
        finding: Finding,
    },
    /// The signal for the death of our parent could not be asked for.
    #[error("Failed to set up parent death signal")]
    ParentDeathSignal(#[source] io::Error),
    /// The process could not be made.
    #[error("could not start {program}")]
    Spawn {
        /// The program as it was named.
        program: String,
        /// The step that failed.
        #[source]
        source: SpawnError,
    },
    /// The attribute could not be set.
    #[error("Failed to register as child subreaper")]
    Subreaper(#[source] io::Error),
}

/// What is wrong with the file of a program that was not executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    Directory(PathBuf),
    /// There is no such file.
    Missing(PathBuf),
    /// The file is there and executable, but what must load it is not.
    NoInterpreter(PathBuf),
    /// No directory of PATH has such a file.
    NotInPath(String),
    /// The file may not be executed.
    NotExecutable(PathBuf),
    /// The error's own text says it all.
    Nothing,
    /// A directory on the way to the file may not be searched.
    Unreachable(PathBuf),
}

impl Finding {
    /// Looks at the file.
    #[must_use]
    pub fn of(program: &OsStr, found: Option<&Path>, path: Option<&OsStr>) -> Self {
        let Some(file) = found else {
            let directories = path.unwrap_or_else(|| OsStr::new("/bin:/usr/bin"));
            return Self::NotInPath(directories.to_string_lossy().into_owned());
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "as execve(2) finds it, through any link"
        )]
        match std::fs::metadata(file) {
            Ok(meta) if meta.is_dir() => Self::Directory(file.to_owned()),
            Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
                Self::NotExecutable(file.to_owned())
            }
            Ok(_) => Self::NoInterpreter(file.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::Missing(PathBuf::from(program))
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Self::Unreachable(file.to_owned())
            }
            Err(_) => Self::Nothing,
        }
    }
}

impl StartError {
    /// Sorts what [`crate::sys::spawn::spawn`] said.
    #[must_use]
    pub fn from_spawn(program: &OsStr, error: SpawnError, path: Option<&OsStr>) -> Self {
        let name = program.to_string_lossy().into_owned();
        match error {
            SpawnError::Exec {
                program: file,
                source: cause,
            } => {
                let finding = match cause.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
                        Finding::of(program, Some(&file), path)
                    }
                    _ => Finding::Nothing,
                };
                // EACCES for a regular file with the bit set: a mount with noexec, or an LSM.
                let finding = match finding {
                    Finding::NoInterpreter(file)
                        if cause.kind() == io::ErrorKind::PermissionDenied =>
                    {
                        Finding::NotExecutable(file)
                    }
                    other => other,
                };
                Self::Exec {
                    program: name,
                    cause,
                    finding,
                }
            }
            source => Self::Spawn {
                program: name,
                source,
            },
        }
    }
}

impl Explain for StartError {
    /// The codes are tini's: 127 and 126 as shells have them, 1 for all else.
    fn advice(&self) -> Advice {
        const SECCOMP: &str = "allow this call in the container's seccomp profile";
        match self {
            Self::Exec { finding, cause, .. } => {
                finding.advice().with_code(match cause.raw_os_error() {
                    Some(libc::ENOENT) => exit::NOT_FOUND,
                    Some(libc::EACCES) => exit::CANNOT_EXECUTE,
                    _ => 1,
                })
            }
            Self::ParentDeathSignal(_) => {
                Advice::new("prctl(PR_SET_PDEATHSIG) was refused", SECCOMP).with_code(1)
            }
            Self::Spawn { .. } => Advice::new(
                "the process could not be made ready for the program",
                "raise the container's limits: --pids-limit, --memory, --ulimit nofile",
            )
            .with_code(1),
            Self::Subreaper(_) => {
                Advice::new("prctl(PR_SET_CHILD_SUBREAPER) was refused", SECCOMP).with_code(1)
            }
        }
    }
}

samples! { StartError {
    ParentDeathSignal(errno(libc::EPERM)),
    Spawn {
        program: "program".into(),
        source: SpawnError::Prepare {
            program: "/path".into(),
            step: "fork",
            source: errno(libc::EAGAIN),
        },
    },
    Subreaper(errno(libc::EPERM));
    each Exec in Finding::samples().into_iter().map(|finding| Self::Exec {
        program: "program".into(),
        cause: errno(match finding {
            Finding::Missing(_) | Finding::NoInterpreter(_) | Finding::NotInPath(_) => libc::ENOENT,
            Finding::Nothing => libc::E2BIG,
            _ => libc::EACCES,
        }),
        finding,
    })
} }

samples! { Finding {
    Directory("/path".into()),
    Missing("/path".into()),
    NoInterpreter("/path".into()),
    NotInPath("/usr/bin:/bin".into()),
    NotExecutable("/path".into()),
    Nothing,
    Unreachable("/path/program".into()),
} }

impl Finding {
    fn advice(&self) -> Advice {
        const SPELLING: &str =
            "check the spelling of the command, or install the program in the image";
        match self {
            Self::Directory(path) => Advice::new(
                format!("{} is a directory", path.display()),
                "name the program inside it",
            ),
            Self::Missing(path) => {
                Advice::new(format!("{} does not exist here", path.display()), SPELLING)
            }
            Self::NoInterpreter(path) => Advice::new(
                format!(
                    "{} exists, but the program that must load it (its #! line, or its dynamic \
                     loader) does not",
                    path.display()
                ),
                "install that loader in the image (a program made for glibc does not run on \
                 musl), or remove carriage returns from the #! line",
            ),
            Self::NotInPath(path) => {
                Advice::new(format!("no directory of PATH has it: {path}"), SPELLING)
            }
            Self::NotExecutable(path) => Advice::new(
                format!(
                    "{} has no execute permission, or lies on a mount with noexec",
                    path.display()
                ),
                "chmod +x the file in the image, or mount its volume without noexec",
            ),
            Self::Nothing => Advice::new(
                "the kernel refused to execute it",
                "check the file, its arguments and the limits",
            ),
            Self::Unreachable(path) => Advice::new(
                format!(
                    "it may be {}, but this user may not search that directory",
                    path.display()
                ),
                "take the directory out of PATH, or run as a user who may search it",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(errno: i32, file: &Path) -> StartError {
        let error = SpawnError::Exec {
            program: file.into(),
            source: io::Error::from_raw_os_error(errno),
        };
        StartError::from_spawn(file.as_os_str(), error, None)
    }

    fn finding(error: &StartError) -> &Finding {
        match error {
            StartError::Exec { finding, .. } => finding,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn findings_and_exit_codes_by_errno() {
        let itself = std::fs::read_link("/proc/self/exe").unwrap();
        let absent = PathBuf::from("/nonexistent/x");
        let root = PathBuf::from("/");
        for (errno, file, expected, code) in [
            (libc::ENOENT, &absent, Finding::Missing(absent.clone()), 127),
            (
                libc::ENOENT,
                &itself,
                Finding::NoInterpreter(itself.clone()),
                127,
            ),
            (libc::EACCES, &root, Finding::Directory(root.clone()), 126),
            (
                libc::EACCES,
                &itself,
                Finding::NotExecutable(itself.clone()),
                126,
            ),
            (libc::E2BIG, &itself, Finding::Nothing, 1),
        ] {
            let error = exec(errno, file);
            assert_eq!(*finding(&error), expected);
            assert_eq!(error.exit_code(), code);
            assert!(!error.why().is_empty() && !error.fix().is_empty());
        }
    }

    #[test]
    fn the_line_that_scripts_look_for() {
        let text = exec(libc::ENOENT, Path::new("x")).to_string();
        assert!(
            text.starts_with("exec x failed: No such file or directory"),
            "{text}"
        );
    }
}
