use std::net::{TcpListener, UdpSocket};

use rustix::net::{AddressFamily, sockopt};

use super::*;
use crate::config::rootless::port::PortSpec;
use crate::ports::bind::pair;

/// Asks for a port, and answers in the same thread.
fn bound(spec: &str, reach: Reach) -> Result<OwnedFd, String> {
    let (service, client) = pair().unwrap();
    let spec: PortSpec = spec.parse().unwrap();
    client.ask(&Ask::of(&spec, reach).unwrap()).unwrap();
    assert_eq!(service.answer().unwrap(), Asker::There);
    client.receive().unwrap().unwrap()
}

/// A port of loopback that nobody has.
fn free() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

#[test]
fn a_listener_arrives_as_a_descriptor() {
    let port = free();
    let socket = bound(&format!("127.0.0.1:{port}:1/tcp"), Reach::AsNamed).unwrap();
    assert!(sockopt::socket_acceptconn(&socket).unwrap());
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
}

#[test]
fn a_taken_port_is_refused_in_gos_words() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    assert_eq!(
        bound(&format!("127.0.0.1:{port}:1/tcp4"), Reach::AsNamed).unwrap_err(),
        format!("listen tcp4 127.0.0.1:{port}: bind: address already in use")
    );
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    assert_eq!(
        bound(&format!("127.0.0.1:{port}:1/udp4"), Reach::AsNamed).unwrap_err(),
        format!("listen udp4 127.0.0.1:{port}: bind: address already in use")
    );
}

#[test]
fn an_address_that_nobody_has_is_refused_in_gos_words() {
    assert_eq!(
        bound("192.0.2.77:1234:1/tcp", Reach::AsNamed).unwrap_err(),
        "listen tcp 192.0.2.77:1234: bind: cannot assign requested address"
    );
    assert_eq!(
        bound("[::1]:1234:1/tcp4", Reach::AsNamed).unwrap_err(),
        "listen tcp4: address ::1: no suitable address found"
    );
}

#[test]
fn a_wildcard_has_both_families_only_when_it_may() {
    let domain = |spec: String, reach| {
        let socket = bound(&spec, reach).unwrap();
        sockopt::socket_domain(&socket).unwrap()
    };
    let here = match std::net::TcpListener::bind("[::]:0") {
        Ok(_) => AddressFamily::INET6,
        Err(_) => AddressFamily::INET,
    };
    for proto in ["tcp", "udp"] {
        assert_eq!(
            domain(format!("0.0.0.0:{}:1/{proto}4", free()), Reach::AsNamed),
            AddressFamily::INET
        );
        assert_eq!(
            domain(format!("0.0.0.0:{}:1/{proto}4", free()), Reach::AlsoV6),
            here
        );
        assert_eq!(
            domain(format!(":{}:1/{proto}", free()), Reach::AsNamed),
            here
        );
    }
}

#[test]
fn no_bytes_from_the_relay_stop_the_service() {
    let (service, client) = pair().unwrap();
    for message in [&b"\xff\xfe"[..], b"tcp * 0 as-named", &[b'x'; 4096]] {
        rustix::net::send(client.as_fd(), message, SendFlags::empty()).unwrap();
        assert_eq!(service.answer().unwrap(), Asker::There);
        let text = client.receive().unwrap().unwrap().unwrap_err();
        assert_eq!(text, "not a question of the port driver");
    }
}

#[test]
fn each_end_notices_that_the_other_is_gone() {
    let (service, client) = pair().unwrap();
    drop(client);
    assert_eq!(service.answer().unwrap(), Asker::Gone);
    let (service, client) = pair().unwrap();
    drop(service);
    assert_eq!(
        client.receive().unwrap_err().kind(),
        io::ErrorKind::UnexpectedEof
    );
}
