//! Replacing this process by the command that the user gave.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::base::environment::Environment;
use crate::base::explain::{Advice, Explain, exit, samples};
use crate::files;
use crate::sys::signal::OriginalMask;
use crate::sys::spawn::{self, SpawnError};

/// The subcommands of this program; the parser of the command line has the same.
pub const SUBCOMMANDS: [&str; 15] = [
    "run",
    "exec-when-ready",
    "plan",
    "wait",
    "probe",
    "client",
    "env",
    "facts",
    "certs",
    "status",
    "setup",
    "init",
    "install",
    "forward-names",
    "version",
];

/// Whether a word is a subcommand of this program.
#[must_use]
pub fn is_subcommand(word: &str) -> bool {
    SUBCOMMANDS.contains(&word)
}

/// Why a command was not started.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The kernel would not execute it.
    #[error("could not start {}", name.display())]
    Exec {
        /// As the user wrote it.
        name: OsString,
        source: SpawnError,
    },
    /// No directory of `PATH` has it.
    #[error("{}: not found in PATH", name.display())]
    NotFound {
        /// As the user wrote it.
        name: OsString,
        /// `PATH` itself.
        path: OsString,
    },
    /// A word is there, and nothing in it.
    #[error("the command is an empty word")]
    Empty,
}

impl Explain for ProgramError {
    fn advice(&self) -> Advice {
        match self {
            Self::Exec { name, source } => {
                let code = source.exit_code();
                let why = if code == exit::NOT_FOUND {
                    format!(
                        "there is no file {}, or the interpreter or loader that it names is missing",
                        name.display()
                    )
                } else {
                    "it is a directory, not marked as executable, for another architecture, or on \
                     a noexec mount"
                        .into()
                };
                let fix = "check it in the image: ls -l and file on that path, docker inspect for \
                           the platform";
                Advice::new(why, fix).with_code(code)
            }
            Self::NotFound { name, path } => {
                let why = format!("PATH is '{}'", path.display());
                let fix = if name.to_str().is_some_and(is_subcommand) {
                    let name = name.display();
                    format!(
                        "a command of dind-init's own is called by its whole name: dind-init {name} \
                         (docker run IMAGE dind-init {name})"
                    )
                } else {
                    "install it in the image, correct PATH, or write the path of the program in \
                     the command (compose: command, Kubernetes: args)"
                        .into()
                };
                Advice::new(why, fix).with_code(exit::NOT_FOUND)
            }
            // The code is that of a shell's `exec ""`, which the official entrypoint ends in.
            Self::Empty => Advice::new(
                "an empty name is that of no program",
                "leave the argument out: a variable that is empty, or \"\" in the command (compose: \
                 command, Kubernetes: args)",
            )
            .with_code(exit::CANNOT_EXECUTE),
        }
    }
}

samples! { ProgramError {
    Exec {
        name: "program".into(),
        source: SpawnError::Exec { program: "/path".into(), source: errno(libc::ENOENT) },
    },
    Exec {
        name: "program".into(),
        source: SpawnError::Exec { program: "/path".into(), source: errno(libc::EACCES) },
    },
    NotFound { name: "program".into(), path: "/usr/bin:/bin".into() },
    NotFound { name: "status".into(), path: "/usr/bin:/bin".into() },
    Empty,
} }

/// A program, by `PATH` of an environment.
///
/// # Errors
/// [`ProgramError::NotFound`] and [`ProgramError::Empty`].
pub fn find(name: &OsStr, env: &Environment) -> Result<PathBuf, ProgramError> {
    if name.is_empty() {
        return Err(ProgramError::Empty);
    }
    let path = env.get("PATH");
    files::find_program(name, path).ok_or_else(|| ProgramError::NotFound {
        name: name.to_owned(),
        path: path.unwrap_or_default().to_owned(),
    })
}

/// Executes argv, found by `PATH` of the new environment; returns only when that failed.
#[must_use]
pub fn replace(argv: &[OsString], env: &Environment, mask: OriginalMask) -> ProgramError {
    let name = argv.first().cloned().unwrap_or_default();
    match find(&name, env) {
        Ok(program) => {
            let source = spawn::exec(&program, argv, &env.words(), mask);
            ProgramError::Exec { name, source }
        }
        Err(missing) => missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_127_and_one_that_cannot_run_is_126() {
        let env = Environment::from_iter([("PATH", "/nowhere")]);
        for (name, code) in [
            ("absent", 127),
            ("", 126),
            ("/absent", 127),
            ("/", 126),
            ("/proc/self/status", 126),
        ] {
            let error = replace(&[name.into()], &env, OriginalMask::empty());
            assert_eq!(error.exit_code(), code, "{name}");
            assert!(!error.why().is_empty() && !error.fix().is_empty());
        }
    }

    #[test]
    fn a_command_of_ours_is_named_where_no_program_has_its_name() {
        let env = Environment::from_iter([("PATH", "/nowhere")]);
        let fix = |name: &str| replace(&[name.into()], &env, OriginalMask::empty()).fix();
        assert!(fix("plan").contains("docker run IMAGE dind-init plan"));
        assert!(fix("absent").starts_with("install it"));
    }
}
