//! `DOCKER_HOST` and `--host`: text to address, by the rules of the docker CLI.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::base::explain::{Advice, Explain, exit, samples};

/// Where the official images and dockerd itself put the socket.
pub const STANDARD_SOCKET: &str = "/var/run/docker.sock";
/// The port when a `tcp://` host names none. The docker CLI takes 2375 with and without TLS;
/// anything else would wait for another daemon than the one `docker` talks to afterwards.
pub const DEFAULT_PORT: u16 = 2375;
const DEFAULT_NAME: &str = "127.0.0.1";

/// Where a daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A name or an IP literal (without brackets), a port, and the path before `/_ping`.
    Tcp {
        /// DNS name or IP literal.
        host: String,
        port: u16,
        /// Path prefix, empty or `/…` without a slash at the end.
        prefix: String,
    },
    /// A socket path; one that begins with `@` is an abstract name.
    Unix(PathBuf),
}

/// Why a host cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Not of the form that the scheme demands.
    #[error("'{text}' is not a daemon address: {reason}")]
    Malformed { text: String, reason: &'static str },
    /// A scheme of the docker CLI, or of a browser, that we do not speak.
    #[error("cannot reach '{text}': {scheme}:// is not supported here")]
    Scheme { text: String, scheme: String },
}

impl Explain for HostError {
    fn advice(&self) -> Advice {
        const EXAMPLE: &str = "use for example DOCKER_HOST=tcp://docker:2376 or \
             DOCKER_HOST=unix:///var/run/docker.sock";
        match self {
            Self::Malformed { .. } => Advice::new(
                "DOCKER_HOST and --host take tcp://NAME:PORT or unix:///PATH",
                EXAMPLE,
            ),
            Self::Scheme { scheme, .. } => match scheme.as_str() {
                "ssh" => Advice::new(
                    "ssh:// runs a program on another machine; only the docker CLI does",
                    "forward the socket (ssh -L /tmp/docker.sock:/var/run/docker.sock HOST) and \
                     use --host unix:///tmp/docker.sock",
                ),
                "fd" => Advice::new(
                    "fd:// is for the daemon's side of socket activation",
                    EXAMPLE,
                ),
                "npipe" => Advice::new("npipe:// is for Windows", EXAMPLE),
                "http" | "https" => Advice::new(
                    "the docker CLI refuses it, too: TLS is chosen by DOCKER_TLS_VERIFY",
                    EXAMPLE,
                ),
                _ => Advice::new(
                    "only tcp:// and unix:// lead to a daemon from here",
                    EXAMPLE,
                ),
            },
        }
        .with_code(exit::USAGE)
    }
}

samples! { HostError {
    Malformed { text: "tcp://docker:x".into(), reason: "what is wrong in it" };
    each Scheme in ["ssh", "fd", "npipe", "http", "quic"].map(|scheme| Self::Scheme {
        text: format!("{scheme}://docker"),
        scheme: scheme.into(),
    })
} }

impl Address {
    /// Reads a host as the docker CLI does: blanks around it are dropped, no scheme is `tcp://`,
    /// `unix://` alone is the standard socket, `tcp://` alone is 127.0.0.1.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn parse(text: &OsStr) -> Result<Self, HostError> {
        let bytes = text.as_bytes().trim_ascii();
        if let Some(path) = bytes.strip_prefix(b"unix://") {
            return unix(OsStr::from_bytes(path), text);
        }
        let malformed = |reason| HostError::Malformed {
            text: text.to_string_lossy().into_owned(),
            reason,
        };
        let Ok(whole) = std::str::from_utf8(bytes) else {
            return Err(malformed("it is not UTF-8"));
        };
        if whole.starts_with("unix:") {
            return Err(malformed("a unix socket is written unix:///PATH"));
        }
        let rest = match whole.split_once("://") {
            None => whole,
            Some(("tcp", rest)) => rest,
            Some((scheme, _)) => {
                return Err(HostError::Scheme {
                    text: whole.into(),
                    scheme: scheme.into(),
                });
            }
        };
        tcp(rest).map_err(malformed)
    }

    /// Name and port as a URL and a `Host` header have them; `docker` for a unix socket.
    #[must_use]
    pub fn authority(&self) -> String {
        match self {
            Self::Tcp { host, port, .. } => match host.parse() {
                Ok(IpAddr::V6(_)) => format!("[{host}]:{port}"),
                Ok(IpAddr::V4(_)) | Err(_) => format!("{host}:{port}"),
            },
            Self::Unix(_) => "docker".into(),
        }
    }

    /// The value of `DOCKER_HOST` that means this address.
    #[must_use]
    pub fn docker_host(&self) -> OsString {
        match self {
            Self::Tcp { .. } => self.to_string().into(),
            Self::Unix(path) => {
                let mut text = OsString::from("unix://");
                text.push(path);
                text
            }
        }
    }
}

fn unix(path: &OsStr, text: &OsStr) -> Result<Address, HostError> {
    let malformed = |reason| HostError::Malformed {
        text: text.to_string_lossy().into_owned(),
        reason,
    };
    if path.is_empty() {
        return Ok(Address::Unix(STANDARD_SOCKET.into()));
    }
    if path.as_bytes().contains(&0) {
        return Err(malformed("the path holds a NUL byte"));
    }
    if path.as_bytes().windows(3).any(|three| three == b"://") {
        return Err(malformed("it names two schemes"));
    }
    Ok(Address::Unix(path.into()))
}

fn tcp(rest: &str) -> Result<Address, &'static str> {
    if rest.contains("://") {
        return Err("it names two schemes");
    }
    // What follows goes into a request line and a Host header.
    if rest.contains(|c: char| !c.is_ascii_graphic()) {
        return Err("a host has no blanks and only ASCII characters");
    }
    if rest.contains(['?', '#', '@']) {
        return Err("a daemon address has no user, query or fragment");
    }
    let (authority, prefix) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, tail) = bracketed.split_once(']').ok_or("the ']' is missing")?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err("what is in brackets is no IPv6 address");
            }
            match tail.strip_prefix(':') {
                Some(port) => (host, port),
                None if tail.is_empty() => (host, ""),
                None => return Err("a port follows ']' after a colon"),
            }
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    if port.contains(':') {
        return Err("an IPv6 address is written in brackets: tcp://[::1]:2375");
    }
    let port = match port {
        "" => DEFAULT_PORT,
        // parse would take "+1".
        _ if !port.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err("the port is not a number");
        }
        _ => match port.parse() {
            Ok(0) | Err(_) => return Err("the port is not between 1 and 65535"),
            Ok(port) => port,
        },
    };
    let host = if host.is_empty() { DEFAULT_NAME } else { host };
    Ok(Address::Tcp {
        host: host.into(),
        port,
        prefix: prefix.trim_end_matches('/').into(),
    })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { prefix, .. } => write!(f, "tcp://{}{prefix}", self.authority()),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<String, HostError> {
        Address::parse(OsStr::new(text)).map(|address| address.to_string())
    }

    #[test]
    fn reads_every_form_that_the_docker_cli_reads() {
        let table = [
            ("tcp://docker:2376", "tcp://docker:2376"),
            (" tcp://docker:2376\n", "tcp://docker:2376"),
            ("docker:2375", "tcp://docker:2375"),
            ("docker", "tcp://docker:2375"),
            ("tcp://docker", "tcp://docker:2375"),
            ("tcp://docker:", "tcp://docker:2375"),
            ("tcp://", "tcp://127.0.0.1:2375"),
            ("tcp://:1234", "tcp://127.0.0.1:1234"),
            (":1234", "tcp://127.0.0.1:1234"),
            ("tcp://[::1]", "tcp://[::1]:2375"),
            ("tcp://[::1]:", "tcp://[::1]:2375"),
            ("tcp://[fd00::2]:2376", "tcp://[fd00::2]:2376"),
            ("tcp://10.0.0.1:2375/", "tcp://10.0.0.1:2375"),
            ("tcp://proxy:2375/engine/", "tcp://proxy:2375/engine"),
            ("unix:///run/a.sock", "unix:///run/a.sock"),
            ("unix://", "unix:///var/run/docker.sock"),
            ("unix://relative.sock", "unix://relative.sock"),
            ("unix://@name", "unix://@name"),
        ];
        for (text, want) in table {
            assert_eq!(parse(text).as_deref(), Ok(want), "{text:?}");
        }
    }

    #[test]
    fn refuses_other_schemes_by_name() {
        for scheme in ["ssh", "fd", "npipe", "http", "https", "podman", "TCP", ""] {
            let error = parse(&format!("{scheme}://x")).unwrap_err();
            assert!(
                matches!(&error, HostError::Scheme { scheme: found, .. } if found == scheme),
                "{error}"
            );
            assert!(!error.why().is_empty() && !error.fix().is_empty());
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn refuses_what_is_no_address() {
        for text in [
            "tcp://a:b",
            "tcp://a:0",
            "tcp://a:65536",
            "tcp://a:+1",
            "tcp://::1",
            "tcp://::1:2375",
            "tcp://[::1",
            "tcp://[::1]2375",
            "tcp://[docker]:2375",
            "tcp://user@docker:2375",
            "tcp://docker:2375/?x",
            "tcp://do cker",
            "tcp://docker\r\nX: y:1",
            "tcp://tcp://docker",
            "unix://tcp://docker",
            "unix:/run/docker.sock",
        ] {
            assert!(
                matches!(parse(text), Err(HostError::Malformed { .. })),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_path_that_is_not_utf8_survives() {
        let text = OsStr::from_bytes(b"unix:///run/\xff.sock");
        assert_eq!(Address::parse(text).unwrap().docker_host(), text);
    }

    proptest! {
        #[test]
        fn never_panics_and_what_it_accepts_it_reads_again(text in "(tcp://|unix://|)\\PC{0,24}") {
            if let Ok(address) = Address::parse(OsStr::new(&text)) {
                prop_assert_eq!(Address::parse(&address.docker_host()), Ok(address));
            }
        }

        #[test]
        fn reads_back_any_port(port in 1u16.., name in "[a-z][a-z0-9.-]{0,20}") {
            let text = format!("tcp://{name}:{port}");
            prop_assert_eq!(parse(&text), Ok(text));
        }
    }
}
