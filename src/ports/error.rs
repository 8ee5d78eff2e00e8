//! Why the port driver cannot begin.

use std::io;
use std::path::PathBuf;

use crate::base::explain::{Advice, Explain, exit};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_a_remedy_of_its_own() {
        let source = || io::Error::from_raw_os_error(libc::EACCES);
        let publish = |message: &str| PortsError::Publish {
            spec: "0.0.0.0:80:80/tcp".to_owned(),
            message: message.to_owned(),
        };
        let failures = [
            PortsError::Api {
                path: PathBuf::from("/run/x/api.sock"),
                source: source(),
            },
            PortsError::Api {
                path: PathBuf::from(format!("/run/{}/api.sock", "x".repeat(100))),
                source: source(),
            },
            publish("listen tcp4 0.0.0.0:80: bind: address already in use"),
            publish("listen tcp4 0.0.0.0:80: bind: permission denied"),
            publish("conflict with ID 1"),
            PortsError::Start {
                step: "give up rights",
                source: source(),
            },
        ];
        let fixes: std::collections::BTreeSet<String> = failures.iter().map(Explain::fix).collect();
        assert_eq!(fixes.len(), failures.len());
        assert!(failures.iter().all(|failure| !failure.why().is_empty()));
    }
}
