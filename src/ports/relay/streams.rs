//! TCP: connections that come in, and what becomes of them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{SocketFlags, sockopt};

use super::flow::Turn;
use super::link::{Dial, Link, Side, Stage, reset_on_close};
use super::poll::{Source, Trigger};
use super::slab::Key;
use super::timers::Timer;
use super::{Port, Relay, STARVED, Task};
use crate::ports::backend::Goal;
use crate::ports::source::{self, Dialled};

/// Connections that are accepted before others get their turn.
const ACCEPTS: usize = 64;

/// The address of the client is given up when its connection is not answered by then: the rules
/// for it may be gone. Inner addresses are near, but the first packet to a new container may be
/// lost, and the kernel sends the second after a second.
const TRANSPARENT: Duration = Duration::from_millis(2500);

/// As Go does for the connections that it accepts.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The outer listener of a port.
#[derive(Debug)]
pub(super) struct TcpPort {
    pub(super) listener: OwnedFd,
    pub(super) goal: Goal,
}

impl TcpPort {
    /// Takes over a listening socket. Accepted sockets inherit its options.
    pub(super) fn new(listener: OwnedFd, goal: Goal) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&listener, true)?;
        sockopt::set_tcp_nodelay(&listener, true)?;
        sockopt::set_socket_keepalive(&listener, true)?;
        sockopt::set_tcp_keepidle(&listener, KEEP_ALIVE)?;
        sockopt::set_tcp_keepintvl(&listener, KEEP_ALIVE)?;
        Ok(Self { listener, goal })
    }
}

impl Relay {
    /// Accepts what has come in by a port.
    pub(super) fn accept(&mut self, key: Key, now: Instant) {
        for _ in 0..ACCEPTS {
            let Some(Port::Tcp(port)) = self.ports.get(key) else {
                return;
            };
            let goal = port.goal;
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match rustix::net::acceptfrom_with(&port.listener, flags) {
                Ok((client, peer)) => {
                    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                    self.connect(key, client, peer, goal, now);
                }
                Err(Errno::AGAIN) => return,
                // The client is gone already, or a packet filter was in the way.
                Err(Errno::INTR | Errno::CONNABORTED | Errno::PERM) => {}
                // Clients wait in the queue until there is room again.
                Err(error) => {
                    tracing::debug!("cannot accept: {error}");
                    self.starved.push(key);
                    self.timers.set(now + STARVED, Timer::Starved);
                    return;
                }
            }
        }
        self.tasks.push_back(Task::Accept(key));
    }

    /// Connects a client to the inside, or resets it: it sees what it would see there.
    fn connect(
        &mut self,
        port: Key,
        client: OwnedFd,
        peer: Option<SocketAddr>,
        goal: Goal,
        now: Instant,
    ) {
        let unknown = SocketAddr::new(IpAddr::from([0; 4]), 0);
        let peer = peer.map_or(unknown, |peer| {
            SocketAddr::new(peer.ip().to_canonical(), peer.port())
        });
        let target = goal.address();
        let (server, dialled) = match self.dialler.dial(goal, peer) {
            Ok(server) => server,
            Err(error) => {
                tracing::debug!("cannot connect to {target}: {error}");
                reset_on_close(&client);
                return;
            }
        };
        let key = self
            .links
            .insert(Link::new(port, peer, target, client, server, dialled));
        if self.watch(key, Side::Client).is_err() || self.watch(key, Side::Server).is_err() {
            self.reset(key);
            return;
        }
        if dialled == Dialled::Transparent {
            self.timers.set(now + TRANSPARENT, Timer::Dial(key));
        }
    }

    fn watch(&self, key: Key, side: Side) -> io::Result<()> {
        let Some(link) = self.links.get(key) else {
            return Ok(());
        };
        let source = Source::Link(key, side);
        self.poll.watch(link.socket(side), source, Trigger::Edge)
    }

    pub(super) fn link_event(&mut self, key: Key, side: Side, flags: EventFlags) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        if let (Side::Server, Stage::Dialling(dialled)) = (side, link.stage) {
            match link.dial(flags) {
                Dial::Complete => self.dialler.learn(dialled, link.target),
                Dial::Failed(error) => {
                    tracing::debug!("cannot connect for {}: {error}", link.peer);
                    match (dialled, error) {
                        // The service has said no, whoever asks.
                        (_, Errno::CONNREFUSED) => self.reset(key),
                        (Dialled::Transparent, _) => self.redial(key),
                        (Dialled::Plain | Dialled::Redialled, _) => self.reset(key),
                    }
                    return;
                }
                Dial::Waits => return,
            }
        }
        if let Some(link) = self.links.get_mut(key) {
            link.note(side, flags);
        }
        self.turn(key);
    }

    /// Moves bytes, and ends the connection when both sides have ended or one is broken.
    pub(super) fn turn(&mut self, key: Key) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        match link.turn(&mut self.shared) {
            Ok(Turn::Waits) => {}
            Ok(Turn::Unfinished) => self.tasks.push_back(Task::Link(key)),
            Ok(Turn::Done) => {
                if let Some(link) = self.links.remove(key) {
                    link.close(&mut self.shared.pipes);
                }
                self.feed();
            }
            Err(_) => self.reset(key),
        }
    }

    /// A transparent connection that is not answered begins again from an address of our own.
    pub(super) fn give_up_source(&mut self, key: Key) {
        let waits = |link: &Link| link.stage == Stage::Dialling(Dialled::Transparent);
        if self.links.get(key).is_some_and(waits) {
            tracing::debug!("a connection with its client's address was not answered");
            self.redial(key);
        }
    }

    fn redial(&mut self, key: Key) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        let Some(Port::Tcp(port)) = self.ports.get(link.port) else {
            return;
        };
        // It may have been told meanwhile which container is there.
        let target = port.goal.address();
        match source::plain(target) {
            Ok(server) => link.redial(server, target),
            Err(_) => return self.reset(key),
        }
        if self.watch(key, Side::Server).is_err() {
            self.reset(key);
        }
    }

    fn reset(&mut self, key: Key) {
        if let Some(link) = self.links.remove(key) {
            link.reset(&mut self.shared.pipes);
        }
        self.feed();
    }
}
