//! Ways into the child namespaces, with the client's own address where that works.
//!
//! A transparent socket (`IP_TRANSPARENT`) has the client's address and port, so that nested
//! containers see who connects. Answers come back to it by rules that [`crate::plan::rootless::source_rules`] names.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::backend::{Clients, Goal};
use super::route::{Place, Routes};
use crate::sys::datagram::set_transparent;

/// What inner services see as the source of what reaches them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceAddresses {
    /// An address of the child namespace.
    Hidden,
    /// The client's own; the launcher has applied the rules for it.
    Kept,
    /// The client's own over IPv4; the rules for IPv6 could not be applied.
    KeptOver4,
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
    v4: Kept,
    v6: Kept,
    told: Told,
}

/// Whether the addresses of one family are kept.
#[derive(Debug, Clone, Copy)]
struct Kept {
    on: bool,
    failures: u8,
}

/// What was said already: each once.
#[derive(Debug, Default)]
struct Told {
    /// That a client is hidden by a network inside.
    inside: bool,
    /// That datagrams go by docker-proxy, or by dockerd's rules.
    no_container: bool,
}

impl Dialler {
    pub(super) fn new(addresses: SourceAddresses) -> Self {
        let routes = match addresses {
            SourceAddresses::Hidden => None,
            SourceAddresses::Kept | SourceAddresses::KeptOver4 => Routes::open()
                .inspect_err(|error| {
                    tracing::warn!("source addresses of published ports are lost: {error}");
                })
                .ok(),
        };
        let kept = |on| Kept { on, failures: 0 };
        Self {
            routes,
            v4: kept(true),
            v6: kept(addresses == SourceAddresses::Kept),
            told: Told::default(),
        }
    }

    fn family(&mut self, target: SocketAddr) -> &mut Kept {
        match target {
            SocketAddr::V4(_) => &mut self.v4,
            SocketAddr::V6(_) => &mut self.v6,
        }
    }

    /// Learns from a connection that is complete.
    pub(super) fn learn(&mut self, dialled: Dialled, target: SocketAddr) {
        let kept = self.family(target);
        match dialled {
            Dialled::Plain => {}
            Dialled::Redialled => kept.failures = kept.failures.saturating_add(1),
            Dialled::Transparent => kept.failures = 0,
        }
        if kept.failures >= FAILURES && std::mem::replace(&mut kept.on, false) {
            let family = if target.is_ipv4() { "IPv4" } else { "IPv6" };
            tracing::warn!(
                "connections over {family} with their client's address are not answered: from now \
                 on services see an address of the child namespace; are the rules for it still in \
                 place?"
            );
        }
    }

    /// Begins a connection for a client; it is complete when the socket can be written.
    ///
    /// # Errors
    /// What `connect(2)` says at once.
    pub(super) fn dial(
        &mut self,
        goal: Goal,
        client: SocketAddr,
    ) -> io::Result<(OwnedFd, Dialled)> {
        let target = goal.address();
        if self.may_keep(goal, client) {
            match transparent(SocketType::STREAM, target, client) {
                Ok(socket) => return Ok((socket, Dialled::Transparent)),
                Err(error) => hidden(client, target, &error),
            }
        }
        Ok((plain(target)?, Dialled::Plain))
    }

    /// A socket for the datagrams of a client, and whether it has the client's address. That is
    /// done straight to a container alone: what docker-proxy gets it sends on from its own, and
    /// what dockerd's rules lead on is not always answered. `free` says whether no other socket
    /// has both addresses: the kernel would give the answers for both to one of them.
    ///
    /// # Errors
    /// What `socket(2)` and `connect(2)` say.
    pub(super) fn socket(
        &mut self,
        goal: Goal,
        client: SocketAddr,
        free: bool,
    ) -> io::Result<(OwnedFd, Dialled)> {
        let target = goal.address();
        if goal.container().is_none() {
            self.tell_of_datagrams(goal, client);
        } else if free && self.may_keep(goal, client) {
            match transparent(SocketType::DGRAM, target, client) {
                Ok(socket) => return Ok((socket, Dialled::Transparent)),
                Err(error) => hidden(client, target, &error),
            }
        }
        let socket = open(SocketType::DGRAM, target)?;
        rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &target))?;
        Ok((socket, Dialled::Plain))
    }

    fn tell_of_datagrams(&mut self, goal: Goal, client: SocketAddr) {
        let target = goal.address();
        let kept = self.routes.is_some()
            && self.family(target).on
            && goal.clients() == Clients::Outside
            && !client.ip().is_loopback();
        if kept && !std::mem::replace(&mut self.told.no_container, true) {
            tracing::warn!(
                "docker-proxy has not told which container is behind {target}: services see an \
                 address of the child namespace instead of {}, as for all clients of UDP \
                 with userland-proxy=false or a userland-proxy-path of yours",
                client.ip()
            );
        }
    }

    /// Loopback clients have no address that means anything inside, and one of a link means
    /// something on that link alone. An answer to an address that is also on an inner network would
    /// go to a container there, and the connection would hang: only a route that leads out will do.
    fn may_keep(&mut self, goal: Goal, client: SocketAddr) -> bool {
        let (ip, target) = (client.ip(), goal.address());
        let of_link = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        if !self.family(target).on
            || goal.clients() == Clients::Inside
            || target.is_ipv4() != client.is_ipv4()
            || ip.is_loopback()
            || ip.is_unspecified()
            || of_link
            || client.port() == 0
        {
            return false;
        }
        let Some(routes) = &mut self.routes else {
            return false;
        };
        let place = routes.place_of(ip);
        if place == Place::Inside && !std::mem::replace(&mut self.told.inside, true) {
            tracing::warn!(
                "client {ip} is in a network that is inside as well: services see an address of \
                 the child namespace instead of the client's; a dockerd --bip or \
                 --default-address-pool clear of the outer network keeps it"
            );
        }
        place == Place::Outside
    }
}

/// Usual for one client at a time (`EADDRINUSE`), and otherwise what a support case asks for.
fn hidden(client: SocketAddr, target: SocketAddr, error: &io::Error) {
    tracing::debug!("{target} sees an address of the child namespace instead of {client}: {error}");
}

/// A connection from an address of our own.
pub(super) fn plain(target: SocketAddr) -> io::Result<OwnedFd> {
    let socket = open(SocketType::STREAM, target)?;
    begin(&socket, target)?;
    Ok(socket)
}

/// A connection from the client's address. `EADDRINUSE` and `EADDRNOTAVAIL` are normal: one
/// client uses the same port for connections to two of ours.
fn transparent(kind: SocketType, target: SocketAddr, client: SocketAddr) -> io::Result<OwnedFd> {
    let socket = open(kind, target)?;
    set_transparent(&socket, target.is_ipv6())?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &client)?;
    begin(&socket, target)?;
    Ok(socket)
}

fn open(kind: SocketType, target: SocketAddr) -> io::Result<OwnedFd> {
    let family = match target {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, kind, flags, None)?;
    if kind == SocketType::STREAM {
        // Bytes leave as they come; waiting for more is between the two ends.
        sockopt::set_tcp_nodelay(&socket, true)?;
    }
    Ok(socket)
}

fn begin(socket: &OwnedFd, target: SocketAddr) -> io::Result<()> {
    match rustix::net::connect(socket, &target) {
        // After EINTR the connection goes on by itself (connect(2)).
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
