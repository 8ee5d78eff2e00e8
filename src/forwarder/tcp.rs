//! Queries by TCP: a connection to the first server that takes one, and bytes both ways.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

/// Connections at a time; more wait in the listener's queue.
const MOST: usize = 64;

/// A connection on which nothing moves for so long is closed.
const IDLE: Duration = Duration::from_secs(20);

/// A loopback server answers a connect at once or not at all.
const CONNECT: Duration = Duration::from_millis(500);

/// Bytes on their way in one direction.
#[derive(Debug, Default)]
struct Flow {
    bytes: Vec<u8>,
    /// The sender has closed its side.
    ended: bool,
    /// The receiver was told.
    told: bool,
}

impl Flow {
    const ROOM: usize = 16 * 1024;

    fn wants_more(&self) -> bool {
        !self.ended && self.bytes.len() < Self::ROOM
    }

    /// Moves what can be moved; whether anything did.
    fn copy(&mut self, from: &mut TcpStream, to: &mut TcpStream) -> io::Result<bool> {
        let mut moved = false;
        while self.wants_more() {
            let mut buffer = [0; 4096];
            match from.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.bytes
                        .extend_from_slice(buffer.get(..count).unwrap_or_default());
                    moved = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        while !self.bytes.is_empty() {
            match to.write(&self.bytes) {
                Ok(count) => {
                    self.bytes.drain(..count.min(self.bytes.len()));
                    moved = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.ended && self.bytes.is_empty() && !self.told {
            self.told = true;
            let _ = to.shutdown(Shutdown::Write);
        }
        Ok(moved)
    }
}

/// One connection.
#[derive(Debug)]
struct Relay {
    client: TcpStream,
    server: TcpStream,
    query: Flow,
    answer: Flow,
    deadline: Instant,
}

impl Relay {
    fn interest(own: &Flow, other: &Flow) -> PollFlags {
        let read = if own.wants_more() {
            PollFlags::IN
        } else {
            PollFlags::empty()
        };
        let write = if other.bytes.is_empty() {
            PollFlags::empty()
        } else {
            PollFlags::OUT
        };
        read | write
    }
}

/// Every connection.
#[derive(Debug)]
pub(super) struct Relays {
    servers: Vec<SocketAddr>,
    open: Vec<Relay>,
}

impl Relays {
    pub(super) fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            open: Vec::new(),
        }
    }

    pub(super) fn interests(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        self.open.iter().flat_map(|relay| {
            [
                (
                    relay.client.as_fd(),
                    Relay::interest(&relay.query, &relay.answer),
                ),
                (
                    relay.server.as_fd(),
                    Relay::interest(&relay.answer, &relay.query),
                ),
            ]
        })
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.open.iter().map(|relay| relay.deadline).min()
    }

    pub(super) fn accept(&mut self, listener: &TcpListener, now: Instant) {
        while self.open.len() < MOST
            && let Ok((client, _)) = listener.accept()
        {
            let connect = |server| TcpStream::connect_timeout(server, CONNECT).ok();
            let Some(server) = self.servers.iter().find_map(connect) else {
                continue;
            };
            if client.set_nonblocking(true).is_ok() && server.set_nonblocking(true).is_ok() {
                let (query, answer) = (Flow::default(), Flow::default());
                self.open.push(Relay {
                    client,
                    server,
                    query,
                    answer,
                    deadline: now + IDLE,
                });
            }
        }
    }

    pub(super) fn copy(&mut self, now: Instant) {
        self.open.retain_mut(|relay| {
            let Relay {
                client,
                server,
                query,
                answer,
                deadline,
            } = relay;
            let (Ok(there), Ok(back)) = (query.copy(client, server), answer.copy(server, client))
            else {
                return false;
            };
            if there || back {
                *deadline = now + IDLE;
            }
            !(answer.told && (query.told || query.bytes.is_empty()))
        });
    }

    pub(super) fn expire(&mut self, now: Instant) {
        self.open.retain(|relay| relay.deadline > now);
    }
}
