//! Why a ping was not answered, each with its own reason and fix.

use std::io;
use std::path::PathBuf;

use super::tls::{TlsFailure, TlsReason};
use crate::base::explain::{Advice, Explain, exit, samples};
use crate::client::credentials::CredentialsError;
use crate::endpoint::{Address, Endpoint, Way, no_proxy};
use crate::net::deadline::Halt;
use crate::net::http::{self, NotHttp};
use crate::net::resolve::ResolveError;

/// How far an exchange came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for the connection.
    Connect,
    /// Waiting for the TLS handshake.
    Handshake,
    /// The request is sent.
    Answer,
}

/// Why a ping was not answered. `at` is the endpoint, as it is shown to people.
#[derive(Debug, thiserror::Error)]
pub enum PingError {
    /// The backlog of the socket is full.
    #[error("{at} takes no more connections")]
    Busy {
        /// The endpoint.
        at: String,
    },
    /// The connection ended before the answer was complete.
    #[error("{at} closed the connection without an answer")]
    ClosedEarly {
        /// The endpoint.
        at: String,
    },
    /// Our certificate files are not usable.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// We may not open the socket.
    #[error("no permission for {at}")]
    Denied {
        /// The endpoint.
        at: String,
        source: io::Error,
    },
    /// A failure without a name of its own.
    #[error("could not talk to {at}")]
    Io {
        /// The endpoint.
        at: String,
        source: io::Error,
    },
    /// There is no socket at that path.
    #[error("there is no socket {}", path.display())]
    NoSocket { path: PathBuf },
    /// What answers is no HTTP server.
    #[error("{at} does not answer in HTTP")]
    NotHttp {
        /// The endpoint.
        at: String,
        /// What the bytes look like: TLS, or something else.
        looks_like_tls: bool,
        source: NotHttp,
    },
    /// The proxy on the way does not lead there.
    #[error("the proxy {proxy} of {variable} does not lead to {at}")]
    Proxy {
        /// The endpoint.
        at: String,
        proxy: String,
        /// The variable that names it.
        variable: &'static str,
        /// What `NO_PROXY` has to name.
        host: String,
        source: Box<PingError>,
    },
    /// Nobody listens.
    #[error("{at} refuses connections")]
    Refused {
        /// The endpoint.
        at: String,
    },
    /// The deadline passed.
    #[error("{at} {}", silence(phase))]
    Silent {
        /// The endpoint.
        at: String,
        phase: Phase,
    },
    /// An answer other than 200.
    #[error("{at} answered with status {code}")]
    Status {
        /// The endpoint.
        at: String,
        /// The status code.
        code: u16,
        /// The first line of the answer.
        message: String,
    },
    /// A signal ended the wait.
    #[error("stopped while waiting for {at}")]
    Stopped {
        /// The endpoint.
        at: String,
    },
    /// TLS failed.
    #[error("no TLS connection to {at}")]
    Tls {
        /// The endpoint.
        at: String,
        source: Box<TlsFailure>,
    },
    /// The network does not lead there.
    #[error("{at} cannot be reached")]
    Unreachable {
        /// The endpoint.
        at: String,
        source: io::Error,
    },
    /// The name has no address.
    #[error(transparent)]
    Unresolved(#[from] ResolveError),
}

impl PingError {
    /// Words what connect(2) said.
    #[must_use]
    pub fn of_connect(endpoint: &Endpoint, source: io::Error) -> Self {
        let at = endpoint.to_string();
        let path = match &endpoint.address {
            Address::Unix(path) => Some(path),
            Address::Tcp { .. } => None,
        };
        match (Halt::of(&source), source.kind(), path) {
            (Some(Halt::Stopped), ..) => Self::Stopped { at },
            (Some(Halt::Deadline), ..) => Self::Silent {
                at,
                phase: Phase::Connect,
            },
            (None, io::ErrorKind::ConnectionRefused, _) => Self::Refused { at },
            (None, io::ErrorKind::NotFound, Some(path)) => Self::NoSocket { path: path.clone() },
            (None, io::ErrorKind::PermissionDenied, Some(_)) => Self::Denied { at, source },
            (None, io::ErrorKind::WouldBlock, Some(_)) => Self::Busy { at },
            (None, _, Some(_)) => Self::Io { at, source },
            (None, _, None) => Self::Unreachable { at, source },
        }
    }

    /// What a failure means where a proxy is in the way: mostly that the daemon is no business of
    /// the proxy's.
    #[must_use]
    pub fn behind_proxy(self, endpoint: &Endpoint) -> Self {
        let (Way::Through(proxy), Address::Tcp { host, .. }) = (&endpoint.way, &endpoint.address)
        else {
            return self;
        };
        match self {
            // A tunnel stood, or nothing was tried.
            Self::Tls { .. } | Self::Credentials(_) | Self::Stopped { .. } => self,
            source => Self::Proxy {
                at: endpoint.address.to_string(),
                proxy: proxy.to_string(),
                variable: proxy.variable,
                host: host.clone(),
                source: Box::new(source),
            },
        }
    }

    /// Whether the deadline ended the exchange, rather than anything that happened.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        match self {
            Self::Silent { .. } => true,
            Self::Unresolved(ResolveError::Io { source, .. }) => Halt::of(source).is_some(),
            Self::Proxy { source, .. } => source.is_cut_off(),
            _ => false,
        }
    }
}

fn silence(phase: &Phase) -> &'static str {
    match phase {
        Phase::Connect => "did not take the connection in time",
        Phase::Handshake => "is connected but did not finish the TLS handshake in time",
        Phase::Answer => "is connected but has not answered yet",
    }
}

const START_IT: &str = "start the daemon's container first (docker ps; kubectl get pod), look at \
    its log, and compare the address: DOCKER_HOST here, --host there";
const SHARE_CERTIFICATES: &str = "mount the /certs/client volume of this very daemon (one volume \
    per daemon, mounted in both containers), and restart the daemon after deleting old files in it";

impl Explain for PingError {
    fn advice(&self) -> Advice {
        match self {
            Self::Busy { .. } => Advice::new(
                "more clients wait than its backlog holds (somaxconn)",
                "wait; raise net.core.somaxconn for very many clients",
            ),
            Self::ClosedEarly { .. } => Advice::new(
                "the daemon ended or restarts, or a proxy has no daemon behind it",
                "look at the daemon's log (docker logs)",
            ),
            Self::Credentials(error) => error.explained(),
            Self::Denied { .. } => Advice::new(
                "the socket belongs to root and its group, and this user is in neither",
                "run as root or in the socket's group (docker run --group-add, Kubernetes \
                 supplementalGroups), or give the daemon DIND_SOCKET_GID",
            ),
            Self::Io { .. } => Advice::new("the kernel gave no more specific reason", START_IT),
            Self::NoSocket { .. } => Advice::new(
                "the daemon has not started yet, or its socket is in another container",
                "share the directory of the socket between the containers, or use the daemon's \
                 TCP address: DOCKER_HOST=tcp://docker:2376",
            ),
            Self::NotHttp {
                looks_like_tls: true,
                ..
            } => Advice::new(SPEAKS_TLS, USE_TLS),
            Self::NotHttp { .. } => Advice::new("something else listens on that address", START_IT),
            Self::Proxy {
                source,
                variable,
                host,
                ..
            } => Advice::new(
                format!(
                    "{}; docker itself goes the same way, because {variable} is set and NO_PROXY \
                     does not name the daemon",
                    source.why()
                ),
                no_proxy(host),
            ),
            Self::Refused { .. } => Advice::new(
                "the address exists, but nothing listens on it (yet)",
                START_IT,
            ),
            Self::Silent { phase, .. } => match phase {
                Phase::Connect => Advice::new(
                    "packets are dropped: a firewall or NetworkPolicy, or a wrong address",
                    "allow the daemon's port (2376, or 2375 without TLS) in the NetworkPolicy or \
                     firewall, and check the address in DOCKER_HOST",
                ),
                Phase::Handshake | Phase::Answer => Advice::new(
                    "its socket is open, but the daemon behind it is still starting, or hangs",
                    "look at the daemon's log (docker logs; kubectl logs -c), or allow more time: \
                     --timeout",
                ),
            },
            Self::Status { message, .. } if message.contains("HTTPS") => {
                Advice::new(SPEAKS_TLS, USE_TLS)
            }
            Self::Status { message, .. } => Advice::new(
                match message.as_str() {
                    "" => "a daemon that is ready answers 200".into(),
                    text => format!("it says: {text}"),
                },
                if http::is_about_version(message) {
                    "remove DOCKER_API_VERSION, so that client and daemon agree on one"
                } else {
                    "look at the log of the daemon, and of a proxy before it"
                },
            ),
            Self::Stopped { .. } => Advice::new("a signal asked for it", "nothing to do"),
            Self::Tls { source, .. } => source.reason.advice(),
            Self::Unreachable { .. } => Advice::new(
                "no route leads there, or nothing answers",
                "put both containers into one network (docker run --network, compose networks), \
                 and check the address in DOCKER_HOST",
            ),
            Self::Unresolved(error) => error.explained(),
        }
        .with_code(exit::STEP_FAILED)
    }
}

samples! { PingError {
    Busy { at: "unix:///path".into() },
    ClosedEarly { at: "tcp://docker:2376".into() },
    Denied { at: "unix:///path".into(), source: errno(libc::EACCES) },
    Io { at: "tcp://docker:2376".into(), source: errno(libc::EIO) },
    NoSocket { path: "/path".into() },
    NotHttp { at: "tcp://docker:2376".into(), looks_like_tls: true, source: NotHttp(httparse::Error::Version) },
    NotHttp { at: "tcp://docker:2376".into(), looks_like_tls: false, source: NotHttp(httparse::Error::Version) },
    Proxy {
        at: "tcp://docker:2376".into(),
        proxy: "http://proxy:3128".into(),
        variable: "HTTPS_PROXY",
        host: "docker".into(),
        source: Box::new(Self::Refused { at: "tcp://docker:2376".into() }),
    },
    Refused { at: "tcp://docker:2376".into() },
    Silent { at: "tcp://docker:2376".into(), phase: Phase::Connect },
    Silent { at: "tcp://docker:2376".into(), phase: Phase::Handshake },
    Silent { at: "tcp://docker:2376".into(), phase: Phase::Answer },
    Status { at: "tcp://docker:2376".into(), code: 400, message: "Client sent an HTTP request to an HTTPS server.".into() },
    Status { at: "tcp://docker:2376".into(), code: 400, message: "client version 1.24 is too old".into() },
    Status { at: "tcp://docker:2376".into(), code: 503, message: String::new() },
    Stopped { at: "tcp://docker:2376".into() },
    Unreachable { at: "tcp://docker:2376".into(), source: errno(libc::EHOSTUNREACH) };
    hands on Credentials, Unresolved;
    each Tls in TlsReason::samples().into_iter().map(|reason| Self::Tls {
        at: "tcp://docker:2376".into(),
        source: Box::new(TlsFailure { reason, error: rustls::Error::DecryptError }),
    })
} }

impl TlsReason {
    fn advice(&self) -> Advice {
        match self {
            Self::ClientRefused { alert } => Advice::new(
                format!(
                    "the daemon does not take this client certificate ({alert}): it was signed by \
                     another CA, has expired, or none was sent"
                ),
                SHARE_CERTIFICATES,
            ),
            Self::Expired => Advice::new(
                "the daemon's certificate has expired",
                "restart the daemon's container: it signs a new certificate at each start",
            ),
            Self::NameMismatch { presented } => Advice::new(
                if presented.is_empty() {
                    "the daemon's certificate names no host at all".into()
                } else {
                    format!(
                        "the daemon's certificate is for {} only",
                        presented.join(", ")
                    )
                },
                "use one of these names in DOCKER_HOST, or add yours on the daemon's side: \
                 DOCKER_TLS_SAN=DNS:NAME or IP:ADDRESS",
            ),
            Self::NotTls => Advice::new(
                "what answers there speaks no TLS",
                "unset DOCKER_TLS_VERIFY for a daemon without TLS (DOCKER_TLS_CERTDIR= on \
                 both sides), or name its TLS port, usually 2376",
            ),
            Self::NotYetValid => Advice::new(
                "the daemon's certificate becomes valid later: one of the two clocks is wrong",
                "correct the clocks of both machines",
            ),
            Self::Distrusted(distrust) => Advice::new(
                distrust.to_string(),
                "issue the daemon's certificate anew, for a server (serverAuth), by a CA that \
                 is valid and is marked as one (CA:TRUE), with RSA, EC P-256, P-384 or P-521 \
                 keys and SHA-256; without files of yours in DOCKER_TLS_CERTDIR the daemon's \
                 container makes such ones itself",
            ),
            Self::NothingInCommon => Advice::new(
                "there is no TLS version, cipher or kind of key that both sides have; here: TLS \
                 1.2 and 1.3, RSA from 2048 bits, EC P-256, P-384 and P-521, Ed25519",
                "give the daemon a certificate with an RSA, EC P-256, P-384 or P-521 key",
            ),
            Self::Other(words) => Advice::new(words, "look at the daemon's log for its side of it"),
            Self::UnknownAuthority => Advice::new(
                "the daemon's certificate was not signed by the CA that was given: the \
                 files are from another daemon, or from an earlier start",
                SHARE_CERTIFICATES,
            ),
        }
    }
}

samples! { TlsReason {
    ClientRefused { alert: "bad_certificate".into() },
    Distrusted(crate::client::trust::Distrust::Purpose),
    Expired,
    NameMismatch { presented: vec!["localhost".into()] },
    NameMismatch { presented: vec![] },
    NotTls,
    NotYetValid,
    NothingInCommon,
    Other("what the library says".into()),
    UnknownAuthority,
} }

const SPEAKS_TLS: &str = "it speaks TLS, and was asked in plain HTTP";

const USE_TLS: &str = "set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH=/certs/client, with the \
    daemon's /certs/client volume mounted here";
