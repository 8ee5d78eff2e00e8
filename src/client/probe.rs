//! `dind-init probe`: is our own daemon alive, is it ready? For `HEALTHCHECK` and Kubernetes.
//!
//! Alive is a PID 1 whose own loop answers on its status socket; ready is an API that answers. A
//! socket that takes connections says neither: the kernel takes them for a process that hangs.
//!
//! It asks the daemon of this very container. `DOCKER_HOST`, `DOCKER_TLS_VERIFY` and
//! `DOCKER_CERT_PATH` are the client's (CI systems pass them to the service container, too) and
//! are never looked at.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::duration;
use super::own::{self, NoAnswer, Place};
use super::ping::{self, PingError};
use crate::base::environment::Environment;
use crate::base::explain::{self, Failure};
use crate::base::printable;
use crate::config::lifetime::runtime_dir;
use crate::config::settings;
use crate::endpoint::host::STANDARD_SOCKET;
use crate::endpoint::{Address, Endpoint, Security};
use crate::net::deadline::Deadline;
use crate::net::resolve::Resolver;
use crate::supervise::status::STATUS_SOCKET;

/// What `probe` exits with when the answer is no.
const NO: u8 = 1;

/// Ask the daemon of this container whether it is ready (exit code 0) or not (1).
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct ProbeArgs {
    /// Ask only whether it is alive: the loop of PID 1 answers, whatever dockerd does
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
    if let Some(first) = settings::SOCKET_PATHS.of(env).into_iter().next() {
        return first;
    }
    if uid == 0 {
        STANDARD_SOCKET.into()
    } else {
        runtime_dir(env, uid).join("docker.sock")
    }
}

/// Asks, prints one line (or JSON) and returns the exit code. `guess` is where the API socket
/// should be when nobody tells.
pub fn run(args: &ProbeArgs, places: &[Place], guess: &Path, stdout: &mut dyn Write) -> u8 {
    let (question, at, answer) = if args.live {
        let answer = live(places, args.timeout);
        let at = answer.as_ref().map(|(at, _)| at.clone()).ok();
        (
            "live",
            at,
            answer.map(|(_, what)| what).map_err(Failure::from),
        )
    } else {
        let (endpoint, answer) = ready(places, guess, args.timeout);
        ("ready", Some(endpoint.to_string()), answer)
    };
    let text = if args.json {
        json(question, at.as_deref(), &answer)
    } else {
        line(question, at.as_deref(), &answer)
    };
    // The exit code is the answer: nobody may be reading the text.
    let _ = writeln!(stdout, "{text}");
    if answer.is_ok() { 0 } else { NO }
}

/// Alive is a PID 1 whose loop answers.
fn live(places: &[Place], timeout: Duration) -> Result<(String, String), NoAnswer> {
    let (place, status) = own::ask(places, &mut Deadline::new(timeout))?;
    let at = place.dir.join(STATUS_SOCKET);
    let what = format!("PID {} answers (state {})", status.pid, status.state);
    Ok((format!("unix://{}", at.display()), what))
}

/// Ready is an API that answers. PID 1 is only asked where that is: that it hangs is for the other
/// question, and most of the time is for dockerd's answer.
fn ready(places: &[Place], guess: &Path, timeout: Duration) -> (Endpoint, Result<String, Failure>) {
    let until = Instant::now() + timeout;
    let known = own::look(places, timeout / 4);
    let socket = known.status.and_then(|status| status.socket);
    let address = Address::Unix(socket.unwrap_or_else(|| guess.to_owned()));
    let endpoint = Endpoint::direct(address, Security::Plain);
    let left = until.saturating_duration_since(Instant::now());
    // The address is a path: no name is ever looked up.
    let ask = || ping::ping(&endpoint, &Resolver::default(), &mut Deadline::new(left));
    let answer = match (ask(), known.place) {
        (Err(PingError::Denied { .. }), Some(place)) => place.as_owner(ask),
        (answer, _) => answer,
    };
    let answer = answer.map(|head| head.engine()).map_err(Failure::from);
    (endpoint, answer)
}

fn line(question: &str, at: Option<&str>, answer: &Result<String, Failure>) -> String {
    let text = match answer {
        Ok(what) => format!("{question}: {what} at {}", at.unwrap_or("an unknown place")),
        Err(error) => format!(
            "not {question}: {} ({})",
            explain::chain(error.as_ref()),
            error.why()
        ),
    };
    printable::line(&text).to_string()
}

fn json(question: &str, at: Option<&str>, answer: &Result<String, Failure>) -> String {
    let mut value = serde_json::json!({ question: answer.is_ok(), "at": at });
    let (key, part) = match answer {
        Ok(what) => ("daemon", serde_json::json!(what)),
        Err(error) => ("failure", explain::to_json(error.as_ref())),
    };
    if let Some(map) = value.as_object_mut() {
        map.insert(key.into(), part);
    }
    printable::json(&value)
}
