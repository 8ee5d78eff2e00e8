use std::net::UdpSocket;

use super::*;

/// Sends to one of many loopback addresses and looks where the answer comes from.
fn answer_leaves_from(server: &str, asked: &str, want: &str) {
    let server = UdpSocket::bind(server).unwrap();
    let local = server.local_addr().unwrap();
    receive_local_addresses(&server, local.is_ipv6()).unwrap();
    let asked = SocketAddr::new(asked.parse().unwrap(), local.port());
    let client = UdpSocket::bind(if asked.is_ipv6() {
        "[::1]:0"
    } else {
        "127.0.0.1:0"
    });
    let client = client.unwrap();
    for text in ["one", "two", "three"] {
        client.send_to(text.as_bytes(), asked).unwrap();
    }
    let mut batch = Batch::default();
    assert_eq!(batch.receive(&server).unwrap(), 3);
    let path = batch.path(0).unwrap();
    assert_eq!(path.local, Some(want.parse().unwrap()));
    assert_eq!(batch.send(&server, 1..3, Some(&path)).unwrap(), 2);
    for text in ["two", "three"] {
        let mut buffer = [0; 8];
        let (length, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (text.as_bytes(), asked));
    }
}

#[test]
fn answers_leave_from_the_address_that_was_asked() {
    answer_leaves_from("0.0.0.0:0", "127.0.0.77", "127.0.0.77");
    if UdpSocket::bind("[::1]:0").is_ok() {
        answer_leaves_from("[::]:0", "::1", "::1");
        answer_leaves_from("[::]:0", "127.0.0.78", "::ffff:127.0.0.78");
    }
}

#[test]
fn a_connected_socket_needs_no_path() {
    let (one, two) = (
        UdpSocket::bind("127.0.0.1:0").unwrap(),
        UdpSocket::bind("127.0.0.1:0"),
    );
    let two = two.unwrap();
    one.connect(two.local_addr().unwrap()).unwrap();
    two.connect(one.local_addr().unwrap()).unwrap();
    let largest = [7; 65_507];
    one.send(&largest).unwrap();
    one.send(b"").unwrap();
    let mut batch = Batch::default();
    assert_eq!(batch.receive(&two).unwrap(), 2);
    assert_eq!(batch.send(&two, 0..2, None).unwrap(), 2);
    let mut buffer = vec![0; 65_535];
    assert_eq!(one.recv(&mut buffer).unwrap(), 65_507);
    assert_eq!(&buffer[..65_507], largest);
    assert_eq!(one.recv(&mut buffer).unwrap(), 0);
    assert!(batch.receive(&two).is_err(), "nothing is left");
}
