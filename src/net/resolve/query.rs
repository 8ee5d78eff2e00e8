//! Asking nameservers: both families at once over UDP, TCP when an answer is cut.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::ResolveError;
use super::dns::{self, Family, Reply};
use super::resolv_conf::ResolvConf;
use crate::net::connect;
use crate::net::deadline::{Deadline, Halt, Wire};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Once one family has addresses, the other gets only so much longer: some servers drop AAAA.
const OTHER_FAMILY: Duration = Duration::from_millis(200);

/// What all servers together say about one name.
enum Verdict {
    Addresses(Vec<IpAddr>),
    /// No such name, or none with an address: the next name of the search list may have one.
    Nothing,
    /// Nobody answered usefully; what the last one said.
    Unknown(Option<String>),
}

/// Asks for each name of the search list until one has addresses.
pub(super) fn addresses(
    host: &str,
    conf: &ResolvConf,
    port: u16,
    deadline: &mut Deadline<'_>,
) -> Result<Vec<IpAddr>, ResolveError> {
    let tried = conf.candidates(host);
    let mut failure = None;
    for name in &tried {
        let verdict =
            ask_servers(name, conf, port, deadline).map_err(|source| ResolveError::Io {
                host: host.into(),
                source,
            })?;
        match verdict {
            Verdict::Addresses(addresses) => return Ok(addresses),
            Verdict::Nothing => {}
            Verdict::Unknown(said) => failure = Some(said),
        }
    }
    // "No such name" must have been said about every name to be an answer.
    Err(match failure {
        Some(last) => ResolveError::NoServer {
            host: host.into(),
            servers: conf.servers.clone(),
            last,
        },
        None => ResolveError::NoSuchName {
            host: host.into(),
            tried,
            servers: conf.servers.clone(),
        },
    })
}

fn ask_servers(
    name: &str,
    conf: &ResolvConf,
    port: u16,
    deadline: &mut Deadline<'_>,
) -> io::Result<Verdict> {
    let mut said = None;
    for _ in 0..conf.attempts {
        for server in &conf.servers {
            let until = Instant::now() + conf.timeout;
            match ask(name, SocketAddr::new(*server, port), until, deadline) {
                Ok(Verdict::Unknown(None)) => {}
                Ok(Verdict::Unknown(last)) => said = last,
                Ok(verdict) => return Ok(verdict),
                Err(error) if Halt::of(&error).is_some() => return Err(error),
                Err(error) => said = Some(format!("{server}: {error}")),
            }
        }
    }
    Ok(Verdict::Unknown(said))
}

/// One server, both families over one socket; connected, so that only this server is heard.
fn ask(
    name: &str,
    server: SocketAddr,
    mut until: Instant,
    deadline: &mut Deadline<'_>,
) -> io::Result<Verdict> {
    let local: SocketAddr = if server.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0; 8], 0).into()
    };
    let socket = UdpSocket::bind(local)?;
    socket.set_nonblocking(true)?;
    socket.connect(server)?;

    let mut pending = Vec::with_capacity(FAMILIES.len());
    for family in FAMILIES {
        let id = random_id()?;
        let Some(query) = dns::query(id, name, family) else {
            return Ok(Verdict::Nothing); // no DNS name, so nobody can know it
        };
        socket.send(&query)?;
        pending.push((id, family, query));
    }

    let mut addresses = Vec::new();
    let mut failed = None;
    let mut buffer = [0u8; 4096];
    while !pending.is_empty() {
        if !deadline.ready(socket.as_fd(), PollFlags::IN, Some(until))? {
            break; // one family that is never answered must not hide the other
        }
        let message = match socket.recv(&mut buffer) {
            Ok(length) => buffer.get(..length).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error), // refused: no server there
        };
        let mut reply = None;
        pending.retain(|(id, family, query)| {
            match dns::reply(message, *id, name, *family) {
                // Somebody else's answer, or garbage: keep waiting for ours.
                Err(_) => true,
                Ok(found) => {
                    reply = Some((found, *id, *family, query.clone()));
                    false
                }
            }
        });
        let Some((mut reply, id, family, query)) = reply else {
            continue;
        };
        if reply == Reply::Truncated {
            reply = ask_by_tcp(&query, server, deadline).map(|message| {
                dns::reply(&message, id, name, family).unwrap_or(Reply::Truncated)
            })?;
        }
        match reply {
            Reply::Addresses(found) => {
                addresses.extend(found);
                if !addresses.is_empty() {
                    until = until.min(Instant::now() + OTHER_FAMILY);
                }
            }
            Reply::NoSuchName => {}
            Reply::Failed(code) => failed = Some(format!("{server} answered with code {code}")),
            Reply::Truncated => failed = Some(format!("{server} cuts its answers")),
        }
    }
    Ok(match (addresses.is_empty(), failed) {
        (false, _) => Verdict::Addresses(addresses),
        (true, Some(said)) => Verdict::Unknown(Some(said)),
        (true, None) if pending.is_empty() => Verdict::Nothing,
        (true, None) => Verdict::Unknown(None),
    })
}

fn ask_by_tcp(
    query: &[u8],
    server: SocketAddr,
    deadline: &mut Deadline<'_>,
) -> io::Result<Vec<u8>> {
    let socket = connect::tcp(&[server], deadline)?;
    let mut wire = Wire {
        fd: socket.as_fd(),
        deadline,
    };
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    wire.write_all(&[&length.to_be_bytes(), query].concat())?;
    let mut length = [0; 2];
    wire.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    wire.read_exact(&mut message)?;
    Ok(message)
}

/// Query ids must not be guessable; the kernel chooses the source port likewise.
fn random_id() -> io::Result<u16> {
    let mut id = [0; 2];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut id)
        .map_err(|_| io::Error::other("no randomness"))?;
    Ok(u16::from_ne_bytes(id))
}
