//! The `docker-entrypoint.sh` persona: the client entrypoint of the official images
//!.
//!
//! Differences from the shell script: the docker CLI is started to ask about a word only when
//! neither the built-in table nor the plugin directories know it; the hint for `dockerd` is ours
//! and there is no pause of three seconds after it.

pub mod act;
pub mod commands;

use std::ffi::{OsStr, OsString};

use crate::base::changes::Changes;
use crate::base::environment::Environment;
use crate::base::explain::{Advice, Explain, exit, samples};
use crate::endpoint::Surroundings;
use crate::endpoint::defaults::official_defaults;

/// What the decision needs to know about the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntrypointFacts {
    /// Sockets and certificates.
    pub around: Surroundings,
    /// The first argument is a command of the docker CLI.
    pub is_docker_command: bool,
}

/// What will be executed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntrypointPlan {
    /// The whole argv; the program is found by `PATH`.
    pub argv: Vec<OsString>,
    /// Variables set for it.
    pub changes: Changes,
    /// Printed on stderr before.
    pub hint: Option<&'static str>,
}

/// Why there is nothing to execute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntrypointError {
    /// No argument: the official script ends with `1: parameter not set`, too.
    #[error("no command was given (parameter not set)")]
    NoCommand,
}

impl Explain for EntrypointError {
    fn advice(&self) -> Advice {
        Advice::new(
            "the container's command is empty, and this entrypoint only runs commands",
            "name one after the image (docker run IMAGE docker ps), in compose as command, in \
             Kubernetes as args; CMD [\"sh\"] in the Dockerfile gives a shell",
        )
        .with_code(exit::USAGE)
    }
}

samples! { EntrypointError { NoCommand } }

/// Printed when the client entrypoint is told to run a daemon.
const DAEMON_HINT: &str = "\
hint: this is the client entrypoint: it starts dockerd without preparing cgroups, mounts,
      certificates or sockets for it. For Docker in Docker let dockerd-entrypoint.sh (or
      dind-init itself) be the entrypoint:
          docker run --privileged -d --name some-docker IMAGE
";

/// Decides what the official entrypoint would execute for these arguments (without the name of the program).
///
/// # Errors
/// [`EntrypointError::NoCommand`].
pub fn decide(
    arguments: &[OsString],
    env: &Environment,
    facts: &EntrypointFacts,
) -> Result<EntrypointPlan, EntrypointError> {
    let Some(first) = arguments.first() else {
        return Err(EntrypointError::NoCommand);
    };
    let docker = commands::is_option(first) || facts.is_docker_command;
    let argv = docker
        .then(|| OsString::from("docker"))
        .into_iter()
        .chain(arguments.iter().cloned())
        .collect();
    let is_daemon = !docker && first == OsStr::new("dockerd");
    Ok(EntrypointPlan {
        argv,
        changes: official_defaults(env, &facts.around),
        hint: is_daemon.then_some(DAEMON_HINT),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    fn decided(arguments: &str, is_docker_command: bool) -> EntrypointPlan {
        let facts = EntrypointFacts {
            is_docker_command,
            ..EntrypointFacts::default()
        };
        decide(&words(arguments), &Environment::default(), &facts).unwrap()
    }

    #[test]
    fn s45_docker_is_prepended_to_options_and_commands_only() {
        let table = [
            ("--version", false, "docker --version"),
            ("-H x ps", false, "docker -H x ps"),
            ("-", false, "docker -"),
            ("ps -a", true, "docker ps -a"),
            ("compose up", true, "docker compose up"),
            ("sh -c true", false, "sh -c true"),
            ("docker ps", false, "docker ps"),
            ("dockerd", false, "dockerd"),
        ];
        for (arguments, is_command, want) in table {
            assert_eq!(
                decided(arguments, is_command).argv,
                words(want),
                "{arguments}"
            );
        }
    }

    #[test]
    fn s46_no_argument_is_a_usage_error() {
        let error = decide(&[], &Environment::default(), &EntrypointFacts::default()).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(crate::base::explain::frame(&error).contains("parameter not set"));
    }

    #[test]
    fn s47_the_environment_is_completed() {
        assert_eq!(
            decided("sh", false).changes,
            vec![("DOCKER_HOST", OsString::from("tcp://docker:2375"))]
        );
    }

    #[test]
    fn s49_only_dockerd_itself_gets_the_hint() {
        assert!(decided("dockerd --debug", false).hint.is_some());
        for other in ["docker", "/usr/local/bin/dockerd", "sh"] {
            assert_eq!(decided(other, false).hint, None, "{other}");
        }
    }
}
