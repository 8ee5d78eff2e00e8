//! Connections into the child namespaces, with the client's own address where that works.
//!
//! A transparent socket (`IP_TRANSPARENT`) has the client's address and port, so that nested
//! containers see who connects. Answers come back to it by rules that [`super::rules`] names.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::route::{Place, Routes};
use crate::sys::datagram::set_transparent;

/// What inner services see as the source of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceAddresses {
    /// An address of the child namespace.
    Hidden,
    /// The client's own; the launcher has applied the rules for it.
    Kept,
}

/// How a connection was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialled {
    /// From an address of our own.
    Plain,
    /// From an address of our own, after the client's was of no use.
    Redialled,
    /// From the client's address.
    Transparent,
}

/// So many connections in a row that are answered only without their client's address end its
/// use: each of them was late.
const FAILURES: u8 = 3;

/// Begins connections.
#[derive(Debug)]
pub(super) struct Dialler {
    /// Absent when source addresses are hidden.
    routes: Option<Routes>,
    failures: u8,
    /// Whether it was said that a client is hidden by a network inside.
    told: bool,
}

impl Dialler {
    pub(super) fn new(addresses: SourceAddresses) -> Self {
        let routes = match addresses {
            SourceAddresses::Hidden => None,
            SourceAddresses::Kept => Routes::open()
                .inspect_err(|error| {
                    tracing::warn!("source addresses of published ports are lost: {error}");
                })
                .ok(),
        };
        Self {
            routes,
            failures: 0,
            told: false,
        }
    }

    /// Learns from a connection that is complete.
    pub(super) fn learn(&mut self, dialled: Dialled) {
        match dialled {
            Dialled::Plain => {}
            Dialled::Redialled => self.failures = self.failures.saturating_add(1),
            Dialled::Transparent => self.failures = 0,
        }
        if self.failures >= FAILURES && self.routes.take().is_some() {
            tracing::warn!(
                "connections with their client's address are not answered: from now on services \
                 see an address of the child namespace; are the rules for it still in place?"
            );
        }
    }

    /// Begins a connection for a client; it is complete when the socket can be written.
    ///
    /// # Errors
    /// What `connect(2)` says at once.
    pub(super) fn dial(
        &mut self,
        target: SocketAddr,
        client: SocketAddr,
    ) -> io::Result<(OwnedFd, Dialled)> {
        if self.may_keep(target, client)
            && let Ok(socket) = transparent(target, client)
        {
            return Ok((socket, Dialled::Transparent));
        }
        Ok((plain(target)?, Dialled::Plain))
    }

    /// Loopback clients have no address that means anything inside. An answer to an address that
    /// is also on an inner network would go to a container there, and the connection would hang:
    /// only a route that leads out will do.
    fn may_keep(&mut self, target: SocketAddr, client: SocketAddr) -> bool {
        let ip = client.ip();
        let Some(routes) = &mut self.routes else {
            return false;
        };
        if target.is_ipv4() != client.is_ipv4()
            || ip.is_loopback()
            || ip.is_unspecified()
            || client.port() == 0
        {
            return false;
        }
        let place = routes.place_of(ip);
        if place == Place::Inside && !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                "client {ip} is in a network that is inside as well: services see an address of \
                 the child namespace instead of the client's; a dockerd --bip or \
                 --default-address-pool clear of the outer network keeps it"
            );
        }
        place == Place::Outside
    }
}

/// A connection from an address of our own.
pub(super) fn plain(target: SocketAddr) -> io::Result<OwnedFd> {
    let socket = stream(target)?;
    begin(&socket, target)?;
    Ok(socket)
}

/// A connection from the client's address. `EADDRINUSE` and `EADDRNOTAVAIL` are normal: one
/// client uses the same port for connections to two of ours.
fn transparent(target: SocketAddr, client: SocketAddr) -> io::Result<OwnedFd> {
    let socket = stream(target)?;
    set_transparent(&socket, target.is_ipv6())?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &client)?;
    begin(&socket, target)?;
    Ok(socket)
}

fn stream(target: SocketAddr) -> io::Result<OwnedFd> {
    let family = match target {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    // Bytes leave as they come; waiting for more is between the two ends.
    sockopt::set_tcp_nodelay(&socket, true)?;
    Ok(socket)
}

fn begin(socket: &OwnedFd, target: SocketAddr) -> io::Result<()> {
    match rustix::net::connect(socket, &target) {
        // After EINTR the connection goes on by itself (connect(2)).
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
