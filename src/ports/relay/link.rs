//! One TCP connection: the client's side, the side in the child namespaces, and what flows.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::sockopt;

use super::flow::{End, Flow, Shared, Turn};
use super::pipes::Pipes;
use super::slab::Key;
use crate::ports::source::Dialled;

/// Which side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// What the server's side is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The connection is under way.
    Dialling(Dialled),
    /// Bytes flow.
    Open,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    /// The port that it came in by.
    pub(super) port: Key,
    pub(super) peer: SocketAddr,
    /// Where the server's side goes to.
    pub(super) target: SocketAddr,
    pub(super) stage: Stage,
    client: End,
    server: End,
    up: Flow,
    down: Flow,
}

/// What an event at the server's side means for a connection that is under way.
#[derive(Debug)]
pub(super) enum Dial {
    Complete,
    Failed(Errno),
    Waits,
}

impl Link {
    pub(super) fn new(
        port: Key,
        peer: SocketAddr,
        target: SocketAddr,
        client: OwnedFd,
        server: OwnedFd,
        dialled: Dialled,
    ) -> Self {
        Self {
            port,
            peer,
            target,
            stage: Stage::Dialling(dialled),
            client: End::new(client),
            server: End::new(server),
            up: Flow::default(),
            down: Flow::default(),
        }
    }

    pub(super) fn socket(&self, side: Side) -> &OwnedFd {
        match side {
            Side::Client => &self.client.socket,
            Side::Server => &self.server.socket,
        }
    }

    /// Remembers an event.
    pub(super) fn note(&mut self, side: Side, flags: EventFlags) {
        match side {
            Side::Client => self.client.note(flags),
            Side::Server => self.server.note(flags),
        }
    }

    /// Looks how the dial goes, after an event at the server's side.
    pub(super) fn dial(&mut self, flags: EventFlags) -> Dial {
        if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
            let error = match sockopt::socket_error(&self.server.socket) {
                Ok(Err(error)) | Err(error) => error,
                Ok(Ok(())) => Errno::CONNRESET,
            };
            return Dial::Failed(error);
        }
        if flags.contains(EventFlags::OUT) {
            self.stage = Stage::Open;
            return Dial::Complete;
        }
        Dial::Waits
    }

    /// Goes on with another socket for the server's side.
    pub(super) fn redial(&mut self, server: OwnedFd, target: SocketAddr) {
        self.target = target;
        self.stage = Stage::Dialling(Dialled::Redialled);
        self.server = End::new(server);
    }

    /// Moves what can be moved, both ways.
    ///
    /// # Errors
    /// When one side is broken: the other must learn it.
    pub(super) fn turn(&mut self, shared: &mut Shared) -> io::Result<Turn> {
        if self.stage != Stage::Open {
            return Ok(Turn::Waits);
        }
        let up = self.up.turn(&mut self.client, &mut self.server, shared)?;
        let down = self.down.turn(&mut self.server, &mut self.client, shared)?;
        Ok(match (up, down) {
            (Turn::Done, Turn::Done) => Turn::Done,
            (Turn::Unfinished, _) | (_, Turn::Unfinished) => Turn::Unfinished,
            _ => Turn::Waits,
        })
    }

    /// Closes both sides; what the kernel still has to send, it sends.
    pub(super) fn close(self, pipes: &mut Pipes) {
        self.up.abandon(pipes);
        self.down.abandon(pipes);
    }

    /// Resets both sides: a client whose connection was refused inside, or broke, sees just that.
    pub(super) fn reset(self, pipes: &mut Pipes) {
        for side in [Side::Client, Side::Server] {
            reset_on_close(self.socket(side));
        }
        self.close(pipes);
    }
}

/// Makes `close(2)` send RST (`SO_LINGER`, `socket(7)`).
pub(super) fn reset_on_close(socket: &OwnedFd) {
    // A socket that is closed already cannot be reset, and need not be.
    let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}
