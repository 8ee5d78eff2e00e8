//! A published UDP port: each client has a connected socket in the child namespaces, so that
//! answers find their way back, and an answer leaves from the address that was asked.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, sockopt};

use super::slab::Key;
use crate::ports::backend::Goal;
use crate::sys::datagram::{Batch, Path, receive_local_addresses};

/// A client that is silent for so long, and gets nothing, is forgotten.
pub(super) const IDLE: Duration = Duration::from_secs(90);
/// Clients of one port; the one that is silent for the longest goes when another comes.
pub(super) const MOST_CLIENTS: usize = 1024;

/// The outer socket of a port.
#[derive(Debug)]
pub(super) struct UdpPort {
    pub(super) socket: OwnedFd,
    pub(super) goal: Goal,
    pub(super) clients: HashMap<Path, Key>,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) port: Key,
    pub(super) path: Path,
    pub(super) socket: OwnedFd,
    /// Both addresses, where the socket has the client's.
    pub(super) pair: Option<Pair>,
    pub(super) last: Instant,
}

/// The two addresses of a socket that has its client's: client and container.
pub(super) type Pair = (SocketAddr, SocketAddr);

impl UdpPort {
    /// Takes over a bound socket.
    pub(super) fn new(socket: OwnedFd, goal: Goal) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        let v6 = sockopt::socket_domain(&socket)? == AddressFamily::INET6;
        receive_local_addresses(&socket, v6)?;
        Ok(Self {
            socket,
            goal,
            clients: HashMap::new(),
        })
    }
}

/// The next datagrams of a batch that came along one path.
pub(super) fn run(batch: &Batch, start: usize, end: usize) -> Option<(Path, Range<usize>)> {
    let path = batch.path(start)?;
    let same = (start..end).take_while(|index| batch.path(*index) == Some(path));
    Some((path, start..start + same.count()))
}

/// Sends datagrams on. What cannot be sent is lost, as any network may lose it.
pub(super) fn send(batch: &Batch, socket: impl AsFd, range: Range<usize>, back: Option<&Path>) {
    let mut next = range.start;
    let mut refused = false;
    while next < range.end {
        match batch.send(&socket, next..range.end, back) {
            Ok(count) => next += count.max(1),
            Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
                // About a datagram before: the port was closed then. This one was not tried.
                Some(Errno::CONNREFUSED) if !refused => refused = true,
                Some(Errno::INTR) => {}
                Some(Errno::AGAIN | Errno::NOBUFS) => return,
                _ => next += 1,
            },
        }
    }
}
