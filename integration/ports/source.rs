//! Source addresses.

use std::io::Write;
use std::net::{IpAddr, TcpListener};

use dind_init::host::rootless::Filter;
use dind_init::plan::rootless::source_rules::{Rule, rules};
use dind_init::ports::SourceAddresses;

use crate::harness::{CLIENT, Net, OUTER, Plan, World, network};
use crate::skip::skip;
use crate::traffic::{accept, ask};

/// Does in the child namespace what the launcher does; false when the program is not here.
pub fn apply(child: &Net, filter: Filter) -> bool {
    for rule in rules(filter) {
        match rule {
            Rule::Sysctl { path, value } => {
                child.inside(|| std::fs::write(path, value)).unwrap();
            }
            Rule::Run(words) => match child.run(words[0], &words[1..]) {
                Ok(()) => {}
                Err(text) if text.contains("No such file") => return false,
                Err(text) => panic!("{words:?}: {text}"),
            },
            Rule::RunV6(words) => child.run(words[0], &words[1..]).unwrap(),
        }
    }
    true
}

fn keeping() -> Plan {
    Plan {
        addresses: SourceAddresses::Kept,
        ..Plan::default()
    }
}

/// A container behind dockerd's bridge, with a service that is published on port 8080.
fn bridged(world: &World) -> (Net, TcpListener) {
    let container = Net::new();
    world.child.join(
        &container,
        "docker0",
        &["172.17.0.1/16"],
        &["172.17.0.2/16"],
    );
    container.ip("route add default via 172.17.0.1");
    let listener = container.listen("0.0.0.0:80");
    world.publish("0.0.0.0:8080:172.17.0.2:80/tcp4");
    (container, listener)
}

/// Connects, has a word with the service, and returns whom the service saw.
pub fn seen(from: &Net, to: &str, listener: &TcpListener) -> IpAddr {
    let client = from.connect(to);
    let mut server = accept(listener);
    let answer = std::thread::spawn(move || ask(&client, "who am I?"));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut server, &mut text).unwrap();
    server.write_all(b"you are seen").unwrap();
    let peer = server.peer_addr().unwrap().ip();
    drop(server);
    assert_eq!(answer.join().unwrap(), "you are seen");
    peer
}

#[test]
fn services_see_the_clients_address() {
    network(|| {
        for filter in [Filter::Nft, Filter::Iptables] {
            let world = World::start(keeping());
            if !apply(&world.child, filter) {
                skip(&format!("needs the program for {filter:?}"));
                continue;
            }
            let four = world.child.listen("10.0.2.100:80");
            let six = world.child.listen("[fd00::100]:80");
            let loopback = world.child.listen("127.0.0.1:81");
            world.publish("0.0.0.0:8080:10.0.2.100:80/tcp4");
            world.publish("[2001:db8::1]:8082:[fd00::100]:80/tcp6");
            world.publish("192.0.2.1:8081:81/tcp4");
            let to = |port: u16| format!("{OUTER}:{port}");
            let client: IpAddr = CLIENT.parse().unwrap();
            assert_eq!(seen(&world.client, &to(8080), &four), client);
            assert_eq!(seen(&world.client, &to(8081), &loopback), client);
            let v6 = seen(&world.client, "[2001:db8::1]:8082", &six);
            assert_eq!(v6, "2001:db8::2".parse::<IpAddr>().unwrap());
            // A client on the outer loopback has no address that means anything inside.
            let local = seen(&world.outer, "127.0.0.1:8080", &four);
            assert_eq!(local, IpAddr::from([10, 0, 2, 100]));
            let log = world.log();
            assert!(!log.contains("not answered"), "{log}");
        }
    });
}

#[test]
fn containers_behind_a_bridge_see_the_clients_address() {
    network(|| {
        let world = World::start(keeping());
        if !apply(&world.child, Filter::Nft) {
            return skip("needs nft");
        }
        let (_container, listener) = bridged(&world);
        let peer = seen(&world.client, "192.0.2.1:8080", &listener);
        assert_eq!(peer, CLIENT.parse::<IpAddr>().unwrap());
    });
}

/// Outside and inside both use 172.17.0.0/16, as everybody does: a container would answer to its
/// neighbour on the bridge rather than to the client.
#[test]
fn clients_whose_network_is_also_inside_are_answered() {
    network(|| {
        let world = World::start(Plan {
            outer_addresses: vec!["172.17.0.8/16"],
            client_addresses: vec!["172.17.0.9/16"],
            ..keeping()
        });
        if !apply(&world.child, Filter::Nft) {
            return skip("needs nft");
        }
        let (_container, listener) = bridged(&world);
        let peer = seen(&world.client, "172.17.0.8:8080", &listener);
        assert_eq!(peer, IpAddr::from([172, 17, 0, 1]));
        let log = world.log();
        assert!(!log.contains("not answered"), "it was tried: {log}");
    });
}

#[test]
fn one_client_port_serves_two_published_ports() {
    network(|| {
        let world = World::start(keeping());
        if !apply(&world.child, Filter::Nft) {
            return skip("needs nft");
        }
        let listener = world.child.listen("10.0.2.100:80");
        for port in [8080, 8081] {
            world.publish(&format!("0.0.0.0:{port}:10.0.2.100:80/tcp4"));
        }
        // The second has the same four addresses inside as the first, and goes without.
        let connect = |port: u16| {
            world.client.inside(|| {
                use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt};
                let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
                sockopt::set_socket_reuseaddr(&socket, true).unwrap();
                let from: std::net::SocketAddr = "192.0.2.2:7777".parse().unwrap();
                let to: std::net::SocketAddr = format!("{OUTER}:{port}").parse().unwrap();
                bind(&socket, &from).unwrap();
                connect(&socket, &to).unwrap();
                std::net::TcpStream::from(socket)
            })
        };
        let (one, two) = (connect(8080), connect(8081));
        let (first, second) = (accept(&listener), accept(&listener));
        let peers = [&first, &second].map(|stream| stream.peer_addr().unwrap().to_string());
        assert!(peers.contains(&"192.0.2.2:7777".to_owned()), "{peers:?}");
        for mut server in [first, second] {
            server.write_all(b"hello").unwrap();
        }
        for mut client in [one, two] {
            let mut text = String::new();
            std::io::Read::read_to_string(&mut client, &mut text).unwrap();
            assert_eq!(text, "hello");
        }
    });
}

#[test]
fn without_the_rules_connections_go_on_from_another_address() {
    network(|| {
        let world = World::start(keeping());
        let listener = world.child.listen("10.0.2.100:80");
        world.publish("0.0.0.0:8080:10.0.2.100:80/tcp4");
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let client = world.client.connect("192.0.2.1:8080");
                    assert_eq!(ask(&client, "x"), "x");
                });
            }
            for _ in 0..3 {
                let mut server = accept(&listener);
                assert_eq!(
                    server.peer_addr().unwrap().ip(),
                    IpAddr::from([10, 0, 2, 100])
                );
                let mut text = String::new();
                std::io::Read::read_to_string(&mut server, &mut text).unwrap();
                server.write_all(text.as_bytes()).unwrap();
            }
        });
        let log = world.log();
        let warnings = log.matches(NOT_ANSWERED).count();
        assert_eq!(warnings, 1, "{log}");
    });
}

const NOT_ANSWERED: &str = "are not answered";

/// From inside, what is published is on loopback, too, and gone when it is removed.
#[test]
fn a_published_port_is_on_loopback_inside_as_well() {
    network(|| {
        let world = World::start(Plan::default());
        let listener = world.child.listen("10.0.2.100:80");
        let id = world.publish("0.0.0.0:8080:10.0.2.100:80/tcp4");
        seen(&world.child, "127.0.0.1:8080", &listener);
        seen(&world.client, &format!("{OUTER}:8080"), &listener);
        world.remove(id);
        let refused = world
            .child
            .inside(|| std::net::TcpStream::connect("127.0.0.1:8080"));
        assert_eq!(
            refused.unwrap_err().kind(),
            std::io::ErrorKind::ConnectionRefused
        );
    });
}
