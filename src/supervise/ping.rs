//! One `/_ping` from PID 1: a constant request, and the first bytes of the answer. No HTTP is
//! parsed here (ARCHITECTURE.md, decision 7).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

const REQUEST: &[u8] = b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200";

/// A request under way.
#[derive(Debug)]
pub struct Ping {
    socket: OwnedFd,
    buffer: [u8; 64],
    length: usize,
}

impl Ping {
    /// Connects and sends the request; neither waits, since our own backlog takes the connection.
    ///
    /// # Errors
    /// What `connect(2)` and `write(2)` say.
    pub fn send(path: &Path) -> io::Result<Self> {
        let socket = crate::sys::net::connect_unix(path)?;
        let sent = rustix::io::write(&socket, REQUEST)?;
        if sent != REQUEST.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(Self {
            socket,
            buffer: [0; 64],
            length: 0,
        })
    }

    /// Reads what has come: `None` while the first line is not whole, then whether it is a 200.
    pub fn read(&mut self) -> Option<bool> {
        let free = self.buffer.get_mut(self.length..)?;
        match rustix::io::read(&self.socket, free) {
            Ok(0) => Some(false),
            Ok(count) => {
                self.length += count;
                let have = self.buffer.get(..self.length.min(OK.len()))?;
                match OK.starts_with(have) {
                    false => Some(false),
                    true => (have.len() == OK.len()).then_some(true),
                }
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => None,
            Err(_) => Some(false),
        }
    }
}

impl AsFd for Ping {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixListener;

    fn answer(parts: &[&str]) -> Vec<Option<bool>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let mut ping = Ping::send(&path).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let mut request = [0; REQUEST.len()];
        server.read_exact(&mut request).unwrap();
        assert_eq!(request, REQUEST);
        let mut verdicts = vec![ping.read()];
        for part in parts {
            server.write_all(part.as_bytes()).unwrap();
            verdicts.push(ping.read());
        }
        drop(server);
        verdicts.push(ping.read());
        verdicts
    }

    #[test]
    fn only_a_whole_200_is_an_answer() {
        assert_eq!(
            answer(&["HTTP/1.1 ", "200 OK\r\n"])[..3],
            [None, None, Some(true)]
        );
        assert_eq!(answer(&["HTTP/1.1 503"])[..2], [None, Some(false)]);
        assert_eq!(answer(&["HTTP"]), [None, None, Some(false)]);
    }
}
