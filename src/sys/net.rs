//! Listening sockets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt,
};

/// Whether a descriptor that somebody passed to us is a listening socket.
#[must_use]
pub fn is_listening(fd: u32) -> bool {
    let Ok(raw) = i32::try_from(fd) else {
        return false;
    };
    if raw <= 2 || rustix::fs::stat(format!("/proc/self/fd/{raw}")).is_err() {
        return false;
    }
    // SAFETY: the descriptor is open (checked above; single-threaded, so nobody closes it in
    // between) and is only looked at during this call.
    let fd = unsafe { BorrowedFd::borrow_raw(raw) };
    sockopt::socket_acceptconn(fd).unwrap_or(false)
}

/// Takes over a descriptor that the outer world passed to us, as a close-on-exec copy above
/// every descriptor that a child gets.
///
/// # Errors
/// What `fcntl(2)` says: `EBADF`, `EMFILE`.
pub fn adopt(fd: u32) -> io::Result<OwnedFd> {
    let raw = i32::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: borrowed for the duration of one call, which fails with EBADF if it is not open.
    let fd = unsafe { BorrowedFd::borrow_raw(raw) };
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 3)?)
}

/// The longest queue that the kernel grants: it cuts the value to `net.core.somaxconn`.
const BACKLOG: i32 = i32::MAX;

/// A TCP socket that listens as Go's `net.Listen` does.
///
/// # Errors
/// What `socket(2)`, `bind(2)` and `listen(2)` say.
pub fn listen_tcp(address: SocketAddr, dual_stack: bool) -> io::Result<OwnedFd> {
    let socket = internet(SocketType::STREAM, address, dual_stack)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    listen(&socket)?;
    Ok(socket)
}

/// A UDP socket as Go's `net.ListenUDP` makes it: no `SO_REUSEADDR`, with which two could share a
/// port unnoticed.
///
/// # Errors
/// What `socket(2)` and `bind(2)` say.
pub fn bind_udp(address: SocketAddr, dual_stack: bool) -> io::Result<OwnedFd> {
    let socket = internet(SocketType::DGRAM, address, dual_stack)?;
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

/// A socket for an address, not bound yet; an IPv6 one takes IPv4 as well or refuses it.
fn internet(kind: SocketType, address: SocketAddr, dual_stack: bool) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, !dual_stack)?;
    }
    Ok(socket)
}

/// A unix stream socket bound to a path that does not listen yet, so that owner and mode can be
/// set before the first client gets in.
///
/// # Errors
/// What `socket(2)` and `bind(2)` say.
pub fn bind_unix(path: &Path) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Starts listening.
///
/// # Errors
/// What `listen(2)` says.
pub fn listen(socket: impl AsFd) -> io::Result<()> {
    Ok(rustix::net::listen(socket, BACKLOG)?)
}

/// A non-blocking connection to a unix stream socket.
///
/// # Errors
/// What `connect(2)` says; `EAGAIN` when the backlog is full.
pub fn connect_unix(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Asks the kernel to attach the sender's ids to every datagram.
///
/// # Errors
/// What `setsockopt(2)` says.
pub fn pass_credentials(socket: impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_socket_passcred(socket, true)?)
}

/// A datagram that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram {
    /// Bytes in the buffer.
    pub length: usize,
    /// The sender's process id, as the kernel attached it.
    pub sender: Option<u32>,
}

/// Receives one datagram with its sender's process id; see [`pass_credentials`].
///
/// # Errors
/// What `recvmsg(2)` says; `EAGAIN` when nothing is there.
pub fn receive_with_sender(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Datagram> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [io::IoSliceMut::new(buffer)];
    let received = rustix::net::recvmsg(
        socket,
        &mut parts,
        &mut control,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    )?;
    let sender = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmCredentials(ids) => {
            u32::try_from(ids.pid.as_raw_nonzero().get()).ok()
        }
        _ => None,
    });
    Ok(Datagram {
        length: received.bytes,
        sender,
    })
}

/// A UDP socket and a listening TCP socket on an address that need not exist yet (`IP_FREEBIND`,
/// `ip(7)`).
///
/// # Errors
/// What `bind(2)` and `listen(2)` say.
pub fn free_bind(address: std::net::SocketAddrV4) -> io::Result<(OwnedFd, OwnedFd)> {
    let bound = |kind| {
        let socket =
            rustix::net::socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None)?;
        sockopt::set_ip_freebind(&socket, true)?;
        if kind == SocketType::STREAM {
            sockopt::set_socket_reuseaddr(&socket, true)?;
        }
        rustix::net::bind(&socket, &address)?;
        Ok::<_, io::Error>(socket)
    };
    let (udp, tcp) = (bound(SocketType::DGRAM)?, bound(SocketType::STREAM)?);
    rustix::net::listen(&tcp, BACKLOG)?;
    Ok((udp, tcp))
}
/// Whether a living process has bound the socket at a path. Asked with a socket of another type: the
/// kernel answers which of both it is before it compares the types (`EPROTOTYPE`), so that whoever
/// listens there sees no connection, has nothing to log, and cannot make us wait.
///
/// # Errors
/// There is no such path, no permission, or no room for another descriptor.
pub fn is_bound(path: &Path) -> io::Result<bool> {
    let address = SocketAddrUnix::new(path)?;
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::PROTOTYPE) => Ok(true),
        Err(Errno::CONNREFUSED) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
