//! Addresses, messages, and a forwarder that ends with the test.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dind_init::forwarder::{Forwarder, PORT, Sockets};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::skip::skip;

/// Whoever waits longer waits for ever.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The addresses of a test. Servers and forwarder have fixed ports in the product; here each test
/// has addresses of its own on the loopback network, so that the fixed port is free.
pub(crate) struct Net {
    test: u8,
    turns: Arc<AtomicUsize>,
}

impl Net {
    pub(crate) fn at(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, 99, self.test, host)
    }

    pub(crate) fn listen(&self) -> Ipv4Addr {
        self.at(1)
    }

    /// How often the forwarder has woken up.
    pub(crate) fn turns(&self) -> usize {
        self.turns.load(Ordering::SeqCst)
    }
}

/// Starts a forwarder; nothing when the port cannot be had.
pub(crate) fn forward(test: u8, upstream: &[u8]) -> Option<Net> {
    let turns = Arc::new(AtomicUsize::new(0));
    let net = Net {
        test,
        turns: Arc::clone(&turns),
    };
    let upstream: Vec<IpAddr> = upstream.iter().map(|host| net.at(*host).into()).collect();
    match Sockets::bind(net.listen()) {
        Ok(sockets) => {
            let mut forwarder = Forwarder::new(sockets, &upstream, vec!["eth0".into()]);
            std::thread::spawn(move || {
                while forwarder.turn().is_ok() {
                    turns.fetch_add(1, Ordering::SeqCst);
                }
            });
            Some(net)
        }
        Err(error) => {
            skip(&format!("port 53 cannot be bound: {error}"));
            None
        }
    }
}

fn bound(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    socket
}

pub(crate) fn client(address: Ipv4Addr) -> UdpSocket {
    bound((address, 0).into())
}

/// A server, bound before it is asked for the first time.
pub(crate) fn server(address: Ipv4Addr) -> UdpSocket {
    bound((address, PORT).into())
}

/// A connection to the forwarder from an address.
pub(crate) fn connect(address: Ipv4Addr, net: &Net) -> TcpStream {
    let socket: OwnedFd = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    rustix::net::bind(&socket, &SocketAddr::from((address, 0))).unwrap();
    rustix::net::connect(&socket, &SocketAddr::from((net.listen(), PORT))).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}

/// A message that asks.
pub(crate) fn query(id: u16, text: &str) -> Vec<u8> {
    let mut message = vec![0; 12];
    message[..2].copy_from_slice(&id.to_be_bytes());
    message.extend_from_slice(text.as_bytes());
    message
}

/// The same with the bit of an answer, and more.
pub(crate) fn answer_to(query: &[u8]) -> Vec<u8> {
    let mut message = query.to_vec();
    message[2] |= 0x80;
    message.extend_from_slice(b" is answered");
    message
}

/// A message as connections carry it.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap();
    [&length.to_be_bytes(), message].concat()
}

pub(crate) fn ask(client: &UdpSocket, net: &Net, message: &[u8]) {
    client.send_to(message, (net.listen(), PORT)).unwrap();
}

#[track_caller]
pub(crate) fn heard(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 4096];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    (buffer[..length].to_vec(), from)
}
