//! The forwarder for names: nested containers on the default bridge, and builds, ask it on the
//! bridge's address, and it asks the resolvers on loopback that only this network namespace can
//! reach (127.0.0.11 on a user-defined network, 127.0.0.53 of systemd).
//!
//! It runs in a process of its own, as nobody and without capabilities; it never looks into a
//! message: queries and answers are passed on as they are.

mod tcp;
mod udp;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Port of name servers.
pub const PORT: u16 = 53;

/// How long one resolver may take to answer before the next is asked.
const PATIENCE: Duration = Duration::from_secs(4);

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
        let (udp, tcp) = crate::sys::net::free_bind(address)?;
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

    /// Forwards until the process is killed.
    ///
    /// # Errors
    /// Only when the kernel refuses to poll.
    pub fn forward(&self, upstream: &[IpAddr]) -> io::Result<()> {
        let servers: Vec<SocketAddr> = upstream
            .iter()
            .map(|ip| SocketAddr::new(*ip, PORT))
            .collect();
        let mut exchanges = udp::Exchanges::new(servers.clone());
        let mut relays = tcp::Relays::new(servers);
        loop {
            let now = Instant::now();
            exchanges.expire(now);
            relays.expire(now);
            wait(self, &exchanges, &relays, now)?;
            let now = Instant::now();
            exchanges.take(&self.udp, now);
            exchanges.answer(&self.udp);
            relays.accept(&self.tcp, now);
            relays.copy(now);
        }
    }
}

/// The `dind-init forward-names` process: takes the sockets that PID 1 handed over as descriptors
/// 3 and 4, gives up every right, and forwards.
///
/// # Errors
/// When it was not started by PID 1, or cannot give its rights up.
pub fn run(upstream: &[IpAddr]) -> io::Result<()> {
    let sockets = Sockets {
        udp: crate::sys::net::adopt(3)?.into(),
        tcp: crate::sys::net::adopt(4)?.into(),
    };
    crate::sys::confine::give_up_rights()?;
    sockets.forward(upstream)
}

/// Sleeps until something can be read or written, or the next exchange is too late.
fn wait(
    sockets: &Sockets,
    exchanges: &udp::Exchanges,
    relays: &tcp::Relays,
    now: Instant,
) -> io::Result<()> {
    let fd = |fd, flags| PollFd::from_borrowed_fd(fd, flags);
    let listening: [BorrowedFd<'_>; 2] = [sockets.udp.as_fd(), sockets.tcp.as_fd()];
    let mut fds: Vec<PollFd<'_>> = listening
        .into_iter()
        .map(|socket| fd(socket, PollFlags::IN))
        .collect();
    fds.extend(exchanges.sockets().map(|socket| fd(socket, PollFlags::IN)));
    fds.extend(relays.interests().map(|(socket, flags)| fd(socket, flags)));
    let deadline = exchanges
        .deadline()
        .into_iter()
        .chain(relays.deadline())
        .min();
    let timeout = deadline.map(|deadline| {
        let left = deadline.saturating_duration_since(now) + Duration::from_millis(1);
        Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        }
    });
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
