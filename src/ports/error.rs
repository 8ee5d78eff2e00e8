//! Why the port driver cannot begin.

use std::io;
use std::path::PathBuf;

use crate::base::explain::{Advice, Explain, exit, samples};

/// A failure before the relay serves.
#[derive(Debug, thiserror::Error)]
pub enum PortsError {
    /// The API's socket cannot be made.
    #[error("could not make the port driver's API socket {path}")]
    Api {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A port of the command line cannot be published.
    #[error("could not publish {spec}: {message}")]
    Publish {
        /// In the `-p` grammar.
        spec: String,
        /// The text that the API would answer.
        message: String,
    },
    /// The process cannot do what every process can.
    #[error("could not start the port driver: {step}")]
    Start {
        /// What it tried.
        step: &'static str,
        #[source]
        source: io::Error,
    },
}

impl Explain for PortsError {
    fn advice(&self) -> Advice {
        match self {
            Self::Api { path, .. } => Advice::new(
                "dockerd asks for published ports through this socket and does not start without it",
                if path.as_os_str().len() >= 100 {
                    "choose a shorter state directory: the path of a socket has at most 107 bytes"
                } else {
                    "let the state directory be one that this user may write"
                },
            )
            .with_code(exit::STEP_FAILED),
            // Refused, as with the API's own sockets: nothing is left behind.
            Self::Publish { message, .. } => Advice::new(
                "a port that was asked for with -p must be there before dockerd starts",
                if message.contains("address already in use") {
                    "stop what listens there, or publish another port"
                } else if message.contains("permission denied") {
                    "run the outer container with --sysctl \
                     net.ipv4.ip_unprivileged_port_start=0, or publish a higher port"
                } else {
                    "correct the value of -p"
                },
            ),
            Self::Start { .. } => Advice::new(
                "the process that relays published ports runs with as few rights as it can",
                "look for a seccomp profile or a limit (ulimit -n) that stands in the way",
            )
            .with_code(exit::STEP_FAILED),
        }
    }
}

samples! { PortsError {
    Api { path: "/path".into(), source: errno(libc::EACCES) },
    Api { path: "/long".repeat(20).into(), source: errno(libc::EINVAL) },
    Start { step: "give up rights", source: errno(libc::EPERM) };
    each Publish in ["bind: address already in use", "bind: permission denied", "what is wrong in it"]
        .map(|message| Self::Publish { spec: "80:80/tcp".into(), message: message.into() })
} }
