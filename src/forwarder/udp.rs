//! Queries by UDP: each goes out from a socket of its own, so that the kernel matches the answer
//! and guessed ports are as hard as they were.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::gate::{Gate, loser};
use super::message;
use super::{REST, TIMEOUT};
use crate::sys::datagram::{BATCH, Batch, Path, send_back};

/// Queries under way; beyond that the client that has the most loses its oldest.
const MOST: usize = 256;

/// Longer queries are not taken: one name and the options of EDNS stay far below that.
const LONGEST: usize = 4096;

/// The longest answer that there is.
const LARGEST: usize = 65_535;

/// Times that a turn looks for more datagrams: 512 of them, then answers have their turn.
const LOOKS: usize = 32;

/// Our address over loopback: an answer that was told to leave there would not find its way.
const LOOPBACK: u32 = 1;

/// One query under way.
#[derive(Debug)]
struct Exchange {
    /// Where the answer goes: to who asked, over the interface that the query came over.
    back: Path,
    query: Vec<u8>,
    socket: UdpSocket,
    /// Index of the next server to be asked.
    next: usize,
    deadline: Instant,
}

/// Every query under way, oldest first.
#[derive(Debug)]
pub(super) struct Exchanges {
    servers: Vec<SocketAddr>,
    open: VecDeque<Exchange>,
    batch: Batch,
    buffer: Vec<u8>,
    /// The listener is not looked at before.
    rest: Option<Instant>,
}

impl Exchanges {
    pub(super) fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            open: VecDeque::new(),
            batch: Batch::default(),
            buffer: vec![0; LARGEST],
            rest: None,
        }
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.open.iter().map(|exchange| exchange.socket.as_fd())
    }

    /// Whether the listener is to be waited for.
    pub(super) fn listens(&self) -> bool {
        self.rest.is_none()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let open = self.open.iter().map(|exchange| exchange.deadline);
        open.chain(self.rest).min()
    }

    /// Takes new queries and passes them on.
    ///
    /// Whoever asks too often, or nonsense, costs the reading of a datagram and nothing more. All
    /// clients share the socket's buffer, so it is emptied at once; and when somebody was turned away it is left alone for a moment, so that a flood is read by the
    /// dozen and not with a wake-up each.
    pub(super) fn take(&mut self, listener: &UdpSocket, gate: &mut Gate, now: Instant) {
        let mut turned_away = false;
        for _ in 0..LOOKS {
            let count = self.batch.receive(listener).unwrap_or_default();
            for index in 0..count {
                turned_away |= !self.one(index, gate, now);
            }
            if count < BATCH {
                self.rest = turned_away.then(|| now + REST);
                return;
            }
        }
    }

    /// Takes one datagram of the batch; whether it was taken.
    fn one(&mut self, index: usize, gate: &mut Gate, now: Instant) -> bool {
        let (interface, bytes) = (self.batch.interface(index), self.batch.bytes(index));
        let Some(mut back) = self.batch.path(index) else {
            return false;
        };
        let client = back.peer.ip();
        // The interface first: of a stranger's datagram the sender's address may be a lie as well.
        if !gate.admits(interface, client) || !gate.pay(client, 1, now) {
            return false;
        }
        let asks = bytes.len() <= LONGEST && message::query(bytes).is_some();
        // Nobody can be answered on port 0.
        if !asks || back.peer.port() == 0 {
            return false;
        }
        // Whoever claims an address outside does not make us send anything there.
        back.interface = if interface == LOOPBACK { 0 } else { interface };
        let query = bytes.to_vec();
        if let Some((socket, next)) = ask(&self.servers, &query, 0) {
            self.make_room(client);
            self.open.push_back(Exchange {
                back,
                query,
                socket,
                next,
                deadline: now + TIMEOUT,
            });
        }
        true
    }

    fn make_room(&mut self, newcomer: IpAddr) {
        let client = |exchange: &Exchange| exchange.back.peer.ip();
        if self.open.len() >= MOST
            && let Some(loser) = loser(self.open.iter().map(client), newcomer)
            && let Some(oldest) = self.open.iter().position(|open| client(open) == loser)
        {
            self.open.remove(oldest);
        }
    }

    /// Passes on what came for some of the queries, by their places. A refused port
    /// (`ECONNREFUSED`) lets the next server be asked at once.
    pub(super) fn answer(&mut self, ready: &[usize], listener: &UdpSocket, now: Instant) {
        let mut over = Vec::new();
        for &place in ready {
            let Some(exchange) = self.open.get_mut(place) else {
                continue;
            };
            let done = match exchange.socket.recv(&mut self.buffer) {
                Ok(length) => {
                    let bytes = self.buffer.get(..length).unwrap_or_default();
                    let answers = message::answers(&exchange.query, bytes);
                    if answers {
                        // The client may be gone; nothing can be done about that.
                        let _ = send_back(listener, bytes, &exchange.back);
                    }
                    answers
                }
                Err(error) if is_nothing(&error) => false,
                Err(_) => !exchange.ask_next(&self.servers, now),
            };
            if done {
                over.push(place);
            }
        }
        // From the end, so that the places before stay true.
        over.sort_unstable();
        for place in over.into_iter().rev() {
            self.open.remove(place);
        }
    }

    /// Asks the next server for queries whose time is over; after the last the client's own
    /// the time is over, and it asks again.
    pub(super) fn expire(&mut self, now: Instant) {
        self.rest = self.rest.filter(|rest| *rest > now);
        let servers = &self.servers;
        self.open
            .retain_mut(|open| open.deadline > now || open.ask_next(servers, now));
    }
}

impl Exchange {
    /// Asks the next server; whether one took the query.
    fn ask_next(&mut self, servers: &[SocketAddr], now: Instant) -> bool {
        let asked = ask(servers, &self.query, self.next);
        asked.is_some_and(|(socket, next)| {
            (self.socket, self.next, self.deadline) = (socket, next, now + TIMEOUT);
            true
        })
    }
}

fn is_nothing(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted)
}

/// Asks the servers from an index on; the socket of the first that takes the query, and the index
/// after it.
fn ask(servers: &[SocketAddr], query: &[u8], from: usize) -> Option<(UdpSocket, usize)> {
    (from..).zip(servers.get(from..)?).find_map(|(at, server)| {
        let socket = connect(*server)?;
        socket.send(query).ok()?;
        Some((socket, at + 1))
    })
}

fn connect(server: SocketAddr) -> Option<UdpSocket> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(server).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}
