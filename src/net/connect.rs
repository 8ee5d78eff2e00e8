//! Connecting with a deadline to unix and TCP addresses; the sockets are non-blocking.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::deadline::{Deadline, Halt};

/// How often a full backlog is tried again: the kernel wakes nobody when a place becomes free for
/// a non-blocking connect.
const BACKLOG_RETRY: Duration = Duration::from_millis(10);

/// Connects to a unix socket; `@name` is an abstract one, as for the docker CLI.
///
/// # Errors
/// What connect(2) says (`EAGAIN`: the backlog stayed full until the deadline), or a [`Halt`].
pub fn unix(path: &Path, deadline: &mut Deadline<'_>) -> io::Result<OwnedFd> {
    let address = match path.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddrUnix::new_abstract_name(name)?,
        None => SocketAddrUnix::new(path)?,
    };
    let socket = socket(AddressFamily::UNIX)?;
    loop {
        match rustix::net::connect(&socket, &address) {
            Ok(()) => return Ok(socket),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if deadline.left() > BACKLOG_RETRY => {
                deadline.pause(BACKLOG_RETRY)?;
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Connects to the first of some addresses that answers; each gets an even share of the time that
/// is left.
///
/// # Errors
/// The most telling failure: a refusal if there was one, else the last one; or a [`Halt`].
pub fn tcp(addresses: &[SocketAddr], deadline: &mut Deadline<'_>) -> io::Result<OwnedFd> {
    let mut failure = io::Error::from(Errno::ADDRNOTAVAIL);
    for (index, address) in addresses.iter().enumerate() {
        let others = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = Instant::now() + deadline.left() / others;
        match tcp_one(*address, share, deadline) {
            Ok(socket) => return Ok(socket),
            Err(error) if Halt::of(&error).is_some() => return Err(error),
            Err(error) if failure.kind() != io::ErrorKind::ConnectionRefused => failure = error,
            Err(_) => {}
        }
    }
    Err(failure)
}

fn tcp_one(
    address: SocketAddr,
    until: Instant,
    deadline: &mut Deadline<'_>,
) -> io::Result<OwnedFd> {
    let socket = socket(if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    })?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) => return Ok(socket),
        Err(Errno::INPROGRESS | Errno::INTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    if !deadline.ready(socket.as_fd(), PollFlags::OUT, Some(until))? {
        return Err(Errno::TIMEDOUT.into());
    }
    rustix::net::sockopt::socket_error(&socket)??;
    Ok(socket)
}

fn socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(
        family,
        SocketType::STREAM,
        flags,
        None,
    )?)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn closed_port() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    }

    #[test]
    fn an_address_that_answers_is_found_behind_one_that_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut deadline = Deadline::new(Duration::from_secs(60));
        let addresses = [closed_port(), listener.local_addr().unwrap()];
        assert!(tcp(&addresses, &mut deadline).is_ok());
    }

    #[test]
    fn a_refusal_is_more_telling_than_an_unreachable_network() {
        let mut deadline = Deadline::new(Duration::from_secs(60));
        // Broadcast addresses cannot be connected to; which errno that gives does not matter.
        let other: SocketAddr = "255.255.255.255:1".parse().unwrap();
        let error = tcp(&[closed_port(), other], &mut deadline).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_full_backlog_is_told_from_a_refusal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = socket(AddressFamily::UNIX).unwrap();
        rustix::net::bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let mut deadline = Deadline::new(Duration::from_secs(60));
        let mut held = Vec::new();
        let full = loop {
            deadline.begin_attempt(Duration::from_millis(1));
            match unix(&path, &mut deadline) {
                Ok(socket) => held.push(socket),
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        assert!(!held.is_empty());
    }
}
