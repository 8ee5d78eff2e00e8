//! The outer end: binds what the relay asks for.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::ask::{Ask, Reach};
use super::{BOUND, MAX_MESSAGE, REFUSED, text};
use crate::config::rootless::port::{Family, Transport};
use crate::files::kernel;

/// So many questions are answered before PID 1 looks at its other descriptors.
const AT_A_TIME: usize = 16;

/// The end of the pair that PID 1 keeps.
#[derive(Debug)]
pub struct BindService {
    socket: OwnedFd,
}

/// What became of the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// It closed its end: it is dead or dying.
    Gone,
    /// It may ask again.
    There,
}

impl BindService {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Answers what was asked; call it when the descriptor is readable. It never waits.
    ///
    /// # Errors
    /// What `recvmsg(2)` says.
    pub fn answer(&self) -> io::Result<Asker> {
        for _ in 0..AT_A_TIME {
            let mut buffer = [0; MAX_MESSAGE];
            let length = match rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT)
            {
                Ok((0, _)) | Err(Errno::CONNRESET) => return Ok(Asker::Gone),
                Ok((length, _)) => length,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let result = match buffer.get(..length).and_then(parse) {
                Some(ask) => open(&ask),
                None => Err(super::MalformedAsk.to_string()),
            };
            // A relay that does not fetch its answers, or is gone, harms only itself.
            let _ = match result {
                Ok(socket) => send(&self.socket, BOUND, "", Some(socket.as_fd())),
                Err(text) => send(&self.socket, REFUSED, &text, None),
            };
        }
        Ok(Asker::There)
    }
}

impl AsFd for BindService {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn parse(message: &[u8]) -> Option<Ask> {
    std::str::from_utf8(message).ok()?.parse().ok()
}

fn send(to: &OwnedFd, kind: u8, text: &str, fd: Option<BorrowedFd<'_>>) -> rustix::io::Result<()> {
    let text = text.get(..MAX_MESSAGE - 1).unwrap_or(text);
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<BorrowedFd<'_>> = fd.into_iter().collect();
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&fds));
    }
    let parts = [
        IoSlice::new(std::slice::from_ref(&kind)),
        IoSlice::new(text.as_bytes()),
    ];
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    rustix::net::sendmsg(to, &parts, &mut control, flags).map(drop)
}

/// Opens the socket as Go would, or says why not.
fn open(ask: &Ask) -> Result<OwnedFd, String> {
    if !ask.family_fits() {
        return Err(text::unsuitable(ask));
    }
    bind(ask).map_err(|error| text::refused(ask, &error, unprivileged_from()))
}

/// The outer namespace's first port that anybody may bind; absent in old kernels.
fn unprivileged_from() -> Option<u16> {
    let text = kernel::text("/proc/sys/net/ipv4/ip_unprivileged_port_start").ok()?;
    text.trim().parse().ok()
}

/// `tcp` with a wildcard is one socket for both families, and one for IPv4 where the machine has
/// no IPv6.
fn bind(ask: &Ask) -> io::Result<OwnedFd> {
    let wildcard = ask.ip.is_none_or(|ip| ip.is_unspecified());
    let v4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let v6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let at = |ip: IpAddr, dual_stack| {
        let address = SocketAddr::new(ip, ask.port.get());
        match ask.proto.transport {
            Transport::Tcp => crate::sys::net::listen_tcp(address, dual_stack),
            Transport::Sctp | Transport::Udp => crate::sys::net::bind_udp(address, dual_stack),
        }
    };
    match (ask.proto.family, ask.ip) {
        (Family::Any, _) if wildcard => match at(v6, true) {
            Err(error) if !lacks_v6(&error) => Err(error),
            Err(_) => at(v4, false),
            socket => socket,
        },
        // IPv6 is an extra here: what stands in its way does not take IPv4 away.
        (Family::V4, _) if wildcard && ask.reach == Reach::AlsoV6 => {
            at(v6, true).or_else(|_| at(v4, false))
        }
        (Family::V6, ip) => at(ip.unwrap_or(v6), false),
        (Family::Any | Family::V4, ip) => at(ip.unwrap_or(v4), false),
    }
}

fn lacks_v6(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw_os_error),
        Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
    )
}

#[cfg(test)]
mod tests;
