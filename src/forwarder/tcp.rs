//! Queries by TCP: the table of connections.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::REST;
use super::gate::{CONNECTION, Gate, loser};
use super::relay::{Fate, Relay};
use crate::sys::datagram::interface_of;
use crate::sys::net::reset_on_close;

/// Connections at a time; beyond that the client that has the most loses the one that is nearest
/// to its end.
const MOST: usize = 64;

/// Connections that a turn takes.
const ACCEPTS: usize = 64;

/// For so long the listener is left alone when the kernel can give us nothing for a connection:
/// it would go on telling that there is one.
const SHORTAGE: Duration = Duration::from_millis(100);

/// Every connection.
#[derive(Debug)]
pub(super) struct Relays {
    servers: Vec<SocketAddr>,
    open: Vec<Relay>,
    /// The listener is not looked at before.
    rest: Option<Instant>,
}

impl Relays {
    pub(super) fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            open: Vec::new(),
            rest: None,
        }
    }

    /// What is waited for, with the place of its connection.
    pub(super) fn interests(
        &self,
        gate: &mut Gate,
        now: Instant,
    ) -> impl Iterator<Item = (usize, BorrowedFd<'_>, PollFlags)> {
        let open = self.open.iter().enumerate();
        open.flat_map(move |(place, relay)| {
            let both = relay.interests(gate, now).into_iter().flatten();
            both.map(move |(socket, flags)| (place, socket, flags))
        })
    }

    /// Whether the listener is to be waited for.
    pub(super) fn listens(&self) -> bool {
        self.rest.is_none()
    }

    pub(super) fn deadline(&self, gate: &mut Gate, now: Instant) -> Option<Instant> {
        let of = |relay: &Relay| {
            relay
                .resumes(gate, now)
                .into_iter()
                .chain([relay.deadline()])
        };
        self.open.iter().flat_map(of).chain(self.rest).min()
    }

    /// Takes new connections.
    pub(super) fn accept(&mut self, listener: &TcpListener, gate: &mut Gate, now: Instant) {
        let mut turned_away = false;
        for _ in 0..ACCEPTS {
            match listener.accept() {
                Ok((client, from)) => {
                    let address = from.ip();
                    let admitted = gate.admits(interface_of(&client), address)
                        && gate.pay(address, CONNECTION, now)
                        && client.set_nonblocking(true).is_ok();
                    if admitted {
                        self.make_room(address);
                        self.open.push(Relay::new(client, address, now));
                    } else {
                        reset_on_close(&client);
                        turned_away = true;
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        self.rest = turned_away.then(|| now + REST);
                        return;
                    }
                    // Somebody who has gone again.
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                    _ => {
                        self.rest = Some(now + SHORTAGE);
                        return;
                    }
                },
            }
        }
    }

    fn make_room(&mut self, newcomer: IpAddr) {
        if self.open.len() < MOST {
            return;
        }
        let Some(loser) = loser(self.open.iter().map(Relay::address), newcomer) else {
            return;
        };
        let theirs = self.open.iter().enumerate();
        let theirs = theirs.filter(|(_, relay)| relay.address() == loser);
        if let Some((place, _)) = theirs.min_by_key(|(_, relay)| relay.deadline()) {
            self.open.remove(place).give_up();
        }
    }

    /// Moves what came for some of the connections, by their places.
    pub(super) fn advance(&mut self, ready: &BTreeSet<usize>, gate: &mut Gate, now: Instant) {
        let mut ended = Vec::new();
        for &place in ready {
            if let Some(relay) = self.open.get_mut(place)
                && relay.advance(&self.servers, gate, now) == Fate::Ends
            {
                ended.push(place);
            }
        }
        // From the end, so that the places before stay true.
        for place in ended.into_iter().rev() {
            self.open.remove(place);
        }
    }

    pub(super) fn expire(&mut self, now: Instant) {
        self.rest = self.rest.filter(|rest| *rest > now);
        let servers = &self.servers;
        self.open
            .retain_mut(|relay| relay.expire(servers, now) == Fate::Stays);
    }
}
