//! `sd_notify(3)` in both directions: dockerd speaks to us, we speak to whoever started us.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use rustix::net::SocketType;
use rustix::process::Pid;

use super::machine::Notice;
use crate::apply::ApplyError;
use crate::files;
use crate::files::socket::OwnName;
use crate::sys::net::{Datagram, receive_with_sender};

/// What we ask for when a stop has no limit.
const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// What we need after the budget, for killing and cleaning up.
const LAST_STEPS: Duration = Duration::from_secs(5);

/// Datagrams that are read in one turn of the loop: whoever sends in a tight loop must not keep
/// PID 1 busy. The rest is asked for by the next turn, since the socket stays readable.
const AT_ONCE: usize = 64;

/// The socket on which dockerd speaks to us.
#[derive(Debug)]
pub struct NotifySocket {
    socket: UnixDatagram,
    name: OwnName,
}

impl NotifySocket {
    /// Binds the socket, in place of a left-over one.
    ///
    /// # Errors
    /// What `bind(2)` says.
    pub fn bind(path: &Path) -> Result<Self, ApplyError> {
        let failed = |e| ApplyError::new("bind", path, e);
        crate::apply::file::remove(path)?;
        let bound = files::socket::bind(path, SocketType::DGRAM, 0o600, None);
        let (socket, name) = bound.map_err(failed)?;
        let socket = UnixDatagram::from(socket);
        socket.set_nonblocking(true).map_err(failed)?;
        crate::sys::net::pass_credentials(&socket).map_err(failed)?;
        Ok(Self { socket, name })
    }

    /// Everything that has come since the last call. Datagrams of other processes than dockerd
    /// are dropped, and all of them while it does not run: any program in the container could send
    /// them, and whoever is outside our pid namespace has no id here.
    pub fn drain(&self, is_dockerd: impl Fn(Pid) -> bool) -> Vec<Notice> {
        let mut buffer = [0u8; 4096];
        let mut notices = Vec::new();
        for _ in 0..AT_ONCE {
            let Ok(Datagram { length, sender }) = receive_with_sender(&self.socket, &mut buffer)
            else {
                break;
            };
            if sender.is_some_and(&is_dockerd) {
                notices.extend(parse(buffer.get(..length).unwrap_or_default()));
            }
        }
        notices
    }

    /// Removes the socket's path.
    pub fn remove(&self) {
        let _ = self.name.remove();
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The notices of one datagram; lines that mean nothing to us are passed over.
#[must_use]
pub fn parse(datagram: &[u8]) -> Vec<Notice> {
    let line = |line: &[u8]| match line {
        b"READY=1" => Some(Notice::Ready),
        b"RELOADING=1" => Some(Notice::Reloading),
        b"STOPPING=1" => Some(Notice::Stopping),
        _ => None,
    };
    datagram
        .split(|byte| *byte == b'\n')
        .filter_map(line)
        .collect()
}

/// The socket of whoever started us (`NOTIFY_SOCKET` of our own environment).
#[derive(Debug)]
pub struct Outer(Option<(UnixDatagram, Vec<u8>)>);

impl Outer {
    /// Nothing is sent when the variable is not set or no socket can be made.
    #[must_use]
    pub fn new(variable: Option<&OsStr>) -> Self {
        let name = variable
            .map(OsStr::as_bytes)
            .filter(|name| !name.is_empty());
        Self(name.and_then(|name| {
            let socket = UnixDatagram::unbound().ok()?;
            // A receiver that does not read must not hold PID 1 up.
            socket.set_nonblocking(true).ok()?;
            Some((socket, name.to_vec()))
        }))
    }

    /// Says that we are ready. Our pid means something to the receiver only when we are not the
    /// first process of a namespace of our own.
    pub fn ready(&self) {
        match std::process::id() {
            1 => self.send("READY=1"),
            pid => self.send(&format!("READY=1\nMAINPID={pid}")),
        }
    }

    /// Asks for more time (systemd's EXTEND_TIMEOUT_USEC); without a limit for a day.
    pub fn extend_timeout(&self, limit: Option<Duration>) {
        let limit = limit.unwrap_or(A_DAY).saturating_add(LAST_STEPS);
        self.send(&format!("EXTEND_TIMEOUT_USEC={}", limit.as_micros()));
    }

    /// Sends a state; a failure is only worth a debug line, the receiver is not our business.
    pub fn send(&self, state: &str) {
        let Some((socket, name)) = &self.0 else {
            return;
        };
        if let Err(error) = send_to(socket, name, state.as_bytes()) {
            tracing::warn!("NOTIFY_SOCKET was not told {state:?}: {error}");
        }
    }
}

fn send_to(socket: &UnixDatagram, name: &[u8], state: &[u8]) -> io::Result<usize> {
    use std::os::linux::net::SocketAddrExt;
    match name.strip_prefix(b"@") {
        Some(abstract_name) => {
            let address = std::os::unix::net::SocketAddr::from_abstract_name(abstract_name)?;
            socket.send_to_addr(state, &address)
        }
        None => socket.send_to(state, OsStr::from_bytes(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::userns::{self, Namespaces, Side};
    use rustix::event::{PollFd, PollFlags, poll};

    #[test]
    fn known_lines_are_read_and_others_passed_over() {
        assert_eq!(parse(b"READY=1"), [Notice::Ready]);
        assert_eq!(
            parse(b"MONOTONIC_USEC=5\nRELOADING=1\n"),
            [Notice::Reloading]
        );
        assert_eq!(parse(b"READY=11\nSTATUS=READY=1\n"), []);
    }

    #[test]
    fn only_dockerds_own_words_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n");
        let socket = NotifySocket::bind(&path).unwrap();
        let says = || Outer::new(Some(path.as_os_str())).send("READY=1");
        says();
        assert_eq!(socket.drain(Pid::is_init), [], "another process's datagram");
        says();
        let own = rustix::process::getpid();
        assert_eq!(socket.drain(|pid| pid == own), [Notice::Ready]);
        socket.remove();
        assert!(!path.exists());
    }

    /// The kernel names it 0. Who hears it is a child in a namespace of its own, and we are outside.
    #[test]
    fn a_notice_from_outside_our_pid_namespace_has_no_sender() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n");
        let socket = NotifySocket::bind(&path).unwrap();
        let child = match userns::fork_into(Namespaces(libc::CLONE_NEWPID)) {
            Err(error) => {
                return crate::skip::skip(&format!("no pid namespace: {error}"));
            }
            Ok(Side::Child) => userns::leave(hear(&socket)),
            Ok(Side::Parent(child)) => child,
        };
        Outer::new(Some(path.as_os_str())).send("READY=1");
        Outer::new(Some(path.as_os_str())).send("READY=1");
        let long = std::time::Instant::now() + Duration::from_secs(30);
        let status = crate::sys::process::Child(child).wait(long).unwrap();
        assert_eq!(status.exit_status(), Some(0));
    }

    /// In the child: 0 when the first datagram has no sender, and no notice comes of the second.
    fn hear(socket: &NotifySocket) -> u8 {
        let wait = || {
            let mut fds = [PollFd::new(socket, PollFlags::IN)];
            let _ = poll(&mut fds, None);
        };
        wait();
        match receive_with_sender(&socket.socket, &mut [0; 64]) {
            Ok(Datagram {
                length: 7,
                sender: None,
            }) => {}
            _ => return 1,
        }
        wait();
        u8::from(!socket.drain(|_| true).is_empty()) * 2
    }
}
