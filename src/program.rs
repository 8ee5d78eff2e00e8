//! Replacing this process by the command that the user gave.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::cli::environment::Environment;
use crate::explain::{Explain, exit};
use crate::sys::signal::OriginalMask;
use crate::sys::spawn::{self, SpawnError};

/// Why a command was not started.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The kernel would not execute it.
    #[error("could not start {}", name.display())]
    Exec {
        /// As the user wrote it.
        name: OsString,
        /// The reason.
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
}

impl Explain for ProgramError {
    fn why(&self) -> String {
        match self {
            Self::Exec { name, source } if source.exit_code() == exit::NOT_FOUND => format!(
                "there is no file {}, or the interpreter or loader that it names is missing",
                name.display()
            ),
            Self::Exec { .. } => {
                "it is a directory, not marked as executable, for another architecture, or on a \
                 noexec mount"
                    .into()
            }
            Self::NotFound { path, .. } => format!("PATH is '{}'", path.display()),
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Exec { .. } => {
                "check it in the image: ls -l and file on that path, docker inspect for the \
                 platform"
                    .into()
            }
            Self::NotFound { .. } => {
                "install it in the image, correct PATH, or write the path of the program in the \
                 command (compose: command, Kubernetes: args)"
                    .into()
            }
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Exec { source, .. } => source.exit_code(),
            Self::NotFound { .. } => exit::NOT_FOUND,
        }
    }
}

/// A program, by `PATH` of an environment.
///
/// # Errors
/// [`ProgramError::NotFound`].
pub fn find(name: &OsStr, env: &Environment) -> Result<PathBuf, ProgramError> {
    let path = env.get("PATH");
    spawn::find_program(name, path).ok_or_else(|| ProgramError::NotFound {
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
            ("", 127),
            ("/absent", 127),
            ("/", 126),
            ("/proc/self/status", 126),
        ] {
            let error = replace(&[name.into()], &env, OriginalMask::empty());
            assert_eq!(error.exit_code(), code, "{name}");
            assert!(!error.why().is_empty() && !error.fix().is_empty());
        }
    }
}
