//! Listening sockets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt,
};
use rustix::process::Pid;

use super::process::id;

/// Whether a descriptor that somebody passed to us is a listening socket.
#[must_use]
pub fn is_listening(fd: u32) -> bool {
    let Ok(raw) = i32::try_from(fd) else {
        return false;
    };
    // SAFETY: takes any number, and only reads the flags of a descriptor.
    if raw <= 2 || unsafe { libc::fcntl(raw, libc::F_GETFD) } == -1 {
        return false;
    }
    // SAFETY: the descriptor is open (checked above; single-threaded, so nobody closes it in
    // between) and is only looked at during this call.
    let fd = unsafe { BorrowedFd::borrow_raw(raw) };
    sockopt::socket_acceptconn(fd).unwrap_or(false)
}

/// Where a socket that somebody passed to us is bound, if that is an internet address.
#[must_use]
pub fn internet_address(fd: u32) -> Option<SocketAddr> {
    let raw = i32::try_from(fd).ok().filter(|raw| *raw > 2)?;
    // SAFETY: only borrowed for one call, which fails with EBADF if it is not open.
    let fd = unsafe { BorrowedFd::borrow_raw(raw) };
    rustix::net::getsockname(fd).ok()?.try_into().ok()
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

/// Closes a listening socket that the outer world passed to us, after it was adopted or is not
/// wanted: it would stay open beside our copy otherwise, and everything we start would have it.
pub fn close_passed(fd: u32) {
    if let Ok(raw) = i32::try_from(fd)
        && is_listening(fd)
    {
        // SAFETY: the descriptor was open when this process began, so that nothing in it owns it;
        // it is above 2 and a listening socket (`is_listening`), which none of ours below is.
        drop(unsafe { OwnedFd::from_raw_fd(raw) });
    }
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

/// `SIOCUNIXFILE` of `linux/un.h`, since Linux 4.20.
const SIOCUNIXFILE: libc::Ioctl = 0x89e0;

/// A descriptor (`O_PATH`) of the file that a bound unix socket is in its directory, whatever has
/// become of its name.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN`, `EINVAL` or `ENOTTY` from a kernel that does not know it.
pub fn file_of_socket(socket: impl AsFd) -> io::Result<OwnedFd> {
    use std::os::fd::AsRawFd as _;
    // SAFETY: the request takes no argument and touches no memory of ours.
    let fd = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), SIOCUNIXFILE, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
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

/// Who is at the other end of a connected unix socket: for a client, who called `listen(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its process; none for one that our pid namespace does not see.
    pub pid: Option<u32>,
    /// Its effective user.
    pub uid: u32,
}

/// Asks the kernel (`SO_PEERCRED`). Not by rustix: its type for a pid cannot be 0, which the
/// kernel says for a process of a foreign pid namespace.
///
/// # Errors
/// What `getsockopt(2)` says.
pub fn peer(socket: impl AsFd) -> io::Result<Peer> {
    let mut ids = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).unwrap_or(0);
    // SAFETY: the place is one ucred, whose length is passed; both are ours across the call.
    let got = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut ids).cast(),
            &raw mut length,
        )
    };
    if got != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Peer {
        pid: u32::try_from(ids.pid).ok().filter(|pid| *pid != 0),
        uid: ids.uid,
    })
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
    /// The sender's process id, as the kernel attached it; none when the sender is outside our pid
    /// namespace, or gone from it.
    pub sender: Option<Pid>,
}

#[expect(clippy::cast_possible_truncation, reason = "three numbers")]
const fn ids_length() -> u32 {
    size_of::<libc::ucred>() as u32
}

/// Room for the sender's ids and for nothing else: what is sent along besides, descriptors too, is
/// dropped by the kernel.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Receives one datagram with its sender's process id; see [`pass_credentials`]. Not by rustix,
/// whose `UCred` holds a process id that is never 0, and the kernel says 0 for a process outside
/// our namespace.
///
/// # Errors
/// What `recvmsg(2)` says; `EAGAIN` when nothing is there.
pub fn receive_with_sender(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Datagram> {
    const IDS: u32 = ids_length();
    let mut control = Control([0; 64]);
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: a msghdr of zeros is one without anything: its pointers may be null.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    // SAFETY: a computation with a plain number.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(IDS) } as _;
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    // SAFETY: the descriptor is open, and the message points to two buffers of the lengths that it
    // says, which nobody else uses meanwhile; CMSG_SPACE of the ids is below 64.
    let length = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, flags) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    let mut sender = None;
    // SAFETY: the kernel filled the control buffer, and wrote into `message` how far.
    let first = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    if !first.is_null() {
        // SAFETY: not null, so it points to a whole header within `control`, which is aligned.
        let header = unsafe { *first };
        // SAFETY: a computation with a plain number.
        let whole = unsafe { libc::CMSG_LEN(IDS) } as usize;
        let is_ids = (header.cmsg_level, header.cmsg_type)
            == (libc::SOL_SOCKET, libc::SCM_CREDENTIALS)
            && header.cmsg_len as usize >= whole;
        if is_ids {
            // SAFETY: a computation with a pointer into `control`.
            let data = unsafe { libc::CMSG_DATA(first) }.cast::<libc::ucred>();
            // SAFETY: the header says that so many bytes follow; any bytes are three numbers.
            sender = id(unsafe { data.read_unaligned() }.pid);
        }
    }
    Ok(Datagram { length, sender })
}

/// Begins a TCP connection without waiting: the socket can be written to when it is there, and has
/// an error (`SO_ERROR`) when it is refused.
///
/// # Errors
/// What `socket(2)` and `connect(2)` say.
pub fn begin_connect(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// Makes the coming close of a connection a reset: the other side is told at once, and nothing of
/// it stays in the kernel.
pub fn reset_on_close(socket: impl AsFd) {
    let _ = sockopt::set_socket_linger(socket, Some(std::time::Duration::ZERO));
}

/// A UDP socket with a receive buffer of a size, and a listening TCP socket, on an address that
/// need not exist yet (`IP_FREEBIND`, `ip(7)`). Both say over which interface somebody came
/// (`IP_PKTINFO`, [`super::datagram::Batch::interface`], [`super::datagram::interface_of`]).
///
/// # Errors
/// What `bind(2)` and `listen(2)` say.
pub fn free_bind(address: std::net::SocketAddrV4, buffer: usize) -> io::Result<(OwnedFd, OwnedFd)> {
    let bound = |kind| {
        let socket =
            rustix::net::socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None)?;
        sockopt::set_ip_freebind(&socket, true)?;
        super::datagram::receive_local_addresses(&socket, false)?;
        if kind == SocketType::STREAM {
            sockopt::set_socket_reuseaddr(&socket, true)?;
        }
        rustix::net::bind(&socket, &address)?;
        Ok::<_, io::Error>(socket)
    };
    let (udp, tcp) = (bound(SocketType::DGRAM)?, bound(SocketType::STREAM)?);
    // Without CAP_NET_ADMIN `net.core.rmem_max` bounds it; a smaller one works as well while
    // nobody floods it.
    if sockopt::set_socket_recv_buffer_size_force(&udp, buffer).is_err() {
        sockopt::set_socket_recv_buffer_size(&udp, buffer)?;
    }
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
