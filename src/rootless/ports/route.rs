//! Whether the child namespace reaches an address by its default route: one question to the kernel
//! by rtnetlink(7), and its answer. Pure, but for [`Routes`].

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

    /// Whether the default route leads to an address. What the kernel does not say is no.
    pub(super) fn is_default_for(&mut self, ip: IpAddr) -> bool {
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
                Some((sequence, is_default)) if sequence == self.sequence => return is_default,
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

/// The number of the question, and whether the route found covers every address.
fn answer(message: &[u8]) -> Option<(u32, bool)> {
    let kind = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
    let sequence = u32::from_ne_bytes(message.get(8..12)?.try_into().ok()?);
    if kind != RTM_NEWROUTE {
        return Some((sequence, false));
    }
    let bits = message.get(HEADER + 1)?;
    let route = message.get(HEADER + 7)?;
    Some((sequence, *bits == 0 && *route == RTN_UNICAST))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn loopback_is_no_default_route() {
        let mut routes = Routes::open().unwrap();
        assert!(!routes.is_default_for([127, 0, 0, 1].into()));
        assert!(!routes.is_default_for([127, 1, 2, 3].into()));
        assert!(!routes.is_default_for(std::net::Ipv6Addr::LOCALHOST.into()));
    }

    #[test]
    fn only_a_unicast_route_for_every_address_counts() {
        let message = |kind: u16, bits, route| {
            let mut message = vec![0; 28];
            message[4..6].copy_from_slice(&kind.to_ne_bytes());
            message[8..12].copy_from_slice(&9_u32.to_ne_bytes());
            (message[17], message[23]) = (bits, route);
            answer(&message)
        };
        assert_eq!(message(RTM_NEWROUTE, 0, RTN_UNICAST), Some((9, true)));
        assert_eq!(message(RTM_NEWROUTE, 16, RTN_UNICAST), Some((9, false)));
        assert_eq!(message(RTM_NEWROUTE, 0, 7), Some((9, false)), "unreachable");
        assert_eq!(message(2, 0, RTN_UNICAST), Some((9, false)), "error");
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes: Vec<u8>) {
            let _ = answer(&bytes);
        }
    }
}
