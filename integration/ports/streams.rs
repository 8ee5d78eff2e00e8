//! TCP.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use dind_init::config::rootless::ChildSide;

use crate::harness::{OUTER, Plan, World, eventually, network};
use crate::traffic::{accept, ask, echo, receive, send};

fn outer(port: u16) -> String {
    format!("{OUTER}:{port}")
}

#[test]
fn bytes_go_both_ways() {
    network(|| {
        let world = World::new();
        let service = echo(world.child.listen("10.0.2.100:80"), 2);
        world.publish("0.0.0.0:8080:10.0.2.100:80/tcp4");
        assert_eq!(
            ask(&world.client.connect(&outer(8080)), "over the wire"),
            "over the wire"
        );
        let local = world.outer.connect("127.0.0.1:8080");
        assert_eq!(
            ask(&local, "from the outer loopback"),
            "from the outer loopback"
        );
        service.join().unwrap();
    });
}

#[test]
fn without_a_child_address_loopback_is_meant() {
    network(|| {
        let world = World::new();
        let service = echo(world.child.listen("127.0.0.1:80"), 1);
        world.publish("192.0.2.1:8080:80/tcp");
        assert_eq!(ask(&world.client.connect(&outer(8080)), "x"), "x");
        service.join().unwrap();
    });
}

#[test]
fn four_streams_at_once_arrive_whole_both_ways() {
    const TOTAL: usize = 24 << 20;
    network(|| {
        let world = World::new();
        let listener = world.child.listen("10.0.2.100:80");
        world.publish("0.0.0.0:8080:10.0.2.100:80/tcp4");
        std::thread::scope(|scope| {
            for stream in 0..4 {
                let client = world.client.connect(&outer(8080));
                let server = accept(&listener);
                let reader = client.try_clone().unwrap();
                let writer = server.try_clone().unwrap();
                scope.spawn(move || send(&client, stream, TOTAL));
                scope.spawn(move || receive(&server, stream, TOTAL));
                scope.spawn(move || send(&writer, stream + 10, TOTAL));
                scope.spawn(move || receive(&reader, stream + 10, TOTAL));
            }
        });
    });
}

#[test]
fn messages_within_a_stream_keep_their_order() {
    // Copies and splices alternate: long pieces make a stream, a short one ends it.
    network(|| {
        let world = World::new();
        let listener = world.child.listen("10.0.2.100:80");
        world.publish("0.0.0.0:8080:10.0.2.100:80/tcp4");
        let mut client = world.client.connect(&outer(8080));
        let mut server = accept(&listener);
        for round in 0..40_u8 {
            let long = vec![round; 300_000];
            let sender = {
                let mut client = client.try_clone().unwrap();
                let long = long.clone();
                std::thread::spawn(move || client.write_all(&long).unwrap())
            };
            let mut got = vec![0; long.len()];
            server.read_exact(&mut got).unwrap();
            assert!(got == long, "round {round}");
            sender.join().unwrap();
            for short in [1_usize, 7, 4000] {
                client.write_all(&vec![round; short]).unwrap();
                server.read_exact(&mut got[..short]).unwrap();
                server.write_all(&got[..short]).unwrap();
                client.read_exact(&mut got[..short]).unwrap();
                assert!(got[..short].iter().all(|byte| *byte == round));
            }
        }
    });
}

#[test]
fn thousands_of_tiny_segments_do_not_stall_a_stream() {
    // A pipe is full of segments long before it is full of bytes.
    network(|| {
        let world = World::new();
        let listener = world.child.listen("10.0.2.100:80");
        world.publish("0.0.0.0:8080:10.0.2.100:80/tcp4");
        let client = world.client.connect(&outer(8080));
        client.set_nodelay(true).unwrap();
        let server = accept(&listener);
        let mut writer = client.try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            writer.write_all(&[1; 1 << 20]).unwrap();
            for _ in 0..20_000 {
                writer.write_all(&[2; 3]).unwrap();
            }
            writer.write_all(&[3; 1 << 20]).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut bytes = Vec::new();
        (&server).read_to_end(&mut bytes).unwrap();
        sender.join().unwrap();
        assert_eq!(bytes.len(), (2 << 20) + 60_000);
        assert!(bytes.is_sorted());
    });
}

#[test]
fn a_slow_reader_stops_the_writer_and_loses_nothing() {
    network(|| {
        let world = World::new();
        let listener = world.child.listen("10.0.2.100:80");
        world.publish("0.0.0.0:8080:10.0.2.100:80/tcp4");
        let client = world.client.connect(&outer(8080));
        let server = accept(&listener);
        client.set_nonblocking(true).unwrap();
        // Until nothing fits any more; then the reader begins.
        let (mut sent, piece) = (0, vec![9; 1 << 20]);
        let full = || {
            let mut fds = [rustix::event::PollFd::new(
                &client,
                rustix::event::PollFlags::OUT,
            )];
            let moment = rustix::event::Timespec {
                tv_sec: 0,
                tv_nsec: 300_000_000,
            };
            rustix::event::poll(&mut fds, Some(&moment)).unwrap() == 0
        };
        loop {
            match (&client).write(&piece) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if full() {
                        break;
                    }
                }
                Err(error) => panic!("{error}"),
            }
            assert!(sent < 256 << 20, "nobody stops the writer");
        }
        client.shutdown(Shutdown::Write).unwrap();
        let mut bytes = Vec::new();
        (&server).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), sent);
    });
}

#[test]
fn each_direction_ends_by_itself() {
    network(|| {
        let world = World::new();
        let listener = world.child.listen("10.0.2.100:80");
        world.publish("0.0.0.0:8080:10.0.2.100:80/tcp4");
        let mut buffer = [0; 16];

        let (mut client, mut server) = (world.client.connect(&outer(8080)), accept(&listener));
        client.write_all(b"question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(server.read(&mut buffer).unwrap(), 8);
        assert_eq!(server.read(&mut buffer).unwrap(), 0);
        server.write_all(b"answer").unwrap();
        assert_eq!(client.read(&mut buffer).unwrap(), 6);
        drop(server);
        assert_eq!(client.read(&mut buffer).unwrap(), 0);

        let (mut client, mut server) = (world.client.connect(&outer(8080)), accept(&listener));
        server.write_all(b"greeting").unwrap();
        server.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.read(&mut buffer).unwrap(), 8);
        assert_eq!(client.read(&mut buffer).unwrap(), 0);
        client.write_all(b"thanks").unwrap();
        assert_eq!(server.read(&mut buffer).unwrap(), 6);
    });
}

fn is_reset(stream: &mut TcpStream) {
    let error = stream.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_refused_connection_is_reset() {
    network(|| {
        let world = World::new();
        world.publish("0.0.0.0:8080:10.0.2.100:80/tcp4");
        is_reset(&mut world.client.connect(&outer(8080)));
    });
}

#[test]
fn a_reset_reaches_the_other_side() {
    network(|| {
        let world = World::new();
        let listener = world.child.listen("10.0.2.100:80");
        world.publish("0.0.0.0:8080:10.0.2.100:80/tcp4");
        let reset = |stream: TcpStream| {
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        };
        let (mut client, server) = (world.client.connect(&outer(8080)), accept(&listener));
        reset(server);
        is_reset(&mut client);
        let (client, mut server) = (world.client.connect(&outer(8080)), accept(&listener));
        reset(client);
        is_reset(&mut server);
    });
}

#[test]
fn a_removed_port_takes_its_connections_with_it() {
    network(|| {
        let world = World::new();
        let listener = world.child.listen("10.0.2.100:80");
        let id = world.publish("0.0.0.0:8080:10.0.2.100:80/tcp4");
        world.publish("0.0.0.0:8081:10.0.2.100:80/tcp4");
        let (mut client, _server) = (world.client.connect(&outer(8080)), accept(&listener));
        let (mut other, mut other_server) = (world.client.connect(&outer(8081)), accept(&listener));
        world.remove(id);
        assert!(matches!(client.read(&mut [0; 1]), Ok(0) | Err(_)));
        let refused = world.client.try_connect(&outer(8080)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        other.write_all(b"x").unwrap();
        other_server.read_exact(&mut [0; 1]).unwrap();
        world.publish("0.0.0.0:8080:10.0.2.100:80/tcp4");
        let _again = world.client.connect(&outer(8080));
    });
}

#[test]
fn a_thousand_connections_leave_no_descriptor_behind() {
    network(|| {
        let world = World::new();
        let service = echo(world.child.listen("10.0.2.100:80"), 1010);
        world.publish("0.0.0.0:8080:10.0.2.100:80/tcp4");
        let many = |count: usize| {
            world.client.inside(|| {
                for _ in 0..count {
                    let stream = TcpStream::connect(outer(8080)).unwrap();
                    assert_eq!(ask(&stream, "ping"), "ping");
                }
            });
        };
        many(10);
        eventually("all connections are closed", || {
            world.descriptors() <= BASE + 1
        });
        many(1000);
        service.join().unwrap();
        eventually("all connections are closed", || {
            world.descriptors() <= BASE + 1
        });
    });
}

/// Standard descriptors, epoll, the API's socket and the bind service; ports are extra. The
/// harness's own, too: what libtest or the log keep open.
const BASE: usize = 6 + 2;

#[test]
fn hundreds_of_connections_live_side_by_side() {
    network(|| {
        let world = World::new();
        let listener = world.child.listen("10.0.2.100:80");
        world.publish("0.0.0.0:8080:10.0.2.100:80/tcp4");
        let pairs: Vec<(TcpStream, TcpStream)> = world.client.inside(|| {
            (0..300)
                .map(|_| (TcpStream::connect(outer(8080)).unwrap(), accept(&listener)))
                .collect()
        });
        for (number, (client, server)) in pairs.iter().enumerate() {
            let (mut client, mut server): (&TcpStream, &TcpStream) = (client, server);
            let text = number.to_ne_bytes();
            client.write_all(&text).unwrap();
            server.write_all(&text).unwrap();
        }
        for (number, (client, server)) in pairs.iter().enumerate() {
            let (mut client, mut server): (&TcpStream, &TcpStream) = (client, server);
            let mut got = [0; 8];
            server.read_exact(&mut got).unwrap();
            assert_eq!(got, number.to_ne_bytes());
            client.read_exact(&mut got).unwrap();
            assert_eq!(got, number.to_ne_bytes());
        }
    });
}

#[test]
fn ipv6_and_every_mixture_of_families_work() {
    network(|| {
        let world = World::start(Plan {
            side: Some(ChildSide::Loopback),
            ..Plan::default()
        });
        let six = echo(world.child.listen("[::1]:80"), 2);
        let four = echo(world.child.listen("127.0.0.1:80"), 2);
        world.publish("[::]:8080:80/tcp6");
        world.publish("0.0.0.0:8081:[::1]:80/tcp4");
        world.publish("[2001:db8::1]:8082:127.0.0.1:80/tcp6");
        world.publish("127.0.0.1:8083:[::ffff:127.0.0.1]:80/tcp4");
        let v6 = |port: u16| format!("[2001:db8::1]:{port}");
        assert_eq!(ask(&world.client.connect(&v6(8080)), "6 to 6"), "6 to 6");
        assert_eq!(ask(&world.client.connect(&outer(8081)), "4 to 6"), "4 to 6");
        assert_eq!(ask(&world.client.connect(&v6(8082)), "6 to 4"), "6 to 4");
        assert_eq!(
            ask(&world.outer.connect("127.0.0.1:8083"), "mapped"),
            "mapped"
        );
        assert!(
            world.client.try_connect(&outer(8080)).is_err(),
            "tcp6 is IPv6 only"
        );
        six.join().unwrap();
        four.join().unwrap();
    });
}

#[test]
fn the_ipv4_wildcard_takes_ipv6_clients_where_dockerd_cannot_publish_ipv6() {
    network(|| {
        let world = World::new();
        let service = echo(world.child.listen("10.0.2.100:80"), 2);
        world.publish("0.0.0.0:8080:10.0.2.100:80/tcp4");
        assert_eq!(
            ask(&world.client.connect("[2001:db8::1]:8080"), "six"),
            "six"
        );
        assert_eq!(ask(&world.client.connect(&outer(8080)), "four"), "four");
        service.join().unwrap();
    });
}
