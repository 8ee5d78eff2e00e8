//! The status, for whoever connects: a constant answer, written at once, nothing read. That PID 1
//! answers at all is what `probe --live` wants to know.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::net::SocketType;

use crate::apply::ApplyError;
use crate::files;
use crate::files::socket::OwnName;
use crate::sys;

/// Answers in one turn of the loop; whoever connects in a tight loop must not keep PID 1 busy.
const AT_ONCE: usize = 16;

#[derive(Debug)]
pub struct StatusSocket {
    listener: UnixListener,
    name: OwnName,
}

impl StatusSocket {
    /// Binds it, in place of a left-over one. Everybody may ask: nothing secret is answered.
    ///
    /// # Errors
    /// What `bind(2)` says.
    pub fn bind(path: &Path) -> Result<Self, ApplyError> {
        crate::apply::file::remove(path)?;
        let bind = || -> io::Result<Self> {
            let (socket, name) = files::socket::bind(path, SocketType::STREAM, 0o666, None)?;
            sys::net::listen(&socket)?;
            let listener = UnixListener::from(socket);
            listener.set_nonblocking(true)?;
            Ok(Self { listener, name })
        };
        bind().map_err(|error| ApplyError::new("bind", path, error))
    }

    /// Answers whoever waits. A few kilobytes always fit into the buffer of a fresh connection;
    /// if they did not, the rest would be dropped.
    pub fn answer(&self, reply: &[u8]) {
        for _ in 0..AT_ONCE {
            let Ok((mut client, _)) = self.listener.accept() else {
                return;
            };
            let _ = client
                .set_nonblocking(true)
                .and_then(|()| client.write_all(reply));
        }
    }

    /// Removes the socket's path.
    pub fn remove(&self) {
        let _ = self.name.remove();
    }
}

impl AsFd for StatusSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    #[test]
    fn everybody_who_connects_is_answered_and_one_who_left_harms_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let socket = StatusSocket::bind(&path).unwrap();
        let mut clients: Vec<_> = (0..3)
            .map(|_| UnixStream::connect(&path).unwrap())
            .collect();
        drop(clients.remove(0));
        socket.answer(b"{}\n");
        for client in &mut clients {
            let mut text = String::new();
            client.read_to_string(&mut text).unwrap();
            assert_eq!(text, "{}\n");
        }
        socket.remove();
        assert!(!path.exists());
    }
}
