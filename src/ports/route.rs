//! Where an address lies, as the routes of the child namespace have it: one question to the kernel
//! by rtnetlink(7), and its answer. Pure, but for [`Routes`].

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags};

use crate::sys::netlink;

/// `struct rtmsg`.
const ROUTE_HEADER: usize = 12;
/// Asks for the entry of the table rather than for its result. Without it, every answer is about
/// this one address. Kernels since 4.13 know it.
const FIB_MATCH: u32 = 0x2000;

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
        Ok(Self {
            socket: netlink::open(None)?,
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
    let family = u8::try_from(family.as_raw()).unwrap_or_default();
    let length = u8::try_from(octets.len()).unwrap_or_default();
    let mut body = vec![family, length * 8, 0, 0, 0, 0, 0, 0];
    body.extend(FIB_MATCH.to_ne_bytes());
    body.extend((4 + u16::from(length)).to_ne_bytes());
    body.extend(libc::RTA_DST.to_ne_bytes());
    body.extend(octets);
    netlink::request(libc::RTM_GETROUTE, 0, sequence, &body)
}

/// The number of the question, and where the route found leads.
fn answer(mut bytes: &[u8]) -> Option<(u32, Place)> {
    let message = netlink::next(&mut bytes)?;
    let place = match message.kind {
        netlink::ERROR if message.errno() == Errno::NETUNREACH.raw_os_error() => Place::Outside,
        libc::RTM_NEWROUTE => {
            let (head, attributes) = message.body.split_first_chunk::<ROUTE_HEADER>()?;
            let [_, bits, _, _, _, _, _, route, ..] = *head;
            match route {
                libc::RTN_UNICAST if bits == 0 || has_attribute(attributes, libc::RTA_GATEWAY) => {
                    Place::Outside
                }
                libc::RTN_UNICAST => Place::Inside,
                _ => Place::Nowhere,
            }
        }
        _ => Place::Nowhere,
    };
    Some((message.sequence, place))
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
            let mut body = vec![0; ROUTE_HEADER];
            (body[1], body[7]) = (bits, route);
            for kind in attributes {
                // Five bytes long, eight with what fills it up.
                body.extend(5_u16.to_ne_bytes());
                body.extend(kind.to_ne_bytes());
                body.extend([7, 0, 0, 0]);
            }
            answer(&netlink::request(kind, 0, 9, &body))
        };
        let found = |bits, route, attributes: &[u16]| {
            let (sequence, place) = message(libc::RTM_NEWROUTE, bits, route, attributes).unwrap();
            assert_eq!(sequence, 9);
            place
        };
        assert_eq!(found(0, libc::RTN_UNICAST, &[]), Place::Outside);
        assert_eq!(found(16, libc::RTN_UNICAST, &[1, 5]), Place::Outside);
        assert_eq!(found(16, libc::RTN_UNICAST, &[1, 4]), Place::Inside);
        assert_eq!(found(32, 2, &[]), Place::Nowhere, "an address of ours");
        assert_eq!(found(0, 7, &[5]), Place::Nowhere, "unreachable");
        let error = message(2, 0, libc::RTN_UNICAST, &[]);
        assert_eq!(error, Some((9, Place::Nowhere)));
        let none = netlink::request(netlink::ERROR, 0, 9, &(-101_i32).to_ne_bytes());
        assert_eq!(answer(&none), Some((9, Place::Outside)));
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes: Vec<u8>) {
            let _ = answer(&bytes);
        }
    }
}
