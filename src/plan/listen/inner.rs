//! Where a rootless daemon's unix sockets are. Only the user's own directories can be written out
//! here; in dockerd's namespaces `/run` is a writable copy, as with the official scripts.

use std::path::{Path, PathBuf};

use super::{ListenPlan, PlannedSocket};
use crate::config::address::{Address, DEFAULT_UNIX};
use crate::config::{Config, Mode};
use crate::host::listen::{ListenFacts, PathState};
use crate::plan::listen_refusal::ListenRefusal;

/// What comes of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// It is bound here.
    Here(PathBuf),
    /// dockerd binds it in its namespaces.
    Inside(PathBuf),
    /// It is passed over, and said.
    Nowhere,
}

/// Where the socket of a path is, for whoever we are.
pub(super) fn place(
    plan: &mut ListenPlan,
    config: &Config,
    facts: &ListenFacts,
    path: PathBuf,
) -> Result<Place, ListenRefusal> {
    if config.mode() == Mode::Rootful {
        return Ok(Place::Here(path));
    }
    let (uid, own) = (config.identity.uid, config.own_socket());
    if facts.links.get(&path) == Some(&own) {
        // The image leads the standard path to where it is served.
        return Ok(Place::Here(own));
    }
    if !facts.closed.contains(&path) {
        return Ok(Place::Here(path));
    }
    let (shown, own) = (path.display().to_string(), own.display());
    let taken = taken(facts, &path);
    if taken.is_some() && from_environment(config, &path) {
        return Ok(Place::Nowhere); // `strangers` says it
    }
    if let Some(mounted) = taken {
        return Err(ListenRefusal::LiveSocket { path, mounted });
    }
    if copied_up(&path) {
        plan.notes.push(format!(
            "uid {uid} cannot make {shown}: dockerd makes it in its namespaces, for nested \
             containers to mount; out here the API is at unix://{own}"
        ));
        return Ok(Place::Inside(path));
    }
    if from_environment(config, &path) {
        plan.notes.push(format!(
            "DOCKER_HOST=unix://{shown} is passed over: uid {uid} cannot make that socket; the API \
             is at unix://{own}"
        ));
        return Ok(Place::Nowhere);
    }
    Err(ListenRefusal::Closed { path, uid })
}

/// Says who serves the clients of the standard path where that is not us: a socket of the user's
/// that was mounted there, or one that an earlier daemon left. A user can take away neither, and
/// the image's link may lead to them.
pub(super) fn strangers(plan: &mut ListenPlan, config: &Config, facts: &ListenFacts) {
    let Some((path, state)) = &facts.standard else {
        return;
    };
    let ours = |socket: &PlannedSocket| matches!(socket, PlannedSocket::Unix { path: own, .. } if own == path);
    if plan.sockets.iter().any(ours) {
        return;
    }
    let who = match state {
        PathState::LiveSocket { mounted: true } => "is a socket that was mounted there",
        PathState::LiveSocket { mounted: false } => "is a socket of another daemon",
        PathState::DeadSocket { .. } => "is a socket that nobody serves",
        _ => return,
    };
    plan.notes.push(format!(
        "{DEFAULT_UNIX} {who}, and is left alone: clients in here that have no DOCKER_HOST do not \
         reach this daemon; its API is at unix://{}",
        config.own_socket().display()
    ));
}

/// Whether somebody else serves a path, by a mount or not: a socket of dockerd's would hide it from
/// nested containers.
fn taken(facts: &ListenFacts, path: &Path) -> Option<bool> {
    match &facts.standard {
        Some((_, PathState::LiveSocket { mounted })) if copied_up(path) => {
            (path.file_name() == Path::new(DEFAULT_UNIX).file_name()).then_some(*mounted)
        }
        _ => None,
    }
}

/// Whether a path is right in a directory that dockerd's namespaces have as a writable copy. What
/// is below a directory in there is the outer one.
fn copied_up(path: &Path) -> bool {
    let above = path.parent();
    ["/run", "/var/run"]
        .iter()
        .any(|dir| above == Some(Path::new(dir)))
}

/// CI systems pass the client's variable to the daemon's container, too; a flag is a request.
fn from_environment(config: &Config, path: &Path) -> bool {
    let path = Address::Unix(path.to_owned());
    let is = |text: &str| Address::parse(text, &path).as_ref() == Ok(&path);
    let flags = config.daemon.values("host");
    config.docker_host.as_deref().is_some_and(is)
        && !flags.iter().any(|host| is(host))
        && !config
            .socket_paths
            .iter()
            .any(|listed| Address::Unix(listed.clone()) == path)
}
