//! The API's clients, and the ports that they add and remove.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::SocketFlags;

use super::conn::{Conn, Need};
use super::poll::{Source, Trigger};
use super::slab::Key;
use super::streams::TcpPort;
use super::timers::Timer;
use super::udp::UdpPort;
use super::{Opened, Port, Relay};
use crate::config::rootless::port::{PortSpec, Transport};
use crate::ports::address;
use crate::ports::api::Call;
use crate::ports::api::answer::{Answer, Then};
use crate::ports::backend::{Clients, Goal};
use crate::ports::bind::{Ask, Reach};
use crate::ports::table::Id;
use crate::sys::net;

/// Clients of the API at a time.
const MOST_CONNS: usize = 16;

/// PID 1 answers as soon as it has nothing else to do.
const BIND_TIMEOUT: Duration = Duration::from_secs(10);

impl Relay {
    /// Publishes a port before the API is served.
    ///
    /// # Errors
    /// The text of the refusal.
    pub(in crate::ports) fn publish(&mut self, spec: PortSpec) -> Result<Id, String> {
        let ask = self.ask(&spec)?;
        let bound = self.binds.wait(&ask, BIND_TIMEOUT);
        let socket = bound.map_err(|error| format!("PID 1 does not answer: {error}"))??;
        self.open_port(spec, socket)
            .map_err(|error| error.to_string())
    }

    /// The question to PID 1 for a port that nothing stands against.
    fn ask(&self, spec: &PortSpec) -> Result<Ask, String> {
        if !self.info.has_port_driver() {
            return Err("no PortDriver is available".to_owned());
        }
        self.table.accept(spec).map_err(|error| error.to_string())?;
        let reach = match self.info.also_v6(spec) {
            true => Reach::AlsoV6,
            false => Reach::AsNamed,
        };
        Ask::of(spec, reach).ok_or_else(|| format!("unsupported port protocol {}", spec.proto))
    }

    /// Takes a bound socket into service.
    fn open_port(&mut self, spec: PortSpec, socket: OwnedFd) -> io::Result<Id> {
        let target = address::target(&spec);
        let transport = spec.proto.transport;
        let port = |socket, clients| {
            let goal = Goal::new(target, clients);
            match transport {
                Transport::Tcp => TcpPort::new(socket, goal).map(Port::Tcp),
                Transport::Sctp | Transport::Udp => UdpPort::new(socket, goal).map(Port::Udp),
            }
        };
        let outside = self.watch_port(port(socket, Clients::Outside)?)?;
        let inside = address::inside(&spec, self.info.tap()).and_then(|address| {
            let bound = match transport {
                Transport::Tcp => crate::sys::net::listen_tcp(address, false),
                Transport::Sctp | Transport::Udp => crate::sys::net::bind_udp(address, false),
            };
            let opened = bound
                .and_then(|socket| port(socket, Clients::Inside))
                .and_then(|port| self.watch_port(port));
            if let Err(error) = &opened {
                tracing::warn!("{spec} cannot be reached from inside as {address}: {error}");
            }
            opened.ok()
        });
        Ok(self.table.add(
            spec,
            Opened {
                port: outside,
                inside,
            },
        ))
    }

    fn watch_port(&mut self, port: Port) -> io::Result<Key> {
        let trigger = match port {
            Port::Tcp(_) => Trigger::Edge,
            Port::Udp(_) => Trigger::Level,
        };
        let key = self.ports.insert(port);
        let watched = match self.ports.get(key) {
            Some(Port::Tcp(port)) => self.poll.watch(&port.listener, Source::Port(key), trigger),
            Some(Port::Udp(port)) => self.poll.watch(&port.socket, Source::Port(key), trigger),
            None => Ok(()),
        };
        if let Err(error) = watched {
            self.ports.remove(key);
            return Err(error);
        }
        Ok(key)
    }

    /// Takes in who connects to the API.
    pub(super) fn meet(&mut self, now: Instant) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while let Ok(socket) = rustix::net::accept_with(&self.api, flags) {
            if self.conns.len() >= MOST_CONNS {
                let idle = self.conns.iter().find(|(_, conn)| conn.idle());
                let Some((idle, _)) = idle else {
                    continue;
                };
                self.conns.remove(idle);
            }
            let mut conn = Conn::new(socket);
            match net::peer(conn.socket()) {
                Ok(peer) if peer.uid == 0 => {}
                Ok(peer) => {
                    let uid = peer.uid;
                    tracing::warn!("uid {uid} was refused by the port driver's API");
                    conn.answer(&Answer::forbidden(uid), Then::Close);
                    conn.advance(now);
                    continue;
                }
                Err(_) => continue,
            }
            let key = self.conns.insert(conn);
            let watched = self.conns.get(key).is_some_and(|conn| {
                let source = Source::Conn(key);
                let result = self.poll.watch(conn.socket(), source, Trigger::Edge);
                result.is_ok()
            });
            if !watched {
                self.conns.remove(key);
            }
        }
    }

    /// What a client that is gone has asked PID 1 for is not published: it would not know the id,
    /// and could not remove it. What it has sent and needs no answer is still done.
    pub(super) fn hung_up(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        conn.hang_up();
        if conn.parked().is_some() {
            self.conns.remove(key);
        }
    }

    /// Goes on with a client of the API.
    pub(super) fn serve(&mut self, key: Key, now: Instant) {
        loop {
            let Some(conn) = self.conns.get_mut(key) else {
                return;
            };
            let before = conn.deadline();
            match conn.advance(now) {
                Need::Answer(call, then) => self.call(key, call, then),
                Need::Close => {
                    self.conns.remove(key);
                    return;
                }
                Need::Nothing => {
                    match conn.deadline() {
                        Some(deadline) if before != Some(deadline) => {
                            self.timers.set(deadline, Timer::Api(key));
                        }
                        _ => {}
                    }
                    return;
                }
            }
        }
    }

    /// Answers a call, or has PID 1 asked first.
    fn call(&mut self, key: Key, call: Call, then: Then) {
        let answer = match call {
            Call::Info => Answer::info(&self.info),
            _ if !self.info.has_port_driver() => Answer::refusal("no PortDriver is available"),
            Call::Behind(backend) => self.lead_on(&backend),
            Call::List => Answer::list(&self.table),
            Call::Remove(id) => match self.table.remove(id) {
                Some(Opened { port, inside }) => {
                    for key in [port].into_iter().chain(inside) {
                        self.close_port(key);
                    }
                    Answer::done()
                }
                None => Answer::refusal(format_args!("unknown id: {id}")),
            },
            Call::Add(_) if self.conns.get(key).is_none_or(Conn::gone) => return,
            Call::Add(spec) => {
                let asked = self.ask(&spec).and_then(|ask| {
                    let asked = self.binds.ask(&ask);
                    asked.map_err(|error| format!("PID 1 does not answer: {error}"))
                });
                match asked {
                    Ok(()) => {
                        self.asked.push_back((key, spec));
                        if let Some(conn) = self.conns.get_mut(key) {
                            conn.park(then);
                        }
                        return;
                    }
                    Err(text) => Answer::refusal(text),
                }
            }
        };
        if let Some(conn) = self.conns.get_mut(key) {
            conn.answer(&answer, then);
        }
    }

    /// Takes the answers of PID 1.
    ///
    /// # Errors
    /// When it is gone.
    pub(super) fn bound(&mut self, now: Instant) -> io::Result<()> {
        while let Some(bound) = self.binds.receive()? {
            let Some((key, spec)) = self.asked.pop_front() else {
                continue;
            };
            // Dropping the socket takes the port back; see `hung_up`.
            let Some(then) = self.conns.get(key).and_then(Conn::parked) else {
                continue;
            };
            // Two may have asked for the same at once.
            let accepted = self.table.accept(&spec).map_err(|error| error.to_string());
            let answer = match accepted.and(bound) {
                Ok(socket) => match self.open_port(spec.clone(), socket) {
                    Ok(id) => Answer::added(id, &spec),
                    Err(error) => Answer::refusal(error),
                },
                Err(text) => Answer::refusal(text),
            };
            if let Some(conn) = self.conns.get_mut(key) {
                conn.answer(&answer, then);
            }
            self.serve(key, now);
        }
        Ok(())
    }

    pub(super) fn lose_patience(&mut self, key: Key, now: Instant) {
        let late = |conn: &Conn| conn.deadline().is_some_and(|deadline| deadline <= now);
        if self.conns.get(key).is_some_and(late) {
            self.conns.remove(key);
        }
    }
}
