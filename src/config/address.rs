//! Addresses of the API as dockerd's `--host` writes them, normalised by its rules
//! (moby `opts.ParseDaemonHost`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// dockerd's default unix socket.
pub const DEFAULT_UNIX: &str = "/var/run/docker.sock";

/// Longest path that fits a `sockaddr_un` (`unix(7)`), without the final NUL.
pub const UNIX_PATH_MAX: usize = 107;

/// One address on which dockerd was asked to listen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// `unix://PATH`.
    Unix(PathBuf),
    /// `tcp://HOST:PORT`.
    Tcp {
        /// Name, address, or nothing for all of them.
        host: TcpHost,
        /// Port, never 0.
        port: u16,
    },
    /// `fd://` (all), `fd://*` or `fd://N`: sockets from outer activation.
    Activated(Option<u32>),
}

/// The host part of a TCP address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TcpHost {
    /// `0.0.0.0`, `[::]`: every address. Go opens one dual-stack socket for `0.0.0.0`, and one
    /// for `::` likewise.
    Wildcard,
    Ip(IpAddr),
    /// A name that must be looked up.
    Name(String),
}

impl TcpHost {
    /// The host of an address that a socket is bound to.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            ip if ip.is_unspecified() => Self::Wildcard,
            ip => Self::Ip(ip),
        }
    }

    /// Whether only this machine (this network namespace) can connect.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Wildcard => false,
            Self::Ip(ip) => ip.is_loopback(),
            Self::Name(name) => name == "localhost",
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp {
                host: TcpHost::Wildcard,
                port,
            } => write!(f, "tcp://0.0.0.0:{port}"),
            Self::Tcp {
                host: TcpHost::Ip(ip),
                port,
            } => {
                write!(f, "tcp://{}", SocketAddr::new(*ip, *port))
            }
            Self::Tcp {
                host: TcpHost::Name(name),
                port,
            } => write!(f, "tcp://{name}:{port}"),
            Self::Activated(None) => f.write_str("fd://"),
            Self::Activated(Some(fd)) => write!(f, "fd://{fd}"),
        }
    }
}

/// Why a `--host` value is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// Neither tcp, unix nor fd.
    #[error("the protocol must be tcp, unix or fd")]
    Protocol,
    /// Something after the port.
    #[error("a path is not allowed after the host and port")]
    Path,
    /// Not 1 to 65535.
    #[error("the port must be a number from 1 to 65535")]
    Port,
    /// `fd://` with something else than a number.
    #[error("fd:// takes nothing, * or the number of a descriptor from 3 on")]
    Descriptor,
    /// Does not fit `sockaddr_un`.
    #[error("a path of a unix socket has at most 107 bytes")]
    TooLong,
    /// A name that is in no file system.
    #[error("an abstract socket (@…) has no file whose owner and mode could be set")]
    Abstract,
}

impl Address {
    /// The same address with a path from the root.
    #[must_use]
    pub fn below(self, directory: &Path) -> Self {
        match self {
            Self::Unix(path) => Self::Unix(directory.join(path)),
            other => other,
        }
    }

    /// Reads one `--host` value. `empty` is what an empty value means (it depends on TLS).
    ///
    /// # Errors
    /// [`BadAddress`] where dockerd would refuse the value as well.
    pub fn parse(text: &str, empty: &Self) -> Result<Self, BadAddress> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(empty.clone());
        }
        match text.split_once("://") {
            None => tcp(text),
            Some(("tcp", rest)) => tcp(rest),
            Some(("unix", rest)) => unix(rest),
            Some(("fd", "" | "*")) => Ok(Self::Activated(None)),
            Some(("fd", rest)) => {
                let fd = rest.parse().ok().filter(|fd| *fd >= 3);
                fd.map(|fd| Self::Activated(Some(fd)))
                    .ok_or(BadAddress::Descriptor)
            }
            Some(_) => Err(BadAddress::Protocol),
        }
    }
}

/// Relative paths stay: dockerd binds them in its working directory, which is ours.
fn unix(path: &str) -> Result<Address, BadAddress> {
    let path = if path.is_empty() { DEFAULT_UNIX } else { path };
    match path {
        path if path.contains("://") => Err(BadAddress::Protocol),
        path if path.starts_with('@') => Err(BadAddress::Abstract),
        path if path.len() > UNIX_PATH_MAX => Err(BadAddress::TooLong),
        path => Ok(Address::Unix(PathBuf::from(path))),
    }
}

fn tcp(rest: &str) -> Result<Address, BadAddress> {
    if rest.contains(['/', '?', '#']) {
        return Err(BadAddress::Path);
    }
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or(port)),
        None => rest.rsplit_once(':').unwrap_or((rest, "")),
    };
    let port = match port {
        "" => 2375,
        port => port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or(BadAddress::Port)?,
    };
    let host = match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => TcpHost::Wildcard,
        Ok(ip) => TcpHost::Ip(ip),
        Err(_) if host.is_empty() => TcpHost::Name("localhost".into()),
        Err(_) => TcpHost::Name(host.into()),
    };
    Ok(Address::Tcp { host, port })
}

/// Every interface, on a port.
#[must_use]
pub fn wildcard(port: u16) -> Address {
    Address::Tcp {
        host: TcpHost::Wildcard,
        port,
    }
}

/// The two loopback addresses.
pub const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<String, BadAddress> {
        Address::parse(text, &Address::Unix(DEFAULT_UNIX.into())).map(|a| a.to_string())
    }

    #[test]
    fn values_are_normalised_as_dockerd_does() {
        for (given, meant) in [
            ("", "unix:///var/run/docker.sock"),
            ("unix://", "unix:///var/run/docker.sock"),
            ("unix:///x", "unix:///x"),
            ("tcp://", "tcp://localhost:2375"),
            ("tcp://:2376", "tcp://localhost:2376"),
            ("tcp://0.0.0.0:2375", "tcp://0.0.0.0:2375"),
            ("tcp://[::]:2375", "tcp://0.0.0.0:2375"),
            ("[::1]:2375", "tcp://[::1]:2375"),
            ("127.0.0.1", "tcp://127.0.0.1:2375"),
            (" tcp://name:1 ", "tcp://name:1"),
            ("fd://", "fd://"),
            ("fd://*", "fd://"),
            ("fd://4", "fd://4"),
        ] {
            assert_eq!(parse(given).as_deref(), Ok(meant), "{given}");
        }
    }

    #[test]
    fn what_dockerd_refuses_is_refused() {
        for (given, error) in [
            ("npipe://x", BadAddress::Protocol),
            ("udp://x:1", BadAddress::Protocol),
            ("tcp://x:1/path", BadAddress::Path),
            ("tcp://x:0", BadAddress::Port),
            ("tcp://x:65536", BadAddress::Port),
            ("tcp://x:y", BadAddress::Port),
            ("fd://2", BadAddress::Descriptor),
            ("fd://name", BadAddress::Descriptor),
            ("unix://@abstract", BadAddress::Abstract),
        ] {
            assert_eq!(parse(given), Err(error), "{given}");
        }
        assert_eq!(
            parse(&format!("unix:///{}", "x".repeat(107))),
            Err(BadAddress::TooLong)
        );
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(text in ".{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_was_normalised_once_stays(text in "(tcp://)?[a-z0-9.\\[\\]:]{0,20}") {
            if let Ok(once) = parse(&text) {
                prop_assert_eq!(parse(&once), Ok(once));
            }
        }
    }
}
