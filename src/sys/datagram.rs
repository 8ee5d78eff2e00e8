//! Datagrams by the dozen (`recvmmsg(2)`, `sendmmsg(2)`), each with the local address that it came
//! to (`IP_PKTINFO`, `ip(7)`; `IPV6_PKTINFO`, `ipv6(7)`), and transparent sockets.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};

/// Datagrams that one call moves at most.
pub const BATCH: usize = 16;
/// As the system calls count.
const BATCH_COUNT: libc::c_uint = 16;

/// No UDP datagram is longer.
const LARGEST: usize = 65_535;

/// Room for one `in6_pktinfo`, and more.
const CONTROL: usize = 64;

/// Where a datagram came from, and to which of our addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    /// The other side, in the family of the socket: an IPv6 socket names IPv4 clients
    /// `::ffff:…`.
    pub peer: SocketAddr,
    /// Our address; none when the kernel did not say.
    pub local: Option<IpAddr>,
    /// The interface of a link-local address, else 0: the routes decide how an answer leaves.
    pub interface: u32,
}

/// Control messages want the alignment of `cmsghdr`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// Received datagrams, which can be sent on without a copy.
pub struct Batch {
    bytes: Vec<u8>,
    lengths: [usize; BATCH],
    paths: [Option<Path>; BATCH],
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
        let slots = self.lengths.iter_mut().zip(&mut self.paths);
        for ((length, path), (header, name)) in slots.zip(received) {
            *length = (header.msg_len as usize).min(LARGEST);
            // SAFETY: the kernel filled the header's control buffer, which is still alive, and set
            // its length.
            let (local, interface) = unsafe { local_address(&header.msg_hdr) };
            *path = socket_address(name).map(|peer| Path {
                peer,
                local,
                interface,
            });
        }
        Ok(count)
    }

    /// The path of one of the datagrams that were received.
    #[must_use]
    pub fn path(&self, index: usize) -> Option<Path> {
        self.paths.get(index).copied().flatten()
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

/// # Safety
/// The header's control buffer is alive and as long as it says.
unsafe fn local_address(header: &libc::msghdr) -> (Option<IpAddr>, u32) {
    // SAFETY: the caller vouches for the control buffer.
    let message = unsafe { libc::CMSG_FIRSTHDR(header) };
    if message.is_null() {
        return (None, 0);
    }
    // SAFETY: not null, so it points to a header inside of the buffer, and the buffer is aligned.
    let header = unsafe { message.read() };
    // SAFETY: the data of a message follows its header.
    let data = unsafe { libc::CMSG_DATA(message) };
    match (header.cmsg_level, header.cmsg_type) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            // SAFETY: the kernel put an in_pktinfo there; unaligned reads are allowed.
            let info = unsafe { data.cast::<libc::in_pktinfo>().read_unaligned() };
            // For a broadcast this is the address that an answer may have.
            let ip = Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr));
            (Some(ip.into()), 0)
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            // SAFETY: likewise for in6_pktinfo.
            let info = unsafe { data.cast::<libc::in6_pktinfo>().read_unaligned() };
            let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            let interface = if ip.is_unicast_link_local() {
                info.ipi6_ifindex
            } else {
                0
            };
            // A datagram to a group cannot be answered from the group's address.
            ((!ip.is_multicast()).then_some(ip.into()), interface)
        }
        _ => (None, 0),
    }
}

/// The control message that makes a datagram leave from the path's local address, with its length.
fn packet_info(path: &Path) -> (Control, usize) {
    let mut control = Control([0; CONTROL]);
    let mut fill = |level, kind, info: &[u8]| {
        let length = u32::try_from(info.len()).unwrap_or_default();
        // SAFETY: zero is a valid value for every field.
        let mut header: libc::cmsghdr = unsafe { std::mem::zeroed() };
        header.cmsg_level = level;
        header.cmsg_type = kind;
        // SAFETY: it only computes.
        let whole = unsafe { libc::CMSG_LEN(length) };
        // SAFETY: likewise.
        let space = unsafe { libc::CMSG_SPACE(length) };
        header.cmsg_len = whole as _;
        let start = whole as usize - info.len();
        // SAFETY: the buffer is ours, aligned for a header, and longer than one.
        unsafe { control.0.as_mut_ptr().cast::<libc::cmsghdr>().write(header) };
        if let Some(place) = control.0.get_mut(start..start + info.len()) {
            place.copy_from_slice(info);
        }
        space as usize
    };
    let length = match (path.peer, path.local) {
        (SocketAddr::V4(_), Some(IpAddr::V4(local))) => {
            // in_pktinfo: interface, address to send from, address in the header.
            let mut info = [0; size_of::<libc::in_pktinfo>()];
            if let Some(place) = info.get_mut(4..8) {
                place.copy_from_slice(&local.octets());
            }
            fill(libc::IPPROTO_IP, libc::IP_PKTINFO, &info)
        }
        (SocketAddr::V6(_), Some(IpAddr::V6(local))) => {
            // in6_pktinfo: address, interface.
            let mut info = [0; size_of::<libc::in6_pktinfo>()];
            let (address, interface) = info.split_at_mut(16);
            address.copy_from_slice(&local.octets());
            interface.copy_from_slice(&path.interface.to_ne_bytes());
            fill(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info)
        }
        _ => 0,
    };
    (control, length)
}

#[cfg(test)]
mod tests;
