//! Whether an address lies outside, as the routes of the child namespace have it: one question to
//! the kernel by rtnetlink(7), and its answer. Pure, but for [`Routes`].

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// `struct nlmsghdr` and `struct rtmsg`.
const HEADER: usize = 16;
const ROUTE_HEADER: usize = 12;

const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const NLM_F_REQUEST: u16 = 1;
const RTA_DST: u16 = 1;
const RTA_GATEWAY: u16 = 5;
const RTN_UNICAST: u8 = 1;
/// Asks for the entry of the table rather than for its result. Without it, every answer is about
/// this one address. Kernels since 4.13 know it.
const RTM_F_FIB_MATCH: u32 = 0x2000;

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

    /// Whether the default route or a gateway leads to an address: networks inside are on links.
    /// What the kernel does not say is no.
    pub(super) fn lead_out_to(&mut self, ip: IpAddr) -> bool {
        self.sequence = self.sequence.wrapping_add(1);
        let question = question(ip, self.sequence);
        if rustix::net::send(&self.socket, &question, SendFlags::empty()).is_err() {
            return false;
        }
        let mut buffer = [0; 1024];
        // The kernel answers within the call that asks; older answers are of a question that
        // was given up.
        loop {
            let Ok((length, _)) =
                rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT)
            else {
                return false;
            };
            match answer(buffer.get(..length).unwrap_or_default()) {
                Some((sequence, out)) if sequence == self.sequence => return out,
                Some(_) => {}
                None => return false,
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

/// The number of the question, and whether the route found covers every address or has a gateway.
fn answer(message: &[u8]) -> Option<(u32, bool)> {
    let kind = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
    let sequence = u32::from_ne_bytes(message.get(8..12)?.try_into().ok()?);
    if kind != RTM_NEWROUTE {
        return Some((sequence, false));
    }
    let bits = message.get(HEADER + 1)?;
    let route = message.get(HEADER + 7)?;
    let out = *bits == 0 || has_attribute(message.get(HEADER + ROUTE_HEADER..)?, RTA_GATEWAY);
    Some((sequence, out && *route == RTN_UNICAST))
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
    fn loopback_is_not_outside() {
        let mut routes = Routes::open().unwrap();
        assert!(!routes.lead_out_to([127, 0, 0, 1].into()));
        assert!(!routes.lead_out_to([127, 1, 2, 3].into()));
        assert!(!routes.lead_out_to(std::net::Ipv6Addr::LOCALHOST.into()));
    }

    #[test]
    fn only_a_unicast_route_for_every_address_or_with_a_gateway_counts() {
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
        let found = RTM_NEWROUTE;
        assert_eq!(message(found, 0, RTN_UNICAST, &[]), Some((9, true)));
        assert_eq!(message(found, 16, RTN_UNICAST, &[1, 4]), Some((9, false)));
        assert_eq!(message(found, 16, RTN_UNICAST, &[1, 5]), Some((9, true)));
        assert_eq!(message(found, 0, 7, &[5]), Some((9, false)), "unreachable");
        assert_eq!(message(2, 0, RTN_UNICAST, &[]), Some((9, false)), "error");
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes: Vec<u8>) {
            let _ = answer(&bytes);
        }
    }
}
