//! Queries by UDP: each goes out from a socket of its own, so that the kernel matches the answer
//! and guessed ports are as hard as they were.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::PATIENCE;

/// Queries under way; beyond that the oldest is given up, as any resolver under load would.
const MOST: usize = 256;

/// The largest message of DNS over UDP with EDNS that is in use, and more.
const LARGEST: usize = 65_535;

/// One query under way.
#[derive(Debug)]
struct Exchange {
    client: SocketAddr,
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
    buffer: Vec<u8>,
}

impl Exchanges {
    pub(super) fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            open: VecDeque::new(),
            buffer: vec![0; LARGEST],
        }
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.open.iter().map(|exchange| exchange.socket.as_fd())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.open.iter().map(|exchange| exchange.deadline).min()
    }

    /// Takes new queries and passes them on.
    pub(super) fn take(&mut self, listener: &UdpSocket, now: Instant) {
        while let Ok((length, client)) = listener.recv_from(&mut self.buffer) {
            let query = self.buffer.get(..length).unwrap_or_default().to_vec();
            self.ask(client, query, 0, now);
        }
    }

    /// Asks the servers from an index on; the first that takes the query is waited for.
    fn ask(&mut self, client: SocketAddr, query: Vec<u8>, from: usize, now: Instant) {
        for (index, server) in self.servers.iter().enumerate().skip(from) {
            let Some(socket) = connect(*server) else {
                continue;
            };
            if socket.send(&query).is_err() {
                continue;
            }
            if self.open.len() >= MOST {
                self.open.pop_front();
            }
            let deadline = now + PATIENCE;
            self.open.push_back(Exchange {
                client,
                query,
                socket,
                next: index + 1,
                deadline,
            });
            return;
        }
    }

    /// Passes answers on. A refused port (`ECONNREFUSED`) lets the next server be asked at once.
    pub(super) fn answer(&mut self, listener: &UdpSocket) {
        let mut refused = Vec::new();
        let buffer = &mut self.buffer;
        self.open
            .retain(|exchange| match exchange.socket.recv(buffer) {
                Ok(length) => {
                    // The client may be gone; nothing can be done about that.
                    let _ =
                        listener.send_to(buffer.get(..length).unwrap_or_default(), exchange.client);
                    false
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => true,
                Err(_) => {
                    refused.push((exchange.client, exchange.query.clone(), exchange.next));
                    false
                }
            });
        let now = Instant::now();
        for (client, query, next) in refused {
            self.ask(client, query, next, now);
        }
    }

    /// Asks the next server for queries whose time is over; after the last the client's own
    /// patience ends, and it asks again.
    pub(super) fn expire(&mut self, now: Instant) {
        let all: Vec<Exchange> = self.open.drain(..).collect();
        let (late, open): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|exchange| exchange.deadline <= now);
        self.open.extend(open);
        for exchange in late {
            self.ask(exchange.client, exchange.query, exchange.next, now);
        }
    }
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
