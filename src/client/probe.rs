//! `dind-init probe`: is our own daemon alive, is it ready? For `HEALTHCHECK` and Kubernetes.
//!
//! It asks the daemon of this very container. `DOCKER_HOST`, `DOCKER_TLS_VERIFY` and
//! `DOCKER_CERT_PATH` are the client's (CI systems pass them to the service container, too) and
//! are never looked at.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::connect;
use super::duration;
use super::endpoint::defaults::runtime_directory;
use super::endpoint::host::STANDARD_SOCKET;
use super::endpoint::{Address, Endpoint, Security};
use super::patience::Patience;
use super::ping::{self, PingError};
use super::resolve::Resolver;
use crate::cli::environment::Environment;
use crate::explain::{self, Explain};

/// What `probe` exits with when the answer is no.
const NO: u8 = 1;

/// Ask the daemon of this container whether it is ready (exit code 0) or not (1).
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct ProbeArgs {
    /// Ask only whether it is alive: its socket takes connections
    #[arg(long)]
    pub live: bool,
    /// Ask whether it answers requests (this is the default)
    #[arg(long, conflicts_with = "live")]
    pub ready: bool,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
    /// Wait so long for the answer
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::parse)]
    pub timeout: Duration,
}

/// The socket of this container's daemon: the first of `DIND_SOCKET_PATHS`, else the standard
/// one, for other users than root the one in their runtime directory.
#[must_use]
pub fn own_socket(env: &Environment, uid: u32) -> PathBuf {
    let listed = env.non_empty("DIND_SOCKET_PATHS").and_then(OsStr::to_str);
    let first =
        listed.and_then(|list| list.split(',').map(str::trim).find(|path| !path.is_empty()));
    if let Some(first) = first {
        return first.strip_prefix("unix://").unwrap_or(first).into();
    }
    if uid == 0 {
        STANDARD_SOCKET.into()
    } else {
        Path::new(&runtime_directory(env, uid)).join("docker.sock")
    }
}

/// Asks, prints one line (or JSON) and returns the exit code.
pub fn run(args: &ProbeArgs, socket: &Path, stdout: &mut dyn Write) -> u8 {
    let endpoint = Endpoint::direct(Address::Unix(socket.into()), Security::Plain);
    let mut patience = Patience::new(args.timeout);
    let answer = if args.live {
        live(&endpoint, socket, &mut patience)
    } else {
        // The address is a path: no name is ever looked up.
        ping::ping(&endpoint, &Resolver::default(), &mut patience).map(|head| head.engine())
    };
    let question = if args.live { "live" } else { "ready" };
    let text = if args.json {
        json(question, &endpoint, &answer)
    } else {
        line(question, &endpoint, &answer)
    };
    // The exit code is the answer: nobody may be reading the text.
    let _ = writeln!(stdout, "{text}");
    if answer.is_ok() { 0 } else { NO }
}

/// Alive is who takes connections, or has so many waiting that the backlog is full.
fn live(
    endpoint: &Endpoint,
    socket: &Path,
    patience: &mut Patience<'_>,
) -> Result<String, PingError> {
    match connect::unix(socket, patience) {
        Ok(_) => Ok("takes connections".into()),
        Err(error) => match PingError::of_connect(endpoint, error) {
            PingError::Busy { .. } => Ok("takes connections, and its backlog is full,".into()),
            failure => Err(failure),
        },
    }
}

fn line(question: &str, endpoint: &Endpoint, answer: &Result<String, PingError>) -> String {
    match answer {
        Ok(what) => format!("{question}: {what} at {endpoint}"),
        Err(error) => {
            let cause = std::error::Error::source(error)
                .map(|source| format!(": {source}"))
                .unwrap_or_default();
            format!("not {question}: {error}{cause} ({})", error.why())
        }
    }
}

fn json(question: &str, endpoint: &Endpoint, answer: &Result<String, PingError>) -> String {
    let mut value = serde_json::json!({
        question: answer.is_ok(),
        "at": endpoint.to_string(),
    });
    let (key, part) = match answer {
        Ok(what) => ("daemon", serde_json::json!(what)),
        Err(error) => ("failure", explain::to_json(error)),
    };
    if let Some(map) = value.as_object_mut() {
        map.insert(key.into(), part);
    }
    value.to_string()
}
