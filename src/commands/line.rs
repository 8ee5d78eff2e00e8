//! `dind-init SUBCOMMAND`: the words of the binary under its own name.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::client::probe::ProbeArgs;
use crate::client::wait::{EndpointArgs, WaitArgs};

/// What `-h` says besides the commands.
const SHORT: &str = "\
dind-init COMMAND --help tells more of a command, dind-init --help has examples, exit codes and
every variable. Under the names dockerd-entrypoint.sh, dind, docker-entrypoint.sh and docker-init
it is what the official image has there.";

/// What `--help` says besides the commands and the variables.
const EXAMPLES: &str = "\
Examples:
  docker run --rm --privileged IMAGE dind-init plan
      what a start would do on this machine; it does nothing
  docker run --rm --privileged IMAGE dind-init exec-when-ready docker run --rm alpine true
      a daemon for one command; the exit code is the command's
  docker exec CONTAINER dind-init status --timeline
      the running daemon, and where its start spent its time
  HEALTHCHECK CMD [\"dind-init\", \"probe\"]
      in a Dockerfile; in Kubernetes: exec: { command: [dind-init, probe] }
  dind-init wait --timeout 60s -- ./run-the-job.sh
      in a client's container
  RUN [\"dind-init\", \"install\"]
      in a Dockerfile: the official names beside the binary

Exit codes:
  0         asked to stop, or the command succeeded
  2         wrong words
  78        refused before anything was changed
  71        a set-up step failed; the error says what was changed
  126, 127  a program that cannot be executed, or is missing
  128+n     a signal
  others    dockerd's own, or the command's
";

/// PID 1 of a Docker-in-Docker container.
#[derive(Debug, Parser)]
#[command(
    name = "dind-init",
    version,
    after_help = SHORT,
    after_long_help = format!("{EXAMPLES}\n{}", crate::config::settings::text::help())
)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start dockerd and stay: what dockerd-entrypoint.sh does, with the same arguments
    #[command(after_help = "dockerd's own help: dind-init run -- --help")]
    Run {
        /// Nothing, flags for dockerd, `dockerd FLAGS`, or another command; `--exec -- COMMAND` at
        /// the end runs a command as soon as dockerd is ready, and ends with it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Start dockerd, run a command as soon as it is ready, and end with the command's exit code
    ExecWhenReady {
        /// The command
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<OsString>,
    },
    /// Print what `run` would do, and do nothing
    Plan {
        /// One JSON object
        #[arg(long)]
        json: bool,
        /// As for `run`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Wait until a daemon answers, then end or become a command: for client containers
    Wait(WaitArgs),
    /// Ask our own daemon whether it is ready: for health checks and Kubernetes probes
    Probe(ProbeArgs),
    /// Do what docker-entrypoint.sh does: find the daemon, then execute a docker command or another
    #[command(after_help = "the docker CLI's own help: dind-init client -- --help")]
    Client {
        /// The command
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<OsString>,
    },
    /// Print shell lines that make clients mean a daemon: eval "$(dind-init env)"
    Env(EndpointArgs),
    /// Print what this machine is, as JSON: for bug reports and test fixtures
    Facts {
        /// The default; accepted for symmetry
        #[arg(long)]
        json: bool,
    },
    /// Show, check or make the TLS certificates
    Certs(super::certs::CertsArgs),
    /// Show the running daemon
    Status {
        /// One JSON object
        #[arg(long, conflicts_with = "timeline")]
        json: bool,
        /// The phases of the start as a bar chart
        #[arg(long)]
        timeline: bool,
    },
    /// Prepare the container as the dind script does, then execute a command
    Setup {
        /// The command
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<OsString>,
    },
    /// Run a program under a small init: docker-init's and tini's options (init -h shows them)
    #[command(disable_help_flag = true)]
    Init {
        /// Options and the program
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Put the official names beside this binary: scripts that `sh FILE` and `. FILE` can read
    /// where there is a shell, else links
    Install(InstallArgs),
    /// The forwarder for names, as PID 1 starts it
    #[command(hide = true)]
    ForwardNames {
        /// An interface of the way out, over which nobody is answered
        #[arg(long)]
        outside: Vec<String>,
        /// Resolvers to ask
        upstream: Vec<std::net::IpAddr>,
    },
    /// Print the version
    Version,
}

/// `install`.
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// Where the names go; the directory of this binary by default
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Links also where there is a shell
    #[arg(long)]
    pub links: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::program::SUBCOMMANDS;
    use clap::CommandFactory as _;

    #[test]
    fn the_subcommands_are_those_that_other_rooms_know() {
        let command = CommandLine::command();
        let names: Vec<_> = command
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        let mut known = SUBCOMMANDS.to_vec();
        known.sort_unstable();
        let mut names = names;
        names.sort_unstable();
        assert_eq!(names, known);
    }

    #[test]
    fn the_short_help_fits_a_screen_and_the_long_one_has_all() {
        let help = |words: &[&str]| {
            let words = ["dind-init"].iter().chain(words);
            CommandLine::try_parse_from(words).unwrap_err().to_string()
        };
        for words in [&[][..], &["-h"]] {
            let text = help(words);
            assert!(text.lines().count() <= 40, "{text}");
            assert!(!text.contains("DIND_SOCKETS"), "{text}");
        }
        let long = help(&["--help"]);
        for part in [
            "Examples:",
            "Exit codes:",
            "DIND_SOCKETS",
            "exec-when-ready",
        ] {
            assert!(long.contains(part), "{part}");
        }
    }

    #[test]
    fn every_command_answers_help_itself() {
        let commands = CommandLine::command();
        let commands = commands.get_subcommands();
        for name in commands.map(|command| command.get_name().to_owned()) {
            // Its options are tini's (persona/).
            if name == "init" {
                continue;
            }
            let error = CommandLine::try_parse_from(["dind-init", &name, "--help"]).unwrap_err();
            assert_eq!(error.kind(), clap::error::ErrorKind::DisplayHelp, "{name}");
        }
    }

    #[test]
    fn what_follows_two_dashes_is_dockerds() {
        let line = CommandLine::try_parse_from(["dind-init", "run", "--", "--help"]).unwrap();
        assert!(matches!(line.command, Command::Run { words } if words == ["--help"]));
        let line = CommandLine::try_parse_from(["dind-init", "run", "--debug", "--help"]).unwrap();
        assert!(matches!(line.command, Command::Run { words } if words == ["--debug", "--help"]));
    }
}
