//! UDP: datagrams there and back.

use std::net::SocketAddr;
use std::time::Instant;

use super::poll::{Source, Trigger};
use super::slab::Key;
use super::timers::Timer;
use super::udp::{Client, IDLE, MOST_CLIENTS, run, send};
use super::{Port, Relay};
use crate::ports::source::Dialled;
use crate::sys::datagram::{Batch, Path};

/// Batches that one socket may fill before others get their turn.
const BATCHES: usize = 4;

impl Relay {
    /// From clients to the inside.
    pub(super) fn forward_datagrams(&mut self, key: Key, now: Instant) {
        let mut batch = self.batch.take().unwrap_or_default();
        for _ in 0..BATCHES {
            let Some(Port::Udp(port)) = self.ports.get(key) else {
                break;
            };
            // Errors are of datagrams that we sent, and are taken by asking.
            let Ok(count) = batch.receive(&port.socket) else {
                break;
            };
            self.pass_in(key, &batch, count, now);
            if count < crate::sys::datagram::BATCH {
                break;
            }
        }
        self.batch = Some(batch);
    }

    fn pass_in(&mut self, port: Key, batch: &Batch, count: usize, now: Instant) {
        let mut next = 0;
        while let Some((path, range)) = run(batch, next, count).filter(|_| next < count) {
            next = range.end;
            let Some(key) = self.client(port, path, now) else {
                continue;
            };
            if let Some(client) = self.clients.get_mut(key) {
                client.last = now;
                send(batch, &client.socket, range, None);
            }
        }
    }

    /// The client of a path, which may be new.
    fn client(&mut self, port_key: Key, path: Path, now: Instant) -> Option<Key> {
        let Some(Port::Udp(port)) = self.ports.get(port_key) else {
            return None;
        };
        if let Some(key) = port.clients.get(&path) {
            return Some(*key);
        }
        if port.clients.len() >= MOST_CLIENTS {
            let last = |key: &Key| self.clients.get(*key).map(|client| client.last);
            let oldest = port.clients.values().copied().min_by_key(last);
            oldest.inspect(|key| self.forget(*key));
        }
        let Some(Port::Udp(port)) = self.ports.get_mut(port_key) else {
            return None;
        };
        let peer = SocketAddr::new(path.peer.ip().to_canonical(), path.peer.port());
        let pair = (peer, port.goal.address());
        let free = !self.pairs.contains(&pair);
        let (socket, dialled) = self
            .dialler
            .socket(port.goal, peer, free)
            .inspect_err(|error| tracing::debug!("no socket for a client of UDP: {error}"))
            .ok()?;
        let key = self.clients.insert(Client {
            port: port_key,
            path,
            socket,
            pair: (dialled == Dialled::Transparent).then_some(pair),
            last: now,
        });
        if dialled == Dialled::Transparent {
            self.pairs.insert(pair);
        }
        port.clients.insert(path, key);
        let socket = &self.clients.get(key)?.socket;
        let source = Source::Client(key);
        if self.poll.watch(socket, source, Trigger::Level).is_err() {
            self.forget(key);
            return None;
        }
        self.timers.set(now + IDLE, Timer::Client(key));
        Some(key)
    }

    /// From the inside to a client.
    pub(super) fn return_datagrams(&mut self, key: Key, now: Instant) {
        let mut batch = self.batch.take().unwrap_or_default();
        for _ in 0..BATCHES {
            let Some(client) = self.clients.get_mut(key) else {
                break;
            };
            // Nobody listens inside: taken by asking, and not for the client to know.
            let Ok(count) = batch.receive(&client.socket) else {
                break;
            };
            client.last = now;
            let path = client.path;
            if let Some(Port::Udp(port)) = self.ports.get(client.port) {
                send(&batch, &port.socket, 0..count, Some(&path));
            }
            if count < crate::sys::datagram::BATCH {
                break;
            }
        }
        self.batch = Some(batch);
    }

    pub(super) fn forget_if_idle(&mut self, key: Key, now: Instant) {
        let Some(client) = self.clients.get(key) else {
            return;
        };
        let until = client.last + IDLE;
        if until <= now {
            self.forget(key);
        } else {
            self.timers.set(until, Timer::Client(key));
        }
    }

    pub(super) fn forget(&mut self, key: Key) {
        let Some(client) = self.clients.remove(key) else {
            return;
        };
        if let Some(pair) = client.pair {
            self.pairs.remove(&pair);
        }
        if let Some(Port::Udp(port)) = self.ports.get_mut(client.port) {
            port.clients.remove(&client.path);
        }
    }
}
