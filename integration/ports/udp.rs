//! UDP.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::harness::{Net, OUTER, World, network};

/// A client whose kernel takes datagrams only from the address that it asked.
fn client(net: &Net, from: &str, to: &str) -> UdpSocket {
    let socket = net.udp(from);
    let to: SocketAddr = to.parse().unwrap();
    // The machine may be stopped and continued at any time.
    net.inside(|| rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &to)).unwrap());
    socket
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_536];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    buffer.truncate(length);
    (buffer, from)
}

#[test]
fn each_client_gets_its_own_answers() {
    network(|| {
        let world = World::new();
        let service = world.child.udp("10.0.2.100:53");
        world.publish("0.0.0.0:5353:10.0.2.100:53/udp4");
        let to = format!("{OUTER}:5353");
        let one = client(&world.client, "192.0.2.2:0", &to);
        let two = client(&world.client, "192.0.2.3:0", &to);
        one.send(b"one").unwrap();
        let (text, first) = receive(&service);
        assert_eq!(text, b"one");
        two.send(b"two").unwrap();
        let (text, second) = receive(&service);
        assert_eq!(text, b"two");
        assert_ne!(first, second);
        for round in 0..50_u8 {
            service.send_to(&[2, round], second).unwrap();
            service.send_to(&[1, round], first).unwrap();
        }
        for round in 0..50_u8 {
            assert_eq!(receive(&one).0, [1, round]);
            assert_eq!(receive(&two).0, [2, round]);
        }
        one.send(b"again").unwrap();
        assert_eq!(receive(&service), (b"again".to_vec(), first));
    });
}

#[test]
fn answers_leave_from_the_address_that_was_asked() {
    network(|| {
        let world = World::new();
        let service = world.child.udp("10.0.2.100:53");
        world.publish("0.0.0.0:5353:10.0.2.100:53/udp4");
        for (from, to) in [
            ("192.0.2.2:7000", "192.0.2.1:5353"),
            ("192.0.2.2:7000", "192.0.2.11:5353"),
            ("[2001:db8::2]:7000", "[2001:db8::1]:5353"),
        ] {
            let client = client(&world.client, from, to);
            client.send(to.as_bytes()).unwrap();
            let (text, inner) = receive(&service);
            assert_eq!(text, to.as_bytes());
            service.send_to(b"answer", inner).unwrap();
            assert_eq!(receive(&client).0, b"answer", "{to}");
        }
    });
}

/// From inside, what is published is on loopback, too, and gone when it is removed.
#[test]
fn a_published_port_is_on_loopback_inside_as_well() {
    network(|| {
        let world = World::new();
        let service = world.child.udp("10.0.2.100:53");
        let id = world.publish("127.0.0.1:5353:10.0.2.100:53/udp4");
        let inner = client(&world.child, "127.0.0.1:0", "127.0.0.1:5353");
        inner.send(b"inside").unwrap();
        let (text, from) = receive(&service);
        assert_eq!(text, b"inside");
        service.send_to(b"answer", from).unwrap();
        assert_eq!(receive(&inner).0, b"answer");
        world.remove(id);
        // The port is free again.
        world.child.udp("127.0.0.1:5353");
    });
}

#[test]
fn datagrams_of_every_size_arrive_whole() {
    network(|| {
        let world = World::new();
        let service = world.child.udp("127.0.0.1:53");
        world.publish("192.0.2.1:5353:53/udp");
        let client = client(&world.client, "192.0.2.2:0", "192.0.2.1:5353");
        for size in [0, 1, 1472, 1473, 9000, 65_507] {
            let bytes: Vec<u8> = (0..size).map(|at: usize| (at % 251) as u8).collect();
            client.send(&bytes).unwrap();
            let (got, inner) = receive(&service);
            assert!(got == bytes, "{size} in");
            service.send_to(&bytes, inner).unwrap();
            assert!(receive(&client).0 == bytes, "{size} out");
        }
    });
}

#[test]
fn a_service_that_comes_later_is_found() {
    network(|| {
        let world = World::new();
        world.publish("0.0.0.0:5353:10.0.2.100:53/udp4");
        let client = client(&world.client, "192.0.2.2:0", "192.0.2.1:5353");
        for _ in 0..5 {
            client.send(b"nobody hears this").unwrap();
        }
        // An answer of the API means that the relay has seen the datagrams before it.
        world.call("GET", "/v1/ports", "");
        let service = world.child.udp("10.0.2.100:53");
        client.send(b"hello").unwrap();
        loop {
            let (text, inner) = receive(&service);
            if text == b"hello" {
                service.send_to(b"answer", inner).unwrap();
                break;
            }
        }
        assert_eq!(receive(&client).0, b"answer");
    });
}

#[test]
fn a_removed_port_forgets_its_clients() {
    network(|| {
        let world = World::new();
        let service = world.child.udp("10.0.2.100:53");
        let before = world.descriptors();
        let id = world.publish("0.0.0.0:5353:10.0.2.100:53/udp4");
        let client = client(&world.client, "192.0.2.2:0", "192.0.2.1:5353");
        client.send(b"x").unwrap();
        receive(&service);
        world.remove(id);
        // The API's own connection may still be open.
        crate::harness::eventually("sockets are closed", || world.descriptors() <= before);
        client.send(b"x").unwrap();
        assert!(client.recv(&mut [0; 8]).is_err(), "the port is closed");
    });
}

#[test]
fn clients_beyond_the_bound_push_the_most_silent_out() {
    network(|| {
        let world = World::new();
        let service = world.child.udp("10.0.2.100:53");
        let before = world.descriptors();
        world.publish("0.0.0.0:5353:10.0.2.100:53/udp4");
        for port in 10_000..11_100_u16 {
            let client = client(
                &world.client,
                &format!("192.0.2.2:{port}"),
                "192.0.2.1:5353",
            );
            client.send(&port.to_be_bytes()).unwrap();
            let (text, inner) = receive(&service);
            assert_eq!(text, port.to_be_bytes());
            service.send_to(b"answer", inner).unwrap();
            client
                .set_read_timeout(Some(Duration::from_secs(30)))
                .unwrap();
            assert_eq!(receive(&client).0, b"answer");
        }
        assert!(world.descriptors() <= before + 1024 + 3);
    });
}
