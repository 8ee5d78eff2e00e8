//! A dockerd that does nothing but say that it is ready and answer `/_ping`: it is this very test
//! program, and touches none of the paths that neighbours have.

use std::io::{Read as _, Write as _};
use std::os::fd::FromRawFd as _;
use std::os::unix::net::{UnixDatagram, UnixListener};

/// Takes dockerd's place in PATH.
pub(super) const WRAPPER: &str = r#"#!/bin/sh
case " $* " in *version*) echo 'Docker version 28.5.2, build 1'; exit ;; esac
HOSTILE_STUB=1 exec /sweep --exact sweep::stub::dockerd --nocapture
"#;

/// Not a test: the body of the stub, when the wrapper starts it. It ends by the TERM that ends a
/// program which does nothing about it.
#[test]
#[expect(
    unsafe_code,
    reason = "the socket comes by number, as socket activation has it"
)]
fn dockerd() {
    if std::env::var_os("HOSTILE_STUB").is_none() {
        return;
    }
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let unix = names.split(':').position(|name| name == "docker.sock");
    let number = 3 + i32::try_from(unix.unwrap_or(0)).expect("a small number");
    // SAFETY: the descriptor was passed to us (LISTEN_FDS), and nobody else here owns it.
    let listener = unsafe { UnixListener::from_raw_fd(number) };
    let server = std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let mut client = client;
            let _ = client.read(&mut [0; 1024]);
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK");
        }
    });
    let socket = UnixDatagram::unbound().expect("a socket");
    let place = std::env::var_os("NOTIFY_SOCKET").expect("NOTIFY_SOCKET");
    if let Err(error) = socket.send_to(b"READY=1", &place) {
        let _ = std::io::stderr().write_all(format!("stub: {error}\n").as_bytes());
    }
    let _ = server.join();
}
