//! Daemons that behave and daemons that do not, in threads of the test.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub(crate) const PONG: &[u8] =
    b"HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nServer: Docker/28.5.2 (linux)\r\n\
    Content-Length: 2\r\n\r\nOK";

pub(crate) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// What a server does with a connection; the connection is closed when it returns.
pub(crate) type Behaviour = Arc<dyn Fn(&mut dyn Stream) + Send + Sync>;

pub(crate) fn behaviour(act: impl Fn(&mut dyn Stream) + Send + Sync + 'static) -> Behaviour {
    Arc::new(act)
}

/// Reads the request and answers with these bytes.
pub(crate) fn answers(bytes: &'static [u8]) -> Behaviour {
    behaviour(move |stream| {
        if !request(stream).is_empty() {
            let _ = stream.write_all(bytes);
        }
    })
}

/// A request up to its empty line; nothing if the client went away.
pub(crate) fn request(stream: &mut dyn Stream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1024];
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => bytes.extend_from_slice(&buffer[..count]),
            _ => return String::new(),
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Reads until the client closes.
pub(crate) fn until_closed(stream: &mut dyn Stream) {
    let _ = io::copy(stream, &mut io::sink());
}

/// How many connections a server has taken.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn serve<S: Stream + 'static>(
    mut accept: impl FnMut() -> io::Result<S> + Send + 'static,
    act: Behaviour,
) -> Count {
    let count = Count::default();
    let taken = count.clone();
    // The thread ends with the test process; the listener lives in it until then.
    thread::spawn(move || {
        while let Ok(mut stream) = accept() {
            taken.0.fetch_add(1, Ordering::SeqCst);
            let act = Arc::clone(&act);
            thread::spawn(move || act(&mut stream));
        }
    });
    count
}

pub(crate) fn unix(path: &Path, act: Behaviour) -> Count {
    let listener = UnixListener::bind(path).unwrap();
    serve(move || listener.accept().map(|(stream, _)| stream), act)
}

pub(crate) fn tcp(act: Behaviour) -> (SocketAddr, Count) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = serve(move || listener.accept().map(|(stream, _)| stream), act);
    (address, count)
}

/// TLS; the behaviour's first read or write does the handshake.
pub(crate) fn tls(config: Arc<ServerConfig>, act: Behaviour) -> (SocketAddr, Count) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = serve(
        move || {
            let (stream, _) = listener.accept()?;
            let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            Ok(StreamOwned::new(tls, stream))
        },
        act,
    );
    (address, count)
}

/// An address that nobody listens on: the port was free a moment ago.
pub(crate) fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
