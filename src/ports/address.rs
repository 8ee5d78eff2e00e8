//! Where in the child namespaces a port leads. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::rootless::port::{self, Family, PortSpec, Transport};

/// The address that the relay connects to: the child address; else the outer one if that is a
/// loopback address (127.0.0.2 outside is 127.0.0.2 inside); else loopback.
///
/// rootlesskit takes any outer address but the first over. The child cannot have it as its own, so
/// the relay would dial out through the network helper, and itself.
#[must_use]
pub fn target(spec: &PortSpec) -> SocketAddr {
    let parent = spec.parent_ip.as_ref().map(port::Address::ip);
    let child = spec.child_ip.as_ref().map(port::Address::ip);
    let ip = match (child, parent) {
        (Some(ip), _) if !ip.is_unspecified() => ip,
        (Some(ip), _) => loopback(ip),
        (None, Some(ip)) if ip.is_loopback() => ip,
        (None, Some(ip)) if ip.is_unspecified() => loopback(ip),
        (None, _) => Ipv4Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, spec.child_port.get())
}

/// Where inside a published port is served as well. A daemon whose network is the outer one, as
/// every rootful daemon's is, finds it on `localhost`, from which people push and pull, and where
/// containers of the host network find a resolver; and containers find it on an address of their
/// host. docker-proxy serves one of the two: where it is on loopback, the other is `tap`, the
/// address of the tap device. A port without a child address is no daemon's: what serves it inside
/// may want every address for itself.
#[must_use]
pub fn inside(spec: &PortSpec, tap: Option<IpAddr>) -> Option<SocketAddr> {
    let parent = spec.parent_ip.as_ref().map(port::Address::ip);
    let everywhere = match (parent, spec.proto.family) {
        (None, Family::V6) => return None,
        (None, _) => true,
        (Some(ip), _) if ip.is_unspecified() && ip.is_ipv4() => true,
        (Some(ip), _) if ip.is_loopback() => false,
        (Some(_), _) => return None,
    };
    let ip = match (target(spec).ip().is_loopback(), everywhere) {
        (true, true) => spec.child_ip.as_ref().and(tap)?,
        (true, false) => return None,
        (false, true) => Ipv4Addr::LOCALHOST.into(),
        (false, false) => parent?,
    };
    let wanted = spec.proto.transport != Transport::Sctp;
    wanted.then(|| SocketAddr::new(ip, spec.parent_port.get()))
}

/// The loopback address of the same family.
fn loopback(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_address_then_loopback_parent_then_loopback() {
        for (spec, want) in [
            (":8080:80/tcp", "127.0.0.1:80"),
            ("0.0.0.0:8080:80/tcp", "127.0.0.1:80"),
            ("[::]:8080:80/tcp6", "[::1]:80"),
            ("127.0.0.2:8080:80/tcp", "127.0.0.2:80"),
            ("[::1]:8080:80/tcp", "[::1]:80"),
            ("192.0.2.7:8080:80/tcp", "127.0.0.1:80"),
            ("[2001:db8::7]:8080:80/tcp", "127.0.0.1:80"),
            ("127.0.0.2:8080:10.0.2.100:80/tcp", "10.0.2.100:80"),
            ("[::1]:8080:10.0.2.100:80/tcp", "10.0.2.100:80"),
            (":8080:[::2]:80/udp", "[::2]:80"),
            (":8080:0.0.0.0:80/udp", "127.0.0.1:80"),
            (":8080:[::ffff:10.0.2.100]:80/tcp4", "10.0.2.100:80"),
        ] {
            let spec: PortSpec = spec.parse().unwrap();
            assert_eq!(target(&spec), want.parse().unwrap(), "{spec}");
        }
    }

    #[test]
    fn what_is_published_on_loopback_is_there_inside_too_and_on_the_host_s_address() {
        for (spec, want) in [
            ("0.0.0.0:5000:10.0.2.100:5000/tcp4", Some("127.0.0.1:5000")),
            (":5000:10.0.2.100:80/tcp", Some("127.0.0.1:5000")),
            ("127.0.0.2:5000:10.0.2.100:80/tcp4", Some("127.0.0.2:5000")),
            ("192.0.2.1:5000:10.0.2.100:80/tcp4", None),
            ("0.0.0.0:5000:127.0.0.1:80/tcp4", Some("10.0.2.100:5000")),
            ("0.0.0.0:5000:5000/tcp4", None),
            ("127.0.0.1:5000:127.0.0.1:5000/tcp4", None),
            ("[::]:5000:[::1]:5000/tcp6", None),
            ("0.0.0.0:53:10.0.2.100:53/udp4", Some("127.0.0.1:53")),
            ("127.0.0.1:5353:10.0.2.100:53/udp4", Some("127.0.0.1:5353")),
            ("0.0.0.0:53:127.0.0.1:53/udp4", Some("10.0.2.100:53")),
            ("0.0.0.0:53:10.0.2.100:53/sctp4", None),
            ("[::]:5000:[fd00::100]:80/tcp6", None),
        ] {
            let spec: PortSpec = spec.parse().unwrap();
            let tap = Some([10, 0, 2, 100].into());
            let found = inside(&spec, tap);
            assert_eq!(found, want.map(|it| it.parse().unwrap()), "{spec}");
        }
    }
}
