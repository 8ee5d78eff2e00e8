//! One `GET /_ping`, over a unix socket, TCP or TLS, with a deadline and bounded reads.

mod error;
mod tls;

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

pub use error::{Phase, PingError};
pub use tls::{TlsFailure, TlsReason};

use super::credentials::Credentials;
use crate::endpoint::{Address, Endpoint, Proxy, Security, Way, is_api_version};
use crate::net::connect;
use crate::net::deadline::{Deadline, Halt, Wire};
use crate::net::http::{self, Head};
use crate::net::resolve::{ResolveError, Resolver};

/// Asks the daemon once whether it is ready; its files are read now.
///
/// # Errors
/// [`PingError`].
pub fn ping(
    endpoint: &Endpoint,
    resolver: &Resolver,
    deadline: &mut Deadline<'_>,
) -> Result<Head, PingError> {
    let credentials = match &endpoint.security {
        Security::Plain => None,
        Security::Tls(files) => Some(Credentials::load(files)?),
    };
    exchange(endpoint, credentials.as_ref(), resolver, deadline)
}

/// The exchange itself, with TLS if there are credentials.
///
/// # Errors
/// [`PingError`].
pub fn exchange(
    endpoint: &Endpoint,
    credentials: Option<&Credentials>,
    resolver: &Resolver,
    deadline: &mut Deadline<'_>,
) -> Result<Head, PingError> {
    let mut ask = |endpoint: &Endpoint| {
        asked(endpoint, credentials, resolver, deadline)
            .map_err(|error| error.behind_proxy(endpoint))
    };
    let head = ask(endpoint)?;
    // Below a path that is itself a version, only the question without one is answered.
    let below = matches!(&endpoint.address, Address::Tcp { prefix, .. } if !prefix.is_empty());
    match &head.api_version {
        Some(api) if below && endpoint.api.is_none() && is_api_version(api) => ask(&Endpoint {
            api: Some(api.clone()),
            ..endpoint.clone()
        }),
        _ => Ok(head),
    }
}

fn asked(
    endpoint: &Endpoint,
    credentials: Option<&Credentials>,
    resolver: &Resolver,
    deadline: &mut Deadline<'_>,
) -> Result<Head, PingError> {
    let at = endpoint.to_string();
    let socket = open(endpoint, resolver, deadline)?;
    let prefix = match &endpoint.address {
        Address::Unix(_) => "",
        Address::Tcp { prefix, .. } => prefix,
    };
    let prefix = &match &endpoint.api {
        Some(version) => format!("{prefix}/v{version}"),
        None => prefix.to_owned(),
    };
    let authority = endpoint.address.authority();
    match (credentials, &endpoint.way) {
        (None, way) => {
            let request = match way {
                Way::Through(proxy) => {
                    http::proxied_request(&authority, prefix, proxy.authorization().as_deref())
                }
                Way::Direct | Way::Unknown { .. } => http::request(&authority, prefix),
            };
            deadline.doing(Phase::Answer.of(&at));
            let mut wire = Wire {
                fd: socket.as_fd(),
                deadline,
            };
            let sent = wire.write_all(&request);
            answer(&mut wire, sent.err())
        }
        (Some(credentials), way) => {
            if let Way::Through(proxy) = way {
                tunnel(&authority, proxy, &at, &socket, deadline)?;
            }
            let request = http::request(&authority, prefix);
            over_tls(endpoint, &socket, credentials, &request, deadline)
        }
    }
    .map_err(|error| error.at(&at))
    .and_then(|(head, body)| judged(head, &body, &at))
}

fn judged(head: Head, body: &[u8], at: &str) -> Result<Head, PingError> {
    if head.status == 200 {
        return Ok(head);
    }
    Err(PingError::Status {
        at: at.to_owned(),
        code: head.status,
        message: http::message(body),
    })
}

/// Asks a proxy for a way through to the daemon.
fn tunnel(
    authority: &str,
    proxy: &Proxy,
    at: &str,
    socket: &OwnedFd,
    deadline: &mut Deadline<'_>,
) -> Result<(), PingError> {
    deadline.doing(Phase::Connect.of(at));
    let mut wire = Wire {
        fd: socket.as_fd(),
        deadline,
    };
    let request = http::tunnel_request(authority, proxy.authorization().as_deref());
    let sent = wire.write_all(&request);
    let (head, body) = answer(&mut wire, sent.err()).map_err(|error| error.at(at))?;
    judged(head, &body, at).map(drop)
}

/// Opens the connection to the daemon, or to the proxy in its way, and words the failures.
fn open(
    endpoint: &Endpoint,
    resolver: &Resolver,
    deadline: &mut Deadline<'_>,
) -> Result<OwnedFd, PingError> {
    deadline.doing(Phase::Connect.of(&endpoint.to_string()));
    let first = match &endpoint.way {
        Way::Direct | Way::Unknown { .. } => endpoint.clone(),
        Way::Through(proxy) => {
            let (host, port) = (proxy.host.clone(), proxy.port);
            let prefix = String::new();
            Endpoint::direct(Address::Tcp { host, port, prefix }, Security::Plain)
        }
    };
    match &first.address {
        Address::Unix(path) => connect::unix(path, deadline),
        Address::Tcp { host, port, .. } => {
            let addresses =
                resolver
                    .resolve(host, *port, deadline)
                    .map_err(|error| match &error {
                        ResolveError::Io { source, .. }
                            if Halt::of(source) == Some(Halt::Stopped) =>
                        {
                            let at = endpoint.to_string();
                            PingError::Stopped { at }
                        }
                        _ => PingError::Unresolved(error),
                    })?;
            connect::tcp(&addresses, deadline)
        }
    }
    .map_err(|source| PingError::of_connect(&first, source))
}

/// A failure behind the connect, before the endpoint's name is put to it.
enum Broken {
    Io(io::Error, Phase),
    NotHttp(http::NotHttp, bool),
    Tls(rustls::Error),
}

impl Broken {
    /// Tells a TLS failure, which travels inside an I/O error, from the I/O itself.
    fn new(error: io::Error, phase: Phase) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(tls) => Self::Tls(rustls::Error::clone(tls)),
            None => Self::Io(error, phase),
        }
    }

    fn at(self, at: &str) -> PingError {
        let at = at.to_owned();
        match self {
            Self::Tls(source) => PingError::Tls {
                at,
                source: Box::new(source.into()),
            },
            Self::NotHttp(source, looks_like_tls) => PingError::NotHttp {
                at,
                looks_like_tls,
                source,
            },
            Self::Io(source, phase) => match (Halt::of(&source), source.kind()) {
                (Some(Halt::Stopped), _) => PingError::Stopped { at },
                (Some(Halt::Deadline), _) => PingError::Silent { at, phase },
                (
                    None,
                    io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe,
                ) => PingError::ClosedEarly { at },
                (None, _) => PingError::Io { at, source },
            },
        }
    }
}

impl Phase {
    fn of(self, at: &str) -> String {
        match self {
            Self::Connect => format!("{at}: connecting"),
            Self::Handshake => format!("{at}: connected, waiting for the TLS handshake"),
            Self::Answer => format!("{at}: connected, the daemon has not answered yet"),
        }
    }
}

fn over_tls(
    endpoint: &Endpoint,
    socket: &OwnedFd,
    credentials: &Credentials,
    request: &[u8],
    deadline: &mut Deadline<'_>,
) -> Result<(Head, Vec<u8>), Broken> {
    let at = endpoint.to_string();
    let host = match &endpoint.address {
        Address::Tcp { host, .. } => host.strip_suffix('.').unwrap_or(host),
        Address::Unix(_) => "docker",
    };
    let name = match host.parse() {
        // Go makes no difference between ::ffff:10.0.0.1 and 10.0.0.1.
        Ok(ip) => ServerName::from(IpAddr::to_canonical(&ip)),
        Err(_) => ServerName::try_from(host.to_owned()).map_err(|_| {
            // Such a name can be in no certificate.
            Broken::Tls(rustls::CertificateError::NotValidForName.into())
        })?,
    };
    let mut tls =
        ClientConnection::new(Arc::clone(&credentials.config), name).map_err(Broken::Tls)?;
    deadline.doing(Phase::Handshake.of(&at));
    let mut wire = Wire {
        fd: socket.as_fd(),
        deadline,
    };
    while tls.is_handshaking() {
        tls.complete_io(&mut wire)
            .map_err(|error| Broken::new(error, Phase::Handshake))?;
    }
    wire.deadline.doing(Phase::Answer.of(&at));
    let sent = send(&mut tls, &mut wire, request);
    // In TLS 1.3 a server refuses our certificate only now: what it says counts more than that
    // we could not write.
    answer(&mut Decrypted { tls, wire }, sent.err())
}

fn send(tls: &mut ClientConnection, wire: &mut Wire<'_, '_>, request: &[u8]) -> io::Result<()> {
    tls.writer().write_all(request)?;
    while tls.wants_write() {
        tls.write_tls(wire)?;
    }
    Ok(())
}

/// The reading half of a TLS connection. Unlike [`rustls::Stream`] it goes on reading when writing
/// has failed, which is where an alert would be.
struct Decrypted<'w, 'a> {
    tls: ClientConnection,
    wire: Wire<'w, 'a>,
}

impl Read for Decrypted<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            self.tls.read_tls(&mut self.wire)?;
            self.tls.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

/// Reads the head, and the body of an answer other than 200.
fn answer(wire: &mut dyn Read, sent: Option<io::Error>) -> Result<(Head, Vec<u8>), Broken> {
    // A write that failed is the reason only if there is nothing to read.
    if let Some(error) = sent
        && !matches!(
            error.kind(),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
        )
    {
        return Err(Broken::new(error, Phase::Answer));
    }
    let mut bytes = Vec::new();
    let head = loop {
        match read_some(wire, &mut bytes, http::MAX_HEAD)? {
            0 => {
                let eof = io::ErrorKind::UnexpectedEof.into();
                return Err(Broken::Io(eof, Phase::Answer));
            }
            _ => match Head::parse(&bytes) {
                Ok(Some(head)) => break head,
                Ok(None) => {}
                // 21 is the record type of an alert: a TLS server that was spoken to in HTTP.
                Err(error) => return Err(Broken::NotHttp(error, bytes.first() == Some(&21))),
            },
        }
    };
    if head.status == 200 {
        return Ok((head, Vec::new()));
    }
    let mut body = bytes.split_off(head.length.min(bytes.len()));
    let end = head
        .content_length
        .map_or(http::MAX_BODY, |length| length.min(http::MAX_BODY));
    // The message is a courtesy: whatever ends it early is no failure of its own.
    while body.len() < end && matches!(read_some(wire, &mut body, end), Ok(1..)) {}
    body.truncate(end);
    Ok((head, body))
}

/// One read, appended; never beyond `limit` bytes altogether.
fn read_some(wire: &mut dyn Read, bytes: &mut Vec<u8>, limit: usize) -> Result<usize, Broken> {
    let mut buffer = [0u8; 2048];
    let room = limit.saturating_sub(bytes.len()).min(buffer.len());
    let room = buffer.get_mut(..room).unwrap_or_default();
    let count = wire
        .read(room)
        .map_err(|error| Broken::new(error, Phase::Answer))?;
    bytes.extend_from_slice(room.get(..count).unwrap_or_default());
    Ok(count)
}
