//! Why flags and environment do not make an endpoint, and what to do about it.

use super::{HostError, context};
use crate::base::explain::{Advice, Explain, exit, samples};

/// Why flags and environment do not make an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The host cannot be used.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A certificate without its key, or the other way round.
    #[error("{given} was given without {missing}")]
    HalfIdentity {
        /// The flag that is there.
        given: &'static str,
        /// The flag that is not.
        missing: &'static str,
    },
    /// `DOCKER_API_VERSION` is none.
    #[error("DOCKER_API_VERSION is '{text}', which is no version")]
    ApiVersion {
        /// What was given.
        text: String,
    },
    /// The chosen docker context is of no use.
    #[error("cannot use the docker context '{name}', which {} has chosen", by.words())]
    Context {
        name: String,
        by: context::By,
        reason: &'static str,
    },
    /// The docker CLI goes through a proxy that we cannot use.
    #[error(
        "the docker CLI goes to {at} through the proxy of {variable}, and that cannot be tried from here"
    )]
    Proxy {
        /// The daemon.
        at: String,
        /// The variable that names the proxy.
        variable: &'static str,
        /// What cannot be used about it.
        reason: &'static str,
        /// What `NO_PROXY` has to name.
        host: String,
    },
    /// These files cannot be named by `DOCKER_CERT_PATH`.
    #[error("the certificate files are not ca.pem, cert.pem and key.pem of one directory")]
    ScatteredFiles,
    /// TLS flags with a unix socket.
    #[error("TLS was asked for on {address}")]
    TlsOnUnix {
        /// The socket.
        address: String,
    },
    /// TLS without verification.
    #[error("TLS without verification was asked for by {by}")]
    Unverified {
        /// The flag or variable.
        by: &'static str,
    },
}

impl Explain for EndpointError {
    fn advice(&self) -> Advice {
        match self {
            Self::Host(error) => error.explained(),
            Self::ApiVersion { .. } => Advice::new(
                "the docker CLI puts it into every request",
                "remove it, or use a form like DOCKER_API_VERSION=1.44",
            ),
            Self::Context { reason, .. } => Advice::new(
                *reason,
                "docker context ls shows those that are there; DOCKER_CONTEXT=default or \
                 DOCKER_HOST=tcp://docker:2376 go around it",
            ),
            Self::Proxy { reason, host, .. } => Advice::new(*reason, no_proxy(host)),
            Self::HalfIdentity { missing, .. } => Advice::new(
                "a client certificate is of use only together with its private key",
                format!("add {missing}, or name the directory of all three files by --cert-dir"),
            ),
            Self::ScatteredFiles => Advice::new(
                "the docker CLI finds them by directory (DOCKER_CERT_PATH) and these fixed names",
                "copy or link them into one directory and name it by --cert-dir",
            ),
            Self::TlsOnUnix { .. } => Advice::new(
                "a unix socket is protected by its owner and mode and never speaks TLS",
                "drop the TLS flags, or name the TCP address: --host tcp://docker:2376",
            ),
            Self::Unverified { .. } => Advice::new(
                "whoever answers would be taken for the daemon; this is not supported here",
                "set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH=/certs/client, and share the \
                 daemon's /certs/client volume with this container",
            ),
        }
        .with_code(exit::USAGE)
    }
}

samples! { EndpointError {
    HalfIdentity { given: "--tlscert", missing: "--tlskey" },
    ApiVersion { text: "new".into() },
    Context {
        name: "name".into(),
        by: context::By::Variable,
        reason: "what is wrong with it",
    },
    Proxy {
        at: "tcp://docker:2376".into(),
        variable: "HTTPS_PROXY",
        reason: "what cannot be used about it",
        host: "docker".into(),
    },
    ScatteredFiles,
    TlsOnUnix { address: "unix:///path".into() },
    Unverified { by: "--tls" };
    hands on Host
} }

/// What to do about a proxy that does not lead to a daemon.
#[must_use]
pub fn no_proxy(host: &str) -> String {
    format!(
        "name the daemon in NO_PROXY and no_proxy of this container, e.g. \
         NO_PROXY=localhost,127.0.0.1,{host}; docker itself needs that, too"
    )
}
