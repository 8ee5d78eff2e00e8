//! The forwarder on loopback addresses, with servers of the test's own.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test has threads, and may fail"
)]

#[path = "forwarder/flood.rs"]
mod flood;
#[path = "forwarder/harness.rs"]
mod harness;
#[path = "../tests/kit/skip.rs"]
mod skip;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, UdpSocket};

use dind_init::forwarder::PORT;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use harness::{answer_to, ask, client, connect, forward, framed, heard, query, server};

#[test]
fn queries_and_answers_are_passed_on_unchanged() {
    let Some(net) = forward(1, &[2]) else { return };
    let server = server(net.at(2));
    let clients = [client(net.at(10)), client(net.at(11))];
    for (number, client) in (0..).zip(&clients) {
        ask(client, &net, &query(number, "asks"));
    }
    for _ in &clients {
        let (asked, from) = heard(&server);
        server.send_to(&answer_to(&asked), from).unwrap();
    }
    for (number, client) in (0..).zip(&clients) {
        let (answer, from) = heard(client);
        assert_eq!(answer, answer_to(&query(number, "asks")));
        assert_eq!(from, (net.listen(), PORT).into());
    }
}

#[test]
fn a_server_that_is_not_there_is_passed_over() {
    let Some(net) = forward(2, &[2, 3, 4]) else {
        return;
    };
    let (server, client) = (server(net.at(4)), client(net.at(10)));
    ask(&client, &net, &query(1, "asks"));
    let (asked, from) = heard(&server);
    server.send_to(&answer_to(&asked), from).unwrap();
    assert_eq!(heard(&client).0, answer_to(&query(1, "asks")));
}

#[test]
fn connections_are_relayed_with_their_ends() {
    let Some(net) = forward(3, &[2, 3]) else {
        return;
    };
    let server = TcpListener::bind((net.at(3), PORT)).unwrap();
    let mut client = connect(net.at(10), &net);
    let long = framed(&query(1, &"q".repeat(50_000))).repeat(4);
    let mut sender = client.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sender.write_all(&long).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
        });
        let (mut upstream, _) = server.accept().unwrap();
        let mut asked = Vec::new();
        upstream.read_to_end(&mut asked).unwrap();
        assert!(asked == long, "{} bytes", asked.len());
        upstream.write_all(b"answer").unwrap();
    });
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
}

#[test]
fn queries_of_one_connection_may_come_in_any_pieces() {
    let Some(net) = forward(4, &[2]) else { return };
    let server = TcpListener::bind((net.at(2), PORT)).unwrap();
    let both = [framed(&query(1, "one")), framed(&query(2, "two"))].concat();
    for piece in [1, 13, both.len()] {
        let mut client = connect(net.at(10), &net);
        client.set_nodelay(true).unwrap();
        for piece in both.chunks(piece) {
            client.write_all(piece).unwrap();
        }
        let (mut upstream, _) = server.accept().unwrap();
        let mut asked = vec![0; both.len()];
        upstream.read_exact(&mut asked).unwrap();
        assert_eq!(asked, both);
        // An answer while the connection stays open, and one after the client's end.
        let mut answer = [0; 5];
        upstream.write_all(b"first").unwrap();
        client.read_exact(&mut answer).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(upstream.read(&mut asked).unwrap(), 0);
        upstream.write_all(b"later").unwrap();
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"later");
    }
}

#[test]
fn a_connection_that_does_not_begin_with_a_query_reaches_no_server() {
    let Some(net) = forward(5, &[2]) else { return };
    let server = TcpListener::bind((net.at(2), PORT)).unwrap();
    let wrong = [
        framed(&answer_to(&query(1, "answers"))),
        b"\0\x05short, and more than a header".to_vec(),
        b"\0".to_vec(),
        Vec::new(),
    ];
    for bytes in wrong {
        let mut client = connect(net.at(10), &net);
        client.write_all(&bytes).unwrap();
        // What is too short to be judged is over with its sender's side.
        let _ = client.shutdown(Shutdown::Write);
        let end = client.read(&mut [0; 8]);
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
    let mut client = connect(net.at(10), &net);
    let right = framed(&query(2, "asks"));
    client.write_all(&right).unwrap();
    let mut first = vec![0; right.len()];
    server.accept().unwrap().0.read_exact(&mut first).unwrap();
    assert_eq!(first, right, "the first that came to the server");
}

/// Otherwise whoever guesses the port answers, and two that answer each other never end.
#[test]
fn only_queries_go_there_and_only_their_answers_come_back() {
    let Some(net) = forward(6, &[2]) else { return };
    let (server, client) = (server(net.at(2)), client(net.at(10)));
    let asked = query(7, "asks");
    ask(&client, &net, &answer_to(&asked));
    ask(&client, &net, &asked[..11]);
    ask(&client, &net, b"");
    ask(&client, &net, &query(8, &"x".repeat(5000)));
    ask(&client, &net, &asked);
    let (first, from) = heard(&server);
    assert_eq!(first, asked, "the first that came to the server");
    let right = answer_to(&asked);
    let wrong = [&asked[..], &answer_to(&query(8, "asks")), &right[..11], b""];
    for wrong in wrong {
        server.send_to(wrong, from).unwrap();
    }
    server.send_to(&right, from).unwrap();
    assert_eq!(heard(&client).0, right);
    // That was its answer: what comes later is nobody's.
    let _ = server.send_to(&right, from);
    ask(&client, &net, &query(9, "next"));
    let (next, from) = heard(&server);
    server.send_to(&answer_to(&next), from).unwrap();
    assert_eq!(heard(&client).0, answer_to(&query(9, "next")));
}

#[test]
fn any_datagrams_leave_names_resolving() {
    let Some(net) = forward(7, &[2]) else { return };
    let server = server(net.at(2));
    let (stranger, client) = (client(net.at(10)), client(net.at(11)));
    let datagram = proptest::collection::vec(any::<u8>(), 0..80);
    let mut runner = TestRunner::deterministic();
    let strategy = (proptest::collection::vec(datagram, 0..8), any::<u16>());
    runner
        .run(&strategy, |(datagrams, id)| {
            for datagram in datagrams {
                ask(&stranger, &net, &datagram);
            }
            let asked = query(id, "asked by the other one");
            ask(&client, &net, &asked);
            let from: SocketAddr = loop {
                let (message, from) = heard(&server);
                if message == asked {
                    break from;
                }
            };
            server.send_to(&answer_to(&asked), from).unwrap();
            prop_assert_eq!(heard(&client).0, answer_to(&asked));
            Ok(())
        })
        .unwrap();
}

/// The kernel says 127.0.0.1 of what cannot be bound: nothing of the test may hang for that.
#[test]
fn a_forwarder_without_servers_answers_nobody_and_lives() {
    let Some(net) = forward(8, &[]) else { return };
    let client = client(net.at(10));
    ask(&client, &net, &query(1, "asks"));
    let mut stream = connect(net.at(10), &net);
    stream.write_all(&framed(&query(2, "asks"))).unwrap();
    let end = stream.read(&mut [0; 8]);
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    let port = UdpSocket::bind((net.listen(), PORT));
    assert!(port.is_err(), "it still has its port");
}
