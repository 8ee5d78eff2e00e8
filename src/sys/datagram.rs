//! Datagrams by the dozen (`recvmmsg(2)`, `sendmmsg(2)`), each with the local address that it came
//! to (`IP_PKTINFO`, `ip(7)`; `IPV6_PKTINFO`, `ipv6(7)`), and transparent sockets.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};

use self::control::{CONTROL, Control, arrival, packet_info};

mod control;

/// Datagrams that one call moves at most.
pub const BATCH: usize = 16;
/// As the system calls count.
const BATCH_COUNT: libc::c_uint = 16;

/// No UDP datagram is longer.
const LARGEST: usize = 65_535;

/// Where a datagram came from, and to which of our addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    /// The other side, in the family of the socket: an IPv6 socket names IPv4 clients
    /// `::ffff:…`.
    pub peer: SocketAddr,
    /// Our address; none when the kernel did not say.
    pub local: Option<IpAddr>,
    /// The interface of a link-local address, else 0: the routes decide how an answer leaves. A
    /// path that was given another one sends its answers there and nowhere else.
    pub interface: u32,
}

/// Received datagrams, which can be sent on without a copy.
pub struct Batch {
    bytes: Vec<u8>,
    lengths: [usize; BATCH],
    paths: [Option<Path>; BATCH],
    interfaces: [u32; BATCH],
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").finish_non_exhaustive()
    }
}

impl Default for Batch {
    /// Memory is zeroed by the kernel when it is first used.
    fn default() -> Self {
        Self {
            bytes: vec![0; BATCH * LARGEST],
            lengths: [0; BATCH],
            paths: [None; BATCH],
            interfaces: [0; BATCH],
        }
    }
}

impl Batch {
    /// Takes the datagrams that are there, and returns how many.
    ///
    /// # Errors
    /// What `recvmmsg(2)` says: `EAGAIN` when there is none, `ECONNREFUSED` when a peer told us so.
    pub fn receive(&mut self, socket: impl AsFd) -> io::Result<usize> {
        // SAFETY: zero is a valid value for every field of these C structures.
        let mut names: [libc::sockaddr_storage; BATCH] = unsafe { std::mem::zeroed() };
        let mut controls = [Control([0; CONTROL]); BATCH];
        // SAFETY: as above.
        let mut parts: [libc::iovec; BATCH] = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        let slots = (self.bytes.chunks_exact_mut(LARGEST))
            .zip(&mut names)
            .zip(&mut controls)
            .zip(&mut parts);
        for (header, (((bytes, name), control), part)) in headers.iter_mut().zip(slots) {
            part.iov_base = bytes.as_mut_ptr().cast();
            part.iov_len = bytes.len();
            let header = &mut header.msg_hdr;
            header.msg_name = (&raw mut *name).cast();
            header.msg_namelen = length_of::<libc::sockaddr_storage>();
            header.msg_iov = part;
            header.msg_iovlen = 1;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
        }
        // SAFETY: BATCH headers, each with one part, a name and a control buffer of the lengths
        // that it says, all of which live until the end of this function; no timeout.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH_COUNT,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        let received = headers.iter().zip(&names).take(count);
        let slots = (self.lengths.iter_mut())
            .zip(&mut self.paths)
            .zip(&mut self.interfaces);
        for (((length, path), interface), (header, name)) in slots.zip(received) {
            *length = (header.msg_len as usize).min(LARGEST);
            // SAFETY: the kernel filled the header's control buffer, which is still alive, and set
            // its length.
            let arrived = unsafe { arrival(&header.msg_hdr) };
            *interface = arrived.interface;
            *path = socket_address(name).map(|peer| Path {
                peer,
                local: arrived.local,
                interface: arrived.scope,
            });
        }
        Ok(count)
    }

    /// The path of one of the datagrams that were received.
    #[must_use]
    pub fn path(&self, index: usize) -> Option<Path> {
        self.paths.get(index).copied().flatten()
    }

    /// The interface that one of them came over; 0 when the kernel did not say.
    #[must_use]
    pub fn interface(&self, index: usize) -> u32 {
        self.interfaces.get(index).copied().unwrap_or_default()
    }

    #[must_use]
    pub fn bytes(&self, index: usize) -> &[u8] {
        let length = self.lengths.get(index).copied().unwrap_or_default();
        let bytes = self.bytes.chunks_exact(LARGEST).nth(index);
        bytes
            .and_then(|bytes| bytes.get(..length))
            .unwrap_or_default()
    }

    /// Sends some of the received datagrams on: back along a path, or to the peer of a connected
    /// socket. Returns how many were taken, at least one.
    ///
    /// # Errors
    /// What `sendmmsg(2)` says of the first.
    pub fn send(
        &self,
        socket: impl AsFd,
        range: Range<usize>,
        back: Option<&Path>,
    ) -> io::Result<usize> {
        let (mut name, name_length) = match back {
            Some(path) => storage(path.peer),
            // SAFETY: zero is a valid value for every field.
            None => (unsafe { std::mem::zeroed() }, 0),
        };
        let (mut control, control_length) = back.map_or((Control([0; CONTROL]), 0), packet_info);
        // SAFETY: as above.
        let mut parts: [libc::iovec; BATCH] = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        let datagrams = self.bytes.chunks_exact(LARGEST).zip(self.lengths);
        let datagrams = datagrams.skip(range.start).take(range.len());
        let mut count = 0;
        for ((header, part), (bytes, length)) in headers.iter_mut().zip(&mut parts).zip(datagrams) {
            // The kernel only reads from it.
            part.iov_base = bytes.as_ptr().cast_mut().cast();
            part.iov_len = length.min(bytes.len());
            let header = &mut header.msg_hdr;
            header.msg_iov = part;
            header.msg_iovlen = 1;
            if name_length > 0 {
                header.msg_name = (&raw mut name).cast();
                header.msg_namelen = name_length;
            }
            if control_length > 0 {
                header.msg_control = control.0.as_mut_ptr().cast();
                header.msg_controllen = control_length as _;
            }
            count += 1;
        }
        // SAFETY: `count` headers are filled in, at most BATCH; what they point to has the lengths
        // that they say and lives until the end of this function.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_fd().as_raw_fd(),
                headers.as_mut_ptr(),
                count,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// Sends one datagram back along a path.
///
/// # Errors
/// What `sendmsg(2)` says; `EAGAIN` when there is no room.
pub fn send_back(socket: impl AsFd, bytes: &[u8], path: &Path) -> io::Result<usize> {
    let (mut name, name_length) = storage(path.peer);
    let (mut control, control_length) = packet_info(path);
    let mut part = libc::iovec {
        // The kernel only reads from it.
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: zero is a valid value for every field of this C structure.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = name_length;
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    if control_length > 0 {
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = control_length as _;
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: what the header points to has the lengths that it says and lives until the end of
    // this function.
    let sent = unsafe { libc::sendmsg(socket.as_fd().as_raw_fd(), &raw const header, flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Asks for the local address of every datagram.
///
/// # Errors
/// What `setsockopt(2)` says.
pub fn receive_local_addresses(socket: impl AsFd, v6: bool) -> io::Result<()> {
    if v6 {
        enable(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
    } else {
        enable(socket, libc::IPPROTO_IP, libc::IP_PKTINFO)
    }
}

/// The interface that an accepted IPv4 connection came over (`IP_PKTOPTIONS`), when its listener
/// was told [`receive_local_addresses`]; 0 when the kernel does not say.
#[must_use]
pub fn interface_of(connection: impl AsFd) -> u32 {
    let mut control = Control([0; CONTROL]);
    let mut length = length_of::<Control>();
    // SAFETY: the buffer has the length that is passed, and both are ours.
    let asked = unsafe {
        libc::getsockopt(
            connection.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_PKTOPTIONS,
            control.0.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if asked != 0 {
        return 0;
    }
    // SAFETY: zero is a valid value for every field of this C structure.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = length.min(length_of::<Control>()) as _;
    // SAFETY: the control buffer is alive, and the kernel set its length.
    unsafe { arrival(&header) }.interface
}

/// Lets a socket have an address that is not ours (`IP_TRANSPARENT`, `ip(7)`).
///
/// # Errors
/// `EPERM` without `CAP_NET_RAW` and `CAP_NET_ADMIN` in the user namespace of the network
/// namespace.
pub fn set_transparent(socket: impl AsFd, v6: bool) -> io::Result<()> {
    if v6 {
        enable(socket, libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT)
    } else {
        enable(socket, libc::IPPROTO_IP, libc::IP_TRANSPARENT)
    }
}

fn enable(socket: impl AsFd, level: i32, option: i32) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option's value is an int, whose address and size are passed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            length_of::<libc::c_int>(),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "structures of some bytes")]
const fn length_of<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

/// Reads a name that the kernel wrote.
fn socket_address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let pointer = &raw const *name;
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that this is a sockaddr_in, and storage is larger and as
            // aligned as any address.
            let v4 = unsafe { pointer.cast::<libc::sockaddr_in>().read() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: likewise for sockaddr_in6.
            let v6 = unsafe { pointer.cast::<libc::sockaddr_in6>().read() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "2 and 10")]
const AF_INET: libc::sa_family_t = libc::AF_INET as libc::sa_family_t;
#[expect(clippy::cast_possible_truncation, reason = "as above")]
const AF_INET6: libc::sa_family_t = libc::AF_INET6 as libc::sa_family_t;

/// An address as the kernel reads it, with its length.
fn storage(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let length = match address {
        SocketAddr::V4(address) => {
            let name = libc::sockaddr_in {
                sin_family: AF_INET,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from(*address.ip()).to_be(),
                },
                sin_zero: [0; 8],
            };
            // SAFETY: storage is larger and as aligned as any address, and ours.
            unsafe { storage.as_mut_ptr().cast::<libc::sockaddr_in>().write(name) };
            length_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(address) => {
            let name = libc::sockaddr_in6 {
                sin6_family: AF_INET6,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr {
                    s6_addr: address.ip().octets(),
                },
                sin6_scope_id: address.scope_id(),
            };
            // SAFETY: as above.
            unsafe {
                storage
                    .as_mut_ptr()
                    .cast::<libc::sockaddr_in6>()
                    .write(name)
            };
            length_of::<libc::sockaddr_in6>()
        }
    };
    // SAFETY: zeroed before a part was written, so every byte has a value.
    (unsafe { storage.assume_init() }, length)
}

#[cfg(test)]
mod tests;
