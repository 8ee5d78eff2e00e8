//! The forwarder on loopback addresses, with servers of the test's own.
#![allow(missing_docs)]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test has threads, says why it skips, and may fail"
)]

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use dind_init::forwarder::{PORT, Sockets};

/// Servers and forwarder have fixed ports in the product; here each test has addresses of its
/// own on the loopback network, so that the fixed port is free.
fn address(test: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 99, test, host)
}

/// Starts a forwarder that ends with the test; nothing when the port cannot be had.
fn forward(listen: Ipv4Addr, upstream: &[Ipv4Addr]) -> Option<()> {
    let upstream: Vec<IpAddr> = upstream.iter().map(|ip| IpAddr::V4(*ip)).collect();
    match Sockets::bind(listen) {
        Ok(sockets) => {
            std::thread::spawn(move || sockets.forward(&upstream));
            Some(())
        }
        Err(error) => {
            assert!(std::env::var_os("MUST_RUN").is_none(), "port 53: {error}");
            println!("skipped: port 53 cannot be bound: {error}");
            None
        }
    }
}

fn client() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    socket
}

#[test]
fn queries_and_answers_are_passed_on_unchanged() {
    let (listen, upstream) = (address(1, 1), address(1, 2));
    let server = UdpSocket::bind((upstream, PORT));
    let Some(()) = forward(listen, &[upstream]) else {
        return;
    };
    let server = server.unwrap();
    let clients = [client(), client()];
    for (number, client) in clients.iter().enumerate() {
        client
            .send_to(format!("query {number}").as_bytes(), (listen, PORT))
            .unwrap();
    }
    let mut buffer = [0; 512];
    for _ in &clients {
        let (length, from) = server.recv_from(&mut buffer).unwrap();
        let answer = [b"answer to ", &buffer[..length]].concat();
        server.send_to(&answer, from).unwrap();
    }
    for (number, client) in clients.iter().enumerate() {
        let (length, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!(
            &buffer[..length],
            format!("answer to query {number}").as_bytes()
        );
        assert_eq!(from, (listen, PORT).into());
    }
}

#[test]
fn a_server_that_is_not_there_is_passed_over() {
    let (listen, gone, upstream) = (address(2, 1), address(2, 2), address(2, 3));
    let server = UdpSocket::bind((upstream, PORT));
    let Some(()) = forward(listen, &[gone, upstream]) else {
        return;
    };
    let (server, client) = (server.unwrap(), client());
    client.send_to(b"query", (listen, PORT)).unwrap();
    let mut buffer = [0; 64];
    let (length, from) = server.recv_from(&mut buffer).unwrap();
    server.send_to(&buffer[..length], from).unwrap();
    assert_eq!(client.recv(&mut buffer).unwrap(), 5);
}

#[test]
fn connections_are_relayed_with_their_ends() {
    let (listen, gone, upstream) = (address(3, 1), address(3, 2), address(3, 3));
    let server = TcpListener::bind((upstream, PORT));
    let Some(()) = forward(listen, &[gone, upstream]) else {
        return;
    };
    let server = server.unwrap();
    let mut client = TcpStream::connect((listen, PORT)).unwrap();
    let long = vec![b'q'; 200_000];
    let (mut upstream, _) = server.accept().unwrap();
    let mut sender = client.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sender.write_all(&long).unwrap();
            sender.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut query = Vec::new();
        upstream.read_to_end(&mut query).unwrap();
        assert_eq!(query.len(), long.len());
    });
    upstream.write_all(b"answer").unwrap();
    drop(upstream);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
}
