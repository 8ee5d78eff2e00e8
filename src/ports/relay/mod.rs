//! The relay: one process, one thread, one epoll loop for the API, for accepted connections and
//! for datagrams. Below [`Relay::run`] nothing may end it but the end of PID 1.

mod backends;
mod conn;
mod control;
mod datagrams;
mod flow;
mod link;
mod pipes;
mod poll;
mod slab;
mod streams;
mod timers;
mod udp;

use std::collections::{HashSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;

use self::conn::Conn;
use self::flow::Shared;
use self::link::Link;
use self::poll::{Poll, Source, Trigger};
use self::slab::{Key, Slab};
use self::streams::TcpPort;
use self::timers::{Timer, Timers};
use self::udp::{Client, Pair, UdpPort};
use super::api::info::Info;
use super::bind::BindClient;
use super::source::{Dialler, SourceAddresses};
use super::table::Table;
use crate::config::rootless::port::PortSpec;
use crate::sys::datagram::Batch;

/// How long a port waits for a free descriptor if no connection ends before.
const STARVED: Duration = Duration::from_secs(1);

/// The outer side of a published port.
#[derive(Debug)]
enum Port {
    Tcp(TcpPort),
    Udp(UdpPort),
}

/// What a published port holds.
#[derive(Debug, Clone, Copy)]
struct Opened {
    port: Key,
    /// The same on loopback inside, where a rootful daemon finds it, too.
    inside: Option<Key>,
}

/// Work that was put off so that others have their turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Accept(Key),
    Link(Key),
}

/// Everything that the process holds.
pub(super) struct Relay {
    poll: Poll,
    timers: Timers,
    tasks: VecDeque<Task>,
    info: Info,
    api: OwnedFd,
    conns: Slab<Conn>,
    binds: BindClient,
    /// Who asked for which port, in the order of the answers to come.
    asked: VecDeque<(Key, PortSpec)>,
    table: Table<Opened>,
    ports: Slab<Port>,
    /// Ports whose clients wait for a free descriptor.
    starved: Vec<Key>,
    dialler: Dialler,
    links: Slab<Link>,
    shared: Shared,
    clients: Slab<Client>,
    /// Addresses of clients' sockets that have them.
    pairs: HashSet<Pair>,
    /// Made when the first UDP port comes.
    batch: Option<Box<Batch>>,
}

impl Relay {
    pub(super) fn new(
        info: Info,
        api: OwnedFd,
        binds: BindClient,
        addresses: SourceAddresses,
        number: u32,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        // Answers to a relay before us, whose questions died with it.
        while let Ok(Some(_)) = binds.receive() {}
        rustix::io::ioctl_fionbio(&api, true)?;
        poll.watch(&api, Source::Api, Trigger::Level)?;
        poll.watch(binds.as_fd(), Source::Bind, Trigger::Level)?;
        Ok(Self {
            poll,
            timers: Timers::default(),
            tasks: VecDeque::new(),
            info,
            api,
            conns: Slab::default(),
            binds,
            asked: VecDeque::new(),
            table: Table::of_relay(number),
            ports: Slab::default(),
            starved: Vec::new(),
            dialler: Dialler::new(addresses),
            links: Slab::default(),
            shared: Shared::default(),
            clients: Slab::default(),
            pairs: HashSet::new(),
            batch: None,
        })
    }

    /// Serves until PID 1 is gone.
    ///
    /// # Errors
    /// Only when the kernel refuses to poll.
    pub(super) fn run(mut self) -> io::Result<()> {
        loop {
            let until = match self.tasks.is_empty() {
                true => self.timers.next(),
                false => Some(Instant::now()),
            };
            let events = self.poll.wait(until)?;
            let now = Instant::now();
            for (source, flags) in events {
                if source == Source::Bind {
                    if self.bound(now).is_err() {
                        return Ok(());
                    }
                } else {
                    self.handle(source, flags, now);
                }
            }
            // Those that are put off again wait for the next round.
            for _ in 0..self.tasks.len() {
                match self.tasks.pop_front() {
                    Some(Task::Accept(port)) => self.accept(port, now),
                    Some(Task::Link(link)) => self.turn(link),
                    None => break,
                }
            }
            while let Some(timer) = self.timers.due(now) {
                self.expire(timer, now);
            }
        }
    }

    fn handle(&mut self, source: Source, flags: EventFlags, now: Instant) {
        match source {
            Source::Api => self.meet(now),
            Source::Bind => {}
            Source::Client(key) => self.return_datagrams(key, now),
            Source::Conn(key) => {
                if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
                    self.hung_up(key);
                }
                self.serve(key, now);
            }
            Source::Link(key, side) => self.link_event(key, side, flags),
            Source::Port(key) => match self.ports.get(key) {
                Some(Port::Tcp(_)) => self.accept(key, now),
                Some(Port::Udp(_)) => self.forward_datagrams(key, now),
                None => {}
            },
        }
    }

    fn expire(&mut self, timer: Timer, now: Instant) {
        match timer {
            Timer::Api(key) => self.lose_patience(key, now),
            Timer::Client(key) => self.forget_if_idle(key, now),
            Timer::Dial(key) => self.give_up_source(key),
            Timer::Starved => self.feed(),
        }
    }

    /// Lets starved ports try again.
    fn feed(&mut self) {
        let starved = self.starved.drain(..).map(Task::Accept);
        self.tasks.extend(starved);
    }

    /// Closes a port, its connections and its clients.
    fn close_port(&mut self, key: Key) {
        self.ports.remove(key);
        let links = self.links.iter().filter(|(_, link)| link.port == key);
        for link in links.map(|(link, _)| link).collect::<Vec<Key>>() {
            if let Some(link) = self.links.remove(link) {
                link.close(&mut self.shared.pipes);
            }
        }
        let clients = self.clients.iter().filter(|(_, client)| client.port == key);
        for client in clients.map(|(client, _)| client).collect::<Vec<Key>>() {
            self.forget(client);
        }
        self.feed();
    }
}
