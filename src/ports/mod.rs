//! The port driver: published ports of the outer network namespace lead into the child's, and
//! dockerd says by a REST API which.
//!
//! ```text
//! PID 1, outer namespaces          relay process, child namespaces
//! bind::BindService  ◀─ question ─  bind::BindClient
//!                    ── listener ─▶ relay ── connect ─▶ container, docker-proxy
//!                                   api.sock ◀── dockerd, docker-proxy
//! ```
//!
//! A listener keeps the namespace in which it was made, so PID 1 binds once for each port, and no
//! byte passes through it. The relay runs in a process of its own, as `nobody` with `CAP_NET_RAW`
//! of its user namespace at most. [`run`] is that process; everything that decides is pure.

pub mod address;
pub mod api;
pub mod backend;
pub mod bind;
mod error;
mod relay;
mod route;
mod source;
pub mod table;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::sys::signal::{SigSet, Signal};
use rustix::net::SocketType;
use rustix::process::{Resource, Rlimit};

use self::api::info::Info;
use self::bind::BindClient;
pub use self::error::PortsError;
use self::relay::Relay;
pub use self::source::SourceAddresses;
use crate::config::rootless::port::PortSpec;
use crate::files;

/// What the relay needs to begin.
#[derive(Debug)]
pub struct Setup {
    /// What the API tells.
    pub info: Info,
    /// The API's socket, from [`listen_api`].
    pub api: OwnedFd,
    /// The inner end of [`bind::pair`].
    pub binds: BindClient,
    /// Ports that are published from the start, in the order of the command line.
    pub publish: Vec<PortSpec>,
    /// What inner services see as the source of connections.
    pub source_addresses: SourceAddresses,
    /// How many relays there were before; their ids are not given out again.
    pub number: u32,
    /// Gets one byte when the ports are published and the API is served; closed without, the
    /// relay has failed.
    pub ready: OwnedFd,
}

/// Makes the API's socket: only its owner may connect, and the kernel queues clients until the
/// relay runs.
///
/// # Errors
/// [`PortsError::Api`], with the path.
pub fn listen_api(path: &Path) -> Result<OwnedFd, PortsError> {
    let listen = || -> io::Result<OwnedFd> {
        let (socket, _) = files::socket::bind(path, SocketType::STREAM, 0o600, None)?;
        crate::sys::net::listen(&socket)?;
        Ok(socket)
    };
    listen().map_err(|source| PortsError::Api {
        path: path.to_owned(),
        source,
    })
}

/// The relay process: gives its rights up and serves until PID 1 is gone. It needs the child's
/// network namespace, no other descriptor, and no thread beside it.
///
/// # Errors
/// When a port cannot be published, or the kernel refuses something that it never refuses.
pub fn run(setup: Setup) -> Result<(), PortsError> {
    let failed = |step| move |source| PortsError::Start { step, source };
    crate::sys::confine::give_up_rights_but(caps::Capability::CAP_NET_RAW)
        .map_err(failed("give up rights"))?;
    serve(setup)
}

/// As [`run`], with the rights that the process has.
///
/// # Errors
/// As for [`run`].
pub fn serve(setup: Setup) -> Result<(), PortsError> {
    let failed = |step| move |source| PortsError::Start { step, source };
    // splice(2) to a broken connection raises it, and has no flag against that.
    let mut pipe = SigSet::empty();
    pipe.add(Signal::SIGPIPE);
    pipe.thread_block()
        .map_err(|errno| failed("block SIGPIPE")(errno.into()))?;
    use_every_descriptor();
    let Setup {
        info,
        api,
        binds,
        publish,
        source_addresses,
        number,
        ready,
    } = setup;
    let mut relay = Relay::new(info, api, binds, source_addresses, number)
        .map_err(failed("make an epoll instance"))?;
    for spec in publish {
        let text = spec.to_string();
        relay.publish(spec).map_err(|message| PortsError::Publish {
            spec: text,
            message,
        })?;
    }
    // Whoever waits for it is gone if this fails, and the bind service with it.
    let _ = rustix::io::write(&ready, b"1");
    drop(ready);
    relay.run().map_err(failed("wait for events"))
}

/// Raises the soft limit: every connection takes two descriptors.
fn use_every_descriptor() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // With the old limit there is room for fewer connections at a time, and no more harm.
    let _ = rustix::process::setrlimit(Resource::Nofile, raised);
}
