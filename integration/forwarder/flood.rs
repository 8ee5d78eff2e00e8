//! One client asks as much as it can, and another one is served as if it were alone.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

use dind_init::forwarder::PORT;

use super::harness::{Net, answer_to, ask, client, connect, forward, framed, heard, query, server};

/// More than the table of queries holds.
const MANY: usize = 300;

/// More than the table of connections holds.
const SILENT: usize = 120;

/// Asks from an address until the server has heard more than the table holds. Nobody answers.
fn flood(net: &Net, from: Ipv4Addr, server: &UdpSocket) {
    let flooder = client(from);
    let mut heard_of = BTreeSet::new();
    for id in 0.. {
        ask(&flooder, net, &query(id, "floods"));
        heard_of.insert(heard(server).0);
        if heard_of.len() >= MANY {
            return;
        }
    }
}

/// Silent connections from an address.
fn silent(net: &Net, from: Ipv4Addr) -> Vec<TcpStream> {
    (0..SILENT).map(|_| connect(from, net)).collect()
}

#[track_caller]
fn resolves(net: &Net, from: Ipv4Addr, server: &UdpSocket) {
    let (client, asked) = (client(from), query(0xabcd, "innocent"));
    ask(&client, net, &asked);
    let (message, back) = heard(server);
    assert_eq!(message, asked);
    server.send_to(&answer_to(&asked), back).unwrap();
    assert_eq!(heard(&client).0, answer_to(&asked));
}

#[test]
fn a_full_table_takes_nothing_from_who_asked_before_or_asks_after() {
    let Some(net) = forward(20, &[2]) else { return };
    let server = server(net.at(2));
    let (before, asked) = (client(net.at(10)), query(1, "before"));
    ask(&before, &net, &asked);
    let (message, back) = heard(&server);
    assert_eq!(message, asked);
    flood(&net, net.at(11), &server);
    resolves(&net, net.at(12), &server);
    // Its query was the oldest of a full table.
    server.send_to(&answer_to(&asked), back).unwrap();
    assert_eq!(heard(&before).0, answer_to(&asked));
}

/// They were 441 ticks of a CPU in twenty seconds.
#[test]
fn silent_connections_give_their_places_up_and_cost_nothing() {
    let Some(net) = forward(22, &[2]) else { return };
    let server = TcpListener::bind((net.at(2), PORT)).unwrap();
    let mut early = connect(net.at(10), &net);
    let asked = framed(&query(1, "early"));
    early.write_all(&asked).unwrap();
    let (mut upstream, _) = server.accept().unwrap();
    let mut message = vec![0; asked.len()];
    upstream.read_exact(&mut message).unwrap();

    let mut silent = silent(&net, net.at(11));
    // The first of them had to go; the last one stays.
    let gone = silent[0].read(&mut [0; 8]);
    assert!(gone.is_err(), "{gone:?}");

    let mut late = connect(net.at(12), &net);
    late.write_all(&asked).unwrap();
    let (mut second, _) = server.accept().unwrap();
    second.read_exact(&mut message).unwrap();
    for (client, upstream) in [(&mut early, &mut upstream), (&mut late, &mut second)] {
        upstream.write_all(b"answer").unwrap();
        let mut answer = [0; 6];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer");
    }
    // The table is full, and stays so while somebody else is served for a while.
    let (names, before) = (super::server(net.at(2)), net.turns());
    for _ in 0..50 {
        resolves(&net, net.at(10), &names);
    }
    let turns = net.turns() - before;
    // A query and its answer are two; the rest is for connections whose time is over meanwhile.
    assert!(turns <= 2 * 50 + SILENT, "{turns} for fifty queries");
}

/// A connection whose bytes nobody takes, on either side, is not looked at again and again.
#[test]
fn a_connection_that_cannot_move_is_left_alone() {
    let Some(net) = forward(23, &[2]) else { return };
    let server = TcpListener::bind((net.at(2), PORT)).unwrap();
    let names = super::server(net.at(2));
    let mut stuck = connect(net.at(11), &net);
    stuck.write_all(&framed(&query(1, "asks"))).unwrap();
    let (mut upstream, _) = server.accept().unwrap();
    upstream.set_nonblocking(true).unwrap();
    // Answers that the client does not read, until there is room nowhere on the way, and the end.
    // Each round goes through the forwarder, from an address that asks now and then only.
    let (mut full, mut others) = (0, (100..200).cycle());
    while full < 100 {
        match upstream.write(&[0; 65_536]) {
            Ok(_) => full = 0,
            Err(_) => full += 1,
        }
        resolves(&net, net.at(others.next().unwrap()), &names);
    }
    drop(upstream);
    let before = net.turns();
    for _ in 0..50 {
        resolves(&net, net.at(10), &names);
    }
    let turns = net.turns() - before;
    assert!(turns <= 2 * 50 + 10, "{turns} for fifty queries");
    drop(stuck);
}
