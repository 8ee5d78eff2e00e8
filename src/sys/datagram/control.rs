//! The control messages that say where a datagram arrived (`IP_PKTINFO`, `IPV6_PKTINFO`), and
//! where an answer leaves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Path;

/// Room for one `in6_pktinfo`, and more.
pub(super) const CONTROL: usize = 64;

/// Control messages want the alignment of `cmsghdr`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Control(pub(super) [u8; CONTROL]);

/// Where a datagram arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Arrival {
    /// The address that it was sent to.
    pub(super) local: Option<IpAddr>,
    /// The interface of a link-local address, else 0.
    pub(super) scope: u32,
    /// The interface that it came over; 0 when the kernel did not say.
    pub(super) interface: u32,
}

/// # Safety
/// The header's control buffer is alive and as long as it says.
pub(super) unsafe fn arrival(header: &libc::msghdr) -> Arrival {
    // SAFETY: the caller vouches for the control buffer.
    let message = unsafe { libc::CMSG_FIRSTHDR(header) };
    if message.is_null() {
        return Arrival::default();
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
            Arrival {
                local: Some(ip.into()),
                scope: 0,
                interface: info.ipi_ifindex.cast_unsigned(),
            }
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            // SAFETY: likewise for in6_pktinfo.
            let info = unsafe { data.cast::<libc::in6_pktinfo>().read_unaligned() };
            let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            let interface = info.ipi6_ifindex;
            Arrival {
                // A datagram to a group cannot be answered from the group's address.
                local: (!ip.is_multicast()).then_some(ip.into()),
                scope: if ip.is_unicast_link_local() {
                    interface
                } else {
                    0
                },
                interface,
            }
        }
        _ => Arrival::default(),
    }
}

/// The control message that makes a datagram leave from the path's local address, with its length.
pub(super) fn packet_info(path: &Path) -> (Control, usize) {
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
            let (interface, addresses) = info.split_at_mut(4);
            interface.copy_from_slice(&path.interface.to_ne_bytes());
            if let Some(place) = addresses.get_mut(..4) {
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
