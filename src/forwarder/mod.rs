//! The forwarder for names: nested containers on the default bridge, and builds, ask it on the
//! bridge's address, and it asks the resolvers on loopback that only this network namespace can
//! reach (127.0.0.11 on a user-defined network, 127.0.0.53 of systemd).
//!
//! It runs in a process of its own, as nobody and without capabilities. Of a message it looks at
//! the header only ([`message`]): queries and answers are passed on as they are.
//!
//! **Who is answered**: who asks over loopback or a bridge that is not a way out. A neighbour
//! outside with a route to us reaches the bridge's address as well, since Linux takes what is sent
//! to any of its addresses over any interface.
//!
//! **Nobody costs another an answer.** A client is a source address. It may ask two thousand times
//! a second; whoever asks for more is refused by the kernel for a moment (`sys::filter`), so that a
//! flood neither fills the queue that all share nor costs us anything. A full table takes from the
//! client that has the most. A turn does bounded work, and nothing is waited for that could not be
//! taken. A nested container with CAP_NET_RAW can take any address of its own network, and so use
//! up the allowances of its neighbours there.
//!
//! **Memory**: below 5 MiB, of which 1 MiB are queries under way, 1 MiB the datagrams of one look,
//! 2.5 MiB connections; and at most 4 MiB for the UDP listener's buffer in the kernel.
//! **CPU**: no limit of a nested container bounds it, so the work for a client is bounded: its
//! allowance, and the few datagrams that it gets through between two refusals.

mod gate;
pub mod message;
mod relay;
mod tcp;
mod udp;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use self::gate::Gate;
use crate::sys::filter;
use crate::sys::time::timespec;

/// Port of name servers.
pub const PORT: u16 = 53;

/// How long one resolver may take to answer before the next is asked.
const TIMEOUT: Duration = Duration::from_secs(4);

/// So long a listener is left alone after somebody was turned away: at most a thousand wake-ups a
/// second, whatever comes.
const REST: Duration = Duration::from_millis(1);

/// Half of what the kernel then grants: five thousand short datagrams, a quarter of a second of a
/// flood of 22 000 a second. Its own 208 KiB hold less than three hundred.
const BUFFER: usize = 2 * 1024 * 1024;

/// The sockets of the forwarder, bound before dockerd makes the bridge; PID 1 keeps them, so that
/// a new process can go on where one has died.
#[derive(Debug)]
pub struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Sockets {
    /// Binds both to the bridge's address, which need not exist yet (`IP_FREEBIND`).
    ///
    /// # Errors
    /// What `bind(2)` says; `EADDRINUSE` when another name server has the port.
    pub fn bind(address: Ipv4Addr) -> io::Result<Self> {
        let address = SocketAddrV4::new(address, PORT);
        let (udp, tcp) = crate::sys::net::free_bind(address, BUFFER)?;
        let sockets = Self {
            udp: udp.into(),
            tcp: tcp.into(),
        };
        sockets.udp.set_nonblocking(true)?;
        sockets.tcp.set_nonblocking(true)?;
        Ok(sockets)
    }

    /// Both, for a child.
    #[must_use]
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.udp.as_fd(), self.tcp.as_fd()]
    }
}

#[derive(Debug)]
pub struct Forwarder {
    sockets: Sockets,
    gate: Gate,
    exchanges: udp::Exchanges,
    relays: tcp::Relays,
}

/// What something came for.
enum Ready {
    Queries,
    Connections,
    Exchange(usize),
    Relay(usize),
}

impl Forwarder {
    /// Asks `upstream`, in this order. `outside` names the interfaces of the way out, over which
    /// nobody is answered.
    #[must_use]
    pub fn new(sockets: Sockets, upstream: &[IpAddr], outside: Vec<String>) -> Self {
        let servers: Vec<SocketAddr> = upstream
            .iter()
            .map(|ip| SocketAddr::new(*ip, PORT))
            .collect();
        Self {
            sockets,
            gate: Gate::new(outside),
            exchanges: udp::Exchanges::new(servers.clone()),
            relays: tcp::Relays::new(servers),
        }
    }

    /// Sleeps until there is something to do, and does a bounded part of it.
    ///
    /// # Errors
    /// Only when the kernel refuses to poll.
    pub fn turn(&mut self) -> io::Result<()> {
        let ready = self.wait(Instant::now())?;
        let now = Instant::now();
        let (mut queries, mut connections) = (false, false);
        let (mut exchanges, mut relays) = (Vec::new(), BTreeSet::new());
        for one in ready {
            match one {
                Ready::Queries => queries = true,
                Ready::Connections => connections = true,
                Ready::Exchange(place) => exchanges.push(place),
                // Once, when both sides are ready.
                Ready::Relay(place) => drop(relays.insert(place)),
            }
        }
        // First what goes by places, before the tables change.
        self.exchanges.answer(&exchanges, &self.sockets.udp, now);
        self.relays.advance(&relays, &mut self.gate, now);
        self.exchanges.expire(now);
        self.relays.expire(now);
        self.gate.expire(now);
        if queries {
            self.exchanges.take(&self.sockets.udp, &mut self.gate, now);
        }
        if connections {
            self.relays.accept(&self.sockets.tcp, &mut self.gate, now);
        }
        if let Some((clients, interfaces)) = self.gate.refused() {
            // Where the kernel does not let us (EPERM for a listening TCP socket was seen as nobody),
            // they are refused by us all the same.
            for socket in self.sockets.descriptors() {
                let _ = filter::refuse(socket, &clients, &interfaces);
            }
        }
        Ok(())
    }

    /// Sleeps until something can be read or written, or the next deadline is over.
    fn wait(&mut self, now: Instant) -> io::Result<Vec<Ready>> {
        let deadlines = [
            self.exchanges.deadline(),
            self.relays.deadline(&mut self.gate, now),
            self.gate.deadline(),
        ];
        let mut waiting: Vec<(Ready, PollFd<'_>)> = Vec::new();
        let mut add = |what, socket, flags| {
            waiting.push((what, PollFd::from_borrowed_fd(socket, flags)));
        };
        if self.exchanges.listens() {
            add(Ready::Queries, self.sockets.udp.as_fd(), PollFlags::IN);
        }
        if self.relays.listens() {
            add(Ready::Connections, self.sockets.tcp.as_fd(), PollFlags::IN);
        }
        for (place, socket) in self.exchanges.sockets().enumerate() {
            add(Ready::Exchange(place), socket, PollFlags::IN);
        }
        for (place, socket, flags) in self.relays.interests(&mut self.gate, now) {
            add(Ready::Relay(place), socket, flags);
        }
        let (whats, mut fds): (Vec<Ready>, Vec<PollFd<'_>>) = waiting.into_iter().unzip();
        let timeout = deadlines
            .into_iter()
            .flatten()
            .min()
            .map(|deadline| timespec(deadline.saturating_duration_since(now)));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let both = whats.into_iter().zip(&fds);
        let ready = both.filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ready.map(|(what, _)| what).collect())
    }
}

/// The `dind-init forward-names` process: takes the sockets that PID 1 handed over as descriptors
/// 3 and 4, gives up every right, and forwards until it is killed.
///
/// # Errors
/// When it was not started by PID 1, cannot give its rights up, or the kernel refuses to poll.
pub fn run(upstream: &[IpAddr], outside: Vec<String>) -> io::Result<()> {
    let sockets = Sockets {
        udp: crate::sys::net::adopt(3)?.into(),
        tcp: crate::sys::net::adopt(4)?.into(),
    };
    crate::sys::confine::give_up_rights()?;
    let mut forwarder = Forwarder::new(sockets, upstream, outside);
    loop {
        forwarder.turn()?;
    }
}
