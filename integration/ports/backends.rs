//! What docker-proxy tells: which container is behind a published port.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use dind_init::config::rootless::ChildSide;
use dind_init::host::rootless::Filter;
use dind_init::ports::SourceAddresses;

use crate::harness::{CLIENT, Net, OUTER, Plan, World, eventually, network};
use crate::skip::skip;
use crate::source::{apply, seen};
use crate::traffic::accept;

const CLIENT6: &str = "2001:db8::2";

/// A daemon that maps ports to loopback, as rootless engines do.
fn world() -> World {
    World::start(Plan {
        side: Some(ChildSide::Loopback),
        addresses: SourceAddresses::Kept,
        ..Plan::default()
    })
}

/// A container behind dockerd's bridge.
fn container(world: &World) -> Net {
    let container = Net::new();
    world.child.join(
        &container,
        "docker0",
        &["172.17.0.1/16", "fd00:17::1/64"],
        &["172.17.0.2/16", "fd00:17::2/64"],
    );
    container.ip("route add default via 172.17.0.1");
    container.ip("-6 route add default via fd00:17::1");
    container
}

fn tell(world: &World, proto: &str, front: &str, container: &str) -> (u16, String) {
    let body = format!(r#"{{"proto":"{proto}","front":"{front}","container":"{container}"}}"#);
    world.call("POST", "/dind-init/v1/backends", &body)
}

#[track_caller]
fn told(world: &World, proto: &str, front: &str, container: &str) {
    let (status, body) = tell(world, proto, front, container);
    assert_eq!(status, 200, "{body}");
}

/// Sends a word, has it answered, and returns whom the service saw.
fn seen_by(service: &UdpSocket, client: &UdpSocket) -> SocketAddr {
    client.send(b"who am I?").unwrap();
    let mut buffer = [0; 64];
    let (length, from) = service.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"who am I?");
    service.send_to(b"you are seen", from).unwrap();
    let length = client.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"you are seen");
    from
}

fn client(net: &Net, from: &str, to: &str) -> UdpSocket {
    let socket = net.udp(from);
    let to: SocketAddr = to.parse().unwrap();
    net.inside(|| rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &to)).unwrap());
    socket
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn connections_go_to_the_container_with_their_clients_address() {
    network(|| {
        for filter in [Filter::Nft, Filter::Iptables] {
            let world = world();
            if !apply(&world.child, filter) {
                skip(&format!("needs the program for {filter:?}"));
                continue;
            }
            let container = container(&world);
            let four = container.listen("172.17.0.2:80");
            let six = container.listen("[fd00:17::2]:80");
            let proxy = world.child.listen("127.0.0.1:8080");
            world.publish("0.0.0.0:8080:127.0.0.1:8080/tcp4");
            world.publish("[::]:8080:[::1]:8080/tcp6");
            let to = format!("{OUTER}:8080");
            seen(&world.client, &to, &proxy);
            told(&world, "tcp", "127.0.0.1:8080", "172.17.0.2:80");
            assert_eq!(seen(&world.client, &to, &four), ip(CLIENT));
            // The host's own address inside leads there as well, and nobody warns about it.
            let inside = seen(&world.child, "10.0.2.100:8080", &four);
            assert_eq!(inside, ip("172.17.0.1"));
            assert_eq!(
                seen(&world.outer, "127.0.0.1:8080", &four),
                ip("172.17.0.1")
            );

            let to = "[2001:db8::1]:8080";
            told(&world, "tcp", "[::1]:8080", "[fd00:17::2]:80");
            assert_eq!(seen(&world.client, to, &six), ip(CLIENT6));
            // A container without IPv6.
            told(&world, "tcp", "[::1]:8080", "172.17.0.2:80");
            assert_eq!(seen(&world.client, to, &four), ip("172.17.0.1"));
            let log = world.log();
            assert!(!log.contains("level=warning"), "{log}");
        }
    });
}

/// Without a default route for IPv6, as where the tap device carries IPv4 alone.
#[test]
fn clients_that_no_route_leads_to_keep_their_addresses() {
    network(|| {
        let world = world();
        if !apply(&world.child, Filter::Nft) {
            return skip("needs nft");
        }
        world.child.ip("-6 route del default");
        let container = container(&world);
        let six: TcpListener = container.listen("[fd00:17::2]:80");
        world.publish("[::]:8080:[::1]:8080/tcp6");
        told(&world, "tcp", "[::1]:8080", "[fd00:17::2]:80");
        assert_eq!(seen(&world.client, "[2001:db8::1]:8080", &six), ip(CLIENT6));
    });
}

#[test]
fn datagrams_go_to_the_container_with_their_clients_address() {
    network(|| {
        for filter in [Filter::Nft, Filter::Iptables] {
            let world = world();
            if !apply(&world.child, filter) {
                skip(&format!("needs the program for {filter:?}"));
                continue;
            }
            let container = container(&world);
            let (four, six) = (
                container.udp("172.17.0.2:53"),
                container.udp("[fd00:17::2]:53"),
            );
            let proxy = world.child.udp("127.0.0.1:5353");
            world.publish("0.0.0.0:5353:127.0.0.1:5353/udp4");
            world.publish("[::]:5353:[::1]:5353/udp6");
            let one = client(&world.client, "192.0.2.2:7000", &format!("{OUTER}:5353"));
            assert_eq!(seen_by(&proxy, &one).ip(), ip("127.0.0.1"));
            // Who has come before goes to the container from now on, too.
            told(&world, "udp", "127.0.0.1:5353", "172.17.0.2:53");
            let from = seen_by(&four, &one);
            assert_eq!(from, "192.0.2.2:7000".parse().unwrap());
            let two = client(&world.client, "[2001:db8::2]:7000", "[2001:db8::1]:5353");
            told(&world, "udp", "[::1]:5353", "[fd00:17::2]:53");
            assert_eq!(seen_by(&six, &two), "[2001:db8::2]:7000".parse().unwrap());
            let local = client(&world.outer, "127.0.0.1:0", "127.0.0.1:5353");
            assert_eq!(seen_by(&four, &local).ip(), ip("172.17.0.1"));
            let log = world.log();
            let warnings = log.matches("level=warning").count();
            assert_eq!(warnings, 1, "docker-proxy has not told at first: {log}");
        }
    });
}

/// The kernel would give the answers for both to one of them.
#[test]
fn one_client_port_is_answered_by_two_published_ports_each_from_its_own() {
    network(|| {
        let world = world();
        if !apply(&world.child, Filter::Nft) {
            return skip("needs nft");
        }
        let container = container(&world);
        let service = container.udp("172.17.0.2:53");
        let ports = [5353, 5354].map(|port| told_port(&world, port));
        let socket = world.client.udp("192.0.2.2:7000");
        let mut froms = Vec::new();
        for (port, _) in ports {
            let to: SocketAddr = format!("{OUTER}:{port}").parse().unwrap();
            let mut buffer = [0; 16];
            for _ in 0..2 {
                socket.send_to(&u16::to_be_bytes(port), to).unwrap();
                let (length, from) = service.recv_from(&mut buffer).unwrap();
                service.send_to(&buffer[..length], from).unwrap();
                let (length, answered) = socket.recv_from(&mut buffer).unwrap();
                assert_eq!((&buffer[..length], answered), (&port.to_be_bytes()[..], to));
                froms.push(from);
            }
        }
        let own: SocketAddr = "192.0.2.2:7000".parse().unwrap();
        assert_eq!(froms.iter().filter(|from| **from == own).count(), 2);
        // When the first is gone, the second may have the address.
        world.remove(ports[0].1);
        told(&world, "udp", "127.0.0.1:5354", "172.17.0.2:54");
        let other = container.udp("172.17.0.2:54");
        let client = client(&world.client, "192.0.2.3:7000", &format!("{OUTER}:5354"));
        assert_eq!(seen_by(&other, &client).ip(), ip("192.0.2.3"));
    });
}

fn told_port(world: &World, port: u16) -> (u16, u32) {
    let id = world.publish(&format!("0.0.0.0:{port}:127.0.0.1:{port}/udp4"));
    told(world, "udp", &format!("127.0.0.1:{port}"), "172.17.0.2:53");
    (port, id)
}

#[test]
fn only_what_is_published_has_a_container_and_it_ends_with_the_port() {
    network(|| {
        let world = world();
        let (status, body) = tell(&world, "tcp", "127.0.0.1:8080", "172.17.0.2:80");
        assert_eq!(status, 400, "{body}");
        assert!(
            body.contains("no published port leads to 127.0.0.1:8080"),
            "{body}"
        );
        let id = world.publish("0.0.0.0:8080:127.0.0.1:8080/tcp4");
        let (status, _) = tell(&world, "udp", "127.0.0.1:8080", "172.17.0.2:80");
        assert_eq!(status, 400, "another protocol");
        let (status, body) = tell(&world, "tcp", "127.0.0.1:8080", "127.0.0.1:2375");
        assert_eq!(status, 400, "{body}");
        told(&world, "tcp", "127.0.0.1:8080", "172.17.0.2:80");
        world.remove(id);
        let before = world.descriptors();
        let proxy = world.child.listen("127.0.0.1:8080");
        let id = world.publish("0.0.0.0:8080:127.0.0.1:8080/tcp4");
        let stream = world.client.connect(&format!("{OUTER}:8080"));
        let mut server = accept(&proxy);
        server.write_all(b"docker-proxy").unwrap();
        drop((stream, server));
        world.remove(id);
        eventually("nothing is left", || world.descriptors() <= before);
    });
}
