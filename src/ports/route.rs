//! Where an address lies, as the routes of the child namespace have it: one question to the kernel
//! by rtnetlink(7), and its answer. Pure, but for [`Routes`].

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// `struct nlmsghdr` and `struct rtmsg`.
const HEADER: usize = 16;
const ROUTE_HEADER: usize = 12;

const NLMSG_ERROR: u16 = 2;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const NLM_F_REQUEST: u16 = 1;
const RTA_DST: u16 = 1;
const RTA_GATEWAY: u16 = 5;
const RTN_UNICAST: u8 = 1;
/// Asks for the entry of the table rather than for its result. Without it, every answer is about
/// this one address. Kernels since 4.13 know it.
const RTM_F_FIB_MATCH: u32 = 0x2000;

/// Where an address lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a network inside: those are on links.
    Inside,
    /// An address of our own, or one that is shut out; also what the kernel does not say.
    Nowhere,
    /// Outside: the default route or a gateway leads there, or, where there is no default route,
    /// none does.
    Outside,
}

/// A question to the kernel. Not a connection: it may be asked at any time.
#[derive(Debug)]
pub(super) struct Routes {
    socket: OwnedFd,
    sequence: u32,
}

impl Routes {
    /// Opens the way to the kernel for the network namespace of this thread.
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Where an address lies.
    pub(super) fn place_of(&mut self, ip: IpAddr) -> Place {
        self.sequence = self.sequence.wrapping_add(1);
        let question = question(ip, self.sequence);
        if rustix::net::send(&self.socket, &question, SendFlags::empty()).is_err() {
            return Place::Nowhere;
        }
        let mut buffer = [0; 1024];
        // The kernel answers within the call that asks; older answers are of a question that
        // was given up.
        loop {
            let Ok((length, _)) =
                rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT)
            else {
                return Place::Nowhere;
            };
            match answer(buffer.get(..length).unwrap_or_default()) {
                Some((sequence, place)) if sequence == self.sequence => return place,
                Some(_) => {}
                None => return Place::Nowhere,
            }
        }
    }
}

/// `RTM_GETROUTE` for one address.
fn question(ip: IpAddr, sequence: u32) -> Vec<u8> {
    let (family, octets) = match ip {
        IpAddr::V4(ip) => (AddressFamily::INET, ip.octets().to_vec()),
        IpAddr::V6(ip) => (AddressFamily::INET6, ip.octets().to_vec()),
    };
    let attribute = 4 + octets.len();
    let length = u32::try_from(HEADER + ROUTE_HEADER + attribute).unwrap_or_default();
    let family = u8::try_from(family.as_raw()).unwrap_or_default();
    let bits = u8::try_from(octets.len() * 8).unwrap_or_default();
    let mut message = Vec::with_capacity(64);
    message.extend(length.to_ne_bytes());
    message.extend(RTM_GETROUTE.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]); // port id: the kernel fills it in
    message.extend([family, bits, 0, 0, 0, 0, 0, 0]);
    message.extend(RTM_F_FIB_MATCH.to_ne_bytes());
    message.extend(u16::try_from(attribute).unwrap_or_default().to_ne_bytes());
    message.extend(RTA_DST.to_ne_bytes());
    message.extend(octets);
    message
}

/// The number of the question, and where the route found leads.
fn answer(message: &[u8]) -> Option<(u32, Place)> {
    let kind = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
    let sequence = u32::from_ne_bytes(message.get(8..12)?.try_into().ok()?);
    if kind == NLMSG_ERROR {
        let number = i32::from_ne_bytes(message.get(HEADER..HEADER + 4)?.try_into().ok()?);
        let unreachable = number == -Errno::NETUNREACH.raw_os_error();
        let place = if unreachable {
            Place::Outside
        } else {
            Place::Nowhere
        };
        return Some((sequence, place));
    }
    if kind != RTM_NEWROUTE {
        return Some((sequence, Place::Nowhere));
    }
    let bits = message.get(HEADER + 1)?;
    let route = message.get(HEADER + 7)?;
    let attributes = message.get(HEADER + ROUTE_HEADER..)?;
    let place = match *route {
        RTN_UNICAST if *bits == 0 || has_attribute(attributes, RTA_GATEWAY) => Place::Outside,
        RTN_UNICAST => Place::Inside,
        _ => Place::Nowhere,
    };
    Some((sequence, place))
}

/// Whether one of the attributes is of this kind; each begins at a multiple of four.
fn has_attribute(mut attributes: &[u8], wanted: u16) -> bool {
    while let [a, b, c, d, ..] = *attributes {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        if length < 4 {
            return false;
        }
        if u16::from_ne_bytes([c, d]) == wanted {
            return true;
        }
        attributes = attributes
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn loopback_is_nowhere() {
        let mut routes = Routes::open().unwrap();
        for ip in [IpAddr::from([127, 0, 0, 1]), [127, 1, 2, 3].into()] {
            assert_eq!(routes.place_of(ip), Place::Nowhere);
        }
        let six = std::net::Ipv6Addr::LOCALHOST.into();
        assert_eq!(routes.place_of(six), Place::Nowhere);
    }

    #[test]
    fn a_unicast_route_for_every_address_or_with_a_gateway_leads_outside() {
        let message = |kind: u16, bits, route, attributes: &[u16]| {
            let mut message = vec![0; 28];
            for kind in attributes {
                // Five bytes long, eight with what fills it up.
                message.extend(5_u16.to_ne_bytes());
                message.extend(kind.to_ne_bytes());
                message.extend([7, 0, 0, 0]);
            }
            message[4..6].copy_from_slice(&kind.to_ne_bytes());
            message[8..12].copy_from_slice(&9_u32.to_ne_bytes());
            (message[17], message[23]) = (bits, route);
            answer(&message)
        };
        let found = |bits, route, attributes: &[u16]| {
            let (sequence, place) = message(RTM_NEWROUTE, bits, route, attributes).unwrap();
            assert_eq!(sequence, 9);
            place
        };
        assert_eq!(found(0, RTN_UNICAST, &[]), Place::Outside);
        assert_eq!(found(16, RTN_UNICAST, &[1, 5]), Place::Outside);
        assert_eq!(found(16, RTN_UNICAST, &[1, 4]), Place::Inside);
        assert_eq!(found(32, 2, &[]), Place::Nowhere, "an address of ours");
        assert_eq!(found(0, 7, &[5]), Place::Nowhere, "unreachable");
        let error = message(2, 0, RTN_UNICAST, &[]);
        assert_eq!(error, Some((9, Place::Nowhere)));
        let mut none = vec![0; 36];
        none[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
        none[8..12].copy_from_slice(&9_u32.to_ne_bytes());
        none[16..20].copy_from_slice(&(-101_i32).to_ne_bytes());
        assert_eq!(answer(&none), Some((9, Place::Outside)));
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes: Vec<u8>) {
            let _ = answer(&bytes);
        }
    }
}
