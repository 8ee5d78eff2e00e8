//! `dind-init SUBCOMMAND`: the words of the binary under its own name.

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use crate::client::probe::ProbeArgs;
use crate::client::wait::{EndpointArgs, WaitArgs};

/// PID 1 of a Docker-in-Docker container.
#[derive(Debug, Parser)]
#[command(name = "dind-init", version, after_help = super::settings::help())]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start dockerd and stay: what dockerd-entrypoint.sh does, with the same arguments
    #[command(disable_help_flag = true)]
    Run {
        /// Nothing, flags for dockerd, `dockerd FLAGS`, or another command; `--exec -- COMMAND` at
        /// the end runs a command as soon as dockerd is ready, and ends with it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Start dockerd, run a command as soon as it is ready, and end with the command's exit code
    #[command(disable_help_flag = true)]
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
    #[command(disable_help_flag = true)]
    Client {
        /// The command
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
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
    #[command(disable_help_flag = true)]
    Setup {
        /// The command
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Run a program under a small init: docker-init's and tini's options (init -h shows them)
    #[command(disable_help_flag = true)]
    Init {
        /// Options and the program
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
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
