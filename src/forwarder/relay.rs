//! One connection of a client: nobody is asked before it has begun a query; from then on bytes go
//! both ways.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::gate::Gate;
use super::message;

/// A client that has not begun a query is not waited for any longer.
const SILENT: Duration = Duration::from_secs(5);

/// A connection on which nothing moves for so long is closed.
const IDLE: Duration = Duration::from_secs(20);

/// A loopback server answers a connect at once or not at all.
const CONNECT: Duration = Duration::from_millis(500);

/// Two bytes of length come before each message (RFC 1035, 4.2.2).
const PREFIX: usize = 2;

/// That and the header of a message: what is looked at.
const BEGINNING: usize = PREFIX + 12;

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

    /// Reads what there is room for; how much that was.
    fn fill(&mut self, mut from: &TcpStream) -> io::Result<usize> {
        let before = self.bytes.len();
        while self.wants_more() {
            let mut buffer = [0; 4096];
            match from.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => self
                    .bytes
                    .extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.bytes.len() - before)
    }

    /// Writes what is taken; whether anything was.
    fn drain(&mut self, mut to: &TcpStream) -> io::Result<bool> {
        let before = self.bytes.len();
        while !self.bytes.is_empty() {
            match to.write(&self.bytes) {
                Ok(count) => drop(self.bytes.drain(..count.min(self.bytes.len()))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.ended && self.bytes.is_empty() && !self.told {
            self.told = true;
            let _ = to.shutdown(Shutdown::Write);
        }
        Ok(self.bytes.len() < before)
    }
}

/// How far the way to a server is.
#[derive(Debug)]
enum Server {
    /// No query has come.
    None,
    /// Asked for a connection; with the index of the next server.
    Connecting(TcpStream, usize),
    Connected(TcpStream),
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    Ends,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Relay {
    client: TcpStream,
    address: IpAddr,
    server: Server,
    query: Flow,
    answer: Flow,
    deadline: Instant,
}

impl Relay {
    pub(super) fn new(client: TcpStream, address: IpAddr, now: Instant) -> Self {
        Self {
            client,
            address,
            server: Server::None,
            query: Flow::default(),
            answer: Flow::default(),
            deadline: now + SILENT,
        }
    }

    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// When the client may be read from again, where it has to wait for that.
    pub(super) fn resumes(&self, gate: &mut Gate, now: Instant) -> Option<Instant> {
        let wants = self.query.wants_more();
        wants.then(|| gate.next(self.address, now)).flatten()
    }

    /// What is waited for at the client and at the server: only what can be taken then, since the
    /// kernel would tell a hang-up again and again.
    pub(super) fn interests(
        &self,
        gate: &mut Gate,
        now: Instant,
    ) -> [Option<(BorrowedFd<'_>, PollFlags)>; 2] {
        let when = |wanted: bool, flag| if wanted { flag } else { PollFlags::empty() };
        let reads = self.query.wants_more() && self.resumes(gate, now).is_none();
        let client =
            when(reads, PollFlags::IN) | when(!self.answer.bytes.is_empty(), PollFlags::OUT);
        let server = match &self.server {
            Server::None => None,
            Server::Connecting(socket, _) => Some((socket, PollFlags::OUT)),
            Server::Connected(socket) => Some((
                socket,
                when(self.answer.wants_more(), PollFlags::IN)
                    | when(!self.query.bytes.is_empty(), PollFlags::OUT),
            )),
        };
        [Some((&self.client, client)), server].map(|interest| {
            interest
                .filter(|(_, flags)| !flags.is_empty())
                .map(|(socket, flags)| (socket.as_fd(), flags))
        })
    }

    /// Moves what can be moved.
    pub(super) fn advance(
        &mut self,
        servers: &[SocketAddr],
        gate: &mut Gate,
        now: Instant,
    ) -> Fate {
        self.try_advance(servers, gate, now).unwrap_or(Fate::Ends)
    }

    fn try_advance(
        &mut self,
        servers: &[SocketAddr],
        gate: &mut Gate,
        now: Instant,
    ) -> io::Result<Fate> {
        let mut read = 0;
        if self.resumes(gate, now).is_none() {
            read = self.query.fill(&self.client)?;
            gate.pay_bytes(self.address, read, now);
        }
        match &self.server {
            Server::None => {
                return Ok(match begins(&self.query.bytes) {
                    Some(true) => self.connect(servers, 0, now),
                    Some(false) => Fate::Ends,
                    None if self.query.ended => Fate::Ends,
                    None => Fate::Stays,
                });
            }
            Server::Connecting(socket, next) => {
                let next = *next;
                if socket.take_error()?.is_some() {
                    return Ok(self.connect(servers, next, now));
                }
                if socket.peer_addr().is_err() {
                    return Ok(Fate::Stays);
                }
            }
            Server::Connected(_) => {}
        }
        let (server, came_now) = match std::mem::replace(&mut self.server, Server::None) {
            Server::None => return Ok(Fate::Ends),
            Server::Connecting(socket, _) => (socket, true),
            Server::Connected(socket) => (socket, false),
        };
        let moved = self.pass_on(&server)?;
        self.server = Server::Connected(server);
        if moved || read > 0 || came_now {
            self.deadline = now + IDLE;
        }
        let over = self.answer.told && (self.query.told || self.query.bytes.is_empty());
        Ok(if over { Fate::Ends } else { Fate::Stays })
    }

    /// Moves bytes to a server, and from it to the client; whether any moved.
    fn pass_on(&mut self, server: &TcpStream) -> io::Result<bool> {
        let there = self.query.drain(server)?;
        let came = self.answer.fill(server)?;
        let back = self.answer.drain(&self.client)?;
        Ok(there || came > 0 || back)
    }

    /// Turns to the servers from an index on.
    fn connect(&mut self, servers: &[SocketAddr], from: usize, now: Instant) -> Fate {
        let mut rest = (from..).zip(servers.get(from..).unwrap_or_default());
        let begun = rest.find_map(|(at, server)| {
            let socket = crate::sys::net::begin_connect(*server).ok()?;
            Some(Server::Connecting(socket.into(), at + 1))
        });
        match begun {
            Some(server) => {
                (self.server, self.deadline) = (server, now + CONNECT);
                Fate::Stays
            }
            None => Fate::Ends,
        }
    }

    /// What becomes of it when its time is over: a server that is not there is passed over.
    pub(super) fn expire(&mut self, servers: &[SocketAddr], now: Instant) -> Fate {
        match self.server {
            _ if self.deadline > now => Fate::Stays,
            Server::Connecting(_, next) => self.connect(servers, next, now),
            Server::None | Server::Connected(_) => Fate::Ends,
        }
    }

    /// To be closed because others need the place: the client is told at once.
    pub(super) fn give_up(self) {
        crate::sys::net::reset_on_close(&self.client);
    }
}

/// Whether what a client sends begins with a query; nothing when too little came to say.
fn begins(bytes: &[u8]) -> Option<bool> {
    let beginning = bytes.get(..BEGINNING)?;
    let (prefix, header) = beginning.split_at(PREFIX);
    let length = prefix
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    Some(length >= header.len() && message::query(header).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_connection_begins_with_the_length_of_a_query_and_its_header() {
        let mut bytes = [0; BEGINNING];
        assert_eq!(begins(&bytes), Some(false), "no length");
        bytes[1] = 12;
        assert_eq!(begins(&bytes), Some(true));
        assert_eq!(begins(&bytes[..BEGINNING - 1]), None);
        bytes[4] = 0x80;
        assert_eq!(begins(&bytes), Some(false), "an answer");
    }

    proptest! {
        #[test]
        fn any_beginning_is_one_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(begins(&bytes).is_none(), bytes.len() < BEGINNING);
        }
    }
}
