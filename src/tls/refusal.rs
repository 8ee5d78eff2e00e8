//! Why TLS material cannot be had, before anything was changed.

use std::path::PathBuf;

use super::key::KeyProblem;
use super::material::Item;
use super::plan::Because;
use crate::base::explain::{Advice, Explain, samples};

/// A decision against starting. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsRefusal {
    /// A key file is there, but is of no use. It is never overwritten.
    #[error("cannot use the private key {}", file.display())]
    BadKey { file: PathBuf, problem: KeyProblem },
    /// An authority without its key, and no complete server set beside it.
    #[error("no server certificate in {}, and no key of the CA to make one", directory.display())]
    CaKeyMissing {
        directory: PathBuf,
        /// The server files that are missing or empty.
        missing: Vec<Item>,
    },
    /// A certificate must be made, and the CA's key is of a kind that cannot sign here. That key is
    /// good all the same, and so is everything that it signed elsewhere.
    #[error("cannot make {}", file.display())]
    CannotSign {
        file: PathBuf,
        /// Why it must be made.
        because: Because,
        /// What is the matter with the CA's key.
        problem: Box<KeyProblem>,
        /// The server files that are missing or empty.
        missing: Vec<Item>,
    },
    /// Somebody else's certificate does not work here. It is never overwritten.
    #[error("cannot use the certificate {}", file.display())]
    ForeignCertificate {
        file: PathBuf,
        subject: String,
        because: Because,
    },
    /// Something must be written, and its folder takes no new files.
    #[error("cannot write {}", file.display())]
    NotWritable {
        file: PathBuf,
        /// Why it must be written.
        because: Because,
        /// Why it cannot be.
        obstacle: String,
        /// The server files that are missing or empty.
        missing: Vec<Item>,
    },
    /// A file is there and cannot be read.
    #[error("cannot read {}", file.display())]
    Unreadable { file: PathBuf, reason: String },
    /// Somebody else may have made, or may use, what decides who gets in.
    #[error("the CA in {} is not trusted", directory.display())]
    Untrusted {
        directory: PathBuf,
        /// What speaks against it.
        doubts: Vec<String>,
    },
    /// The user's own server certificate does not hold.
    #[error("{}: verification failed", file.display())]
    VerificationFailed { file: PathBuf, reason: String },
}

impl Explain for TlsRefusal {
    fn advice(&self) -> Advice {
        match self {
            Self::BadKey { problem, .. } => Advice::new(
                format!("{problem}; existing keys are never overwritten"),
                match problem {
                    KeyProblem::Encrypted => {
                        "store the key without a pass phrase (openssl pkey -in OLD -out NEW): \
                         dockerd cannot ask for one"
                    }
                    _ => {
                        "put back a PEM key (RSA 2048 to 4096 or EC P-256/P-384), or move this \
                         file away: then a new key and certificate are made"
                    }
                },
            ),
            Self::CaKeyMissing { missing, .. } => Advice::new(
                format!(
                    "ca/cert.pem is there without ca/key.pem, so that the server files would have \
                     to be yours; missing or empty: {}",
                    paths(missing)
                ),
                "mount all of server/ca.pem, server/cert.pem and server/key.pem to use your own \
                 certificates, or remove ca/cert.pem to have new ones made",
            ),
            Self::CannotSign {
                because,
                problem,
                missing,
                ..
            } => Advice::new(
                format!(
                    "it must be made, because {because}, and ca/key.pem cannot do that: {problem}"
                ),
                if missing.is_empty() {
                    "make it with your CA and put it there, or move ca/key.pem away to have yours \
                     checked only, or all of ca, server and client to have everything made here"
                        .into()
                } else {
                    format!(
                        "make with your CA and put there: {}; or move ca/key.pem and ca/cert.pem \
                         away to have everything made here",
                        paths(missing)
                    )
                },
            ),
            Self::ForeignCertificate {
                subject, because, ..
            } => Advice::new(
                format!(
                    "{because}; its subject ({subject}) shows that it was not made here, so it is \
                     not overwritten"
                ),
                "to use your own server certificate, put its CA beside it as server/ca.pem and \
                 leave out ca/key.pem; to have one made, move this file away",
            ),
            Self::NotWritable {
                because,
                obstacle,
                missing,
                ..
            } => Advice::new(
                format!(
                    "it must be written, because {because}; its folder takes no files: {obstacle}"
                ),
                if missing.is_empty() {
                    "mount the volume read-write for this user (no `:ro`, no readOnly: true), or \
                     point DOCKER_TLS_CERTDIR to a directory that can be written"
                        .into()
                } else {
                    format!(
                        "mount the volume read-write for this user, or complete it with: {}",
                        paths(missing)
                    )
                },
            ),
            Self::Unreadable { reason, .. } => Advice::new(
                reason,
                "make it a regular file that this user can read: give a rootless container a \
                 volume of its own, or chown this one to the container's user id",
            ),
            Self::Untrusted { doubts, .. } => Advice::new(
                format!(
                    "{}; DIND_TLS_UNTRUSTED=refuse asks for a CA that only root can write",
                    doubts.join("\n")
                ),
                "share only the client folder with other containers (-v VOLUME:/certs/client), \
                 give the files to root (chown -R 0:0, chmod go-w), and move ca/ away if somebody \
                 else made it: then a new one is made",
            ),
            Self::VerificationFailed { reason, .. } => Advice::new(
                format!(
                    "{reason}; with server/{{ca,cert,key}}.pem there and no ca/key.pem, the \
                     certificates are yours, and they are only checked"
                ),
                "mount a server/cert.pem (with its intermediates) that matches server/key.pem and \
                 chains to server/ca.pem, or empty the volume to have certificates made",
            ),
        }
    }
}

samples! { TlsRefusal {
    BadKey { file: "/certs/ca/key.pem".into(), problem: KeyProblem::Encrypted },
    BadKey { file: "/certs/ca/key.pem".into(), problem: KeyProblem::NoKey },
    CaKeyMissing { directory: "/certs".into(), missing: vec![Item::ServerKey] },
    CannotSign {
        file: "/certs/server/cert.pem".into(),
        because: Because::Missing,
        problem: Box::new(KeyProblem::NoKey),
        missing: vec![],
    },
    CannotSign {
        file: "/certs/server/cert.pem".into(),
        because: Because::Missing,
        problem: Box::new(KeyProblem::NoKey),
        missing: vec![Item::ServerKey],
    },
    ForeignCertificate {
        file: "/certs/server/cert.pem".into(),
        subject: "CN=name".into(),
        because: Because::NotSignedByCa,
    },
    NotWritable {
        file: "/certs/server/cert.pem".into(),
        because: Because::Missing,
        obstacle: "Read-only file system".into(),
        missing: vec![],
    },
    NotWritable {
        file: "/certs/server/cert.pem".into(),
        because: Because::Missing,
        obstacle: "Read-only file system".into(),
        missing: vec![Item::ServerKey],
    },
    Unreadable { file: "/certs/ca/cert.pem".into(), reason: "Permission denied".into() },
    Untrusted {
        directory: "/certs".into(),
        doubts: vec!["ca/key.pem belongs to uid 1000".into()],
    },
    VerificationFailed {
        file: "/certs/server/cert.pem".into(),
        reason: "what is wrong with it".into(),
    },
} }

fn paths(items: &[Item]) -> String {
    items
        .iter()
        .map(|item| item.path())
        .collect::<Vec<_>>()
        .join(", ")
}

/// What is wrong with one element of `DOCKER_TLS_SAN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SanProblem {
    /// `IP:` is followed by something else.
    NotAnAddress,
    /// `email:` is followed by something else.
    NotAMailbox,
    /// Neither an address nor a host name.
    NotAName,
    /// `URI:` is followed by something else.
    NotAUri,
    /// A kind that names no server: `RID:`, `dirName:`, `otherName:`.
    NotForServers,
}

/// An element of `DOCKER_TLS_SAN` that cannot be put into a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad subject alternative name {element:?} in DOCKER_TLS_SAN")]
pub struct SanError {
    /// The element as the user wrote it.
    pub element: String,
    pub problem: SanProblem,
}

impl Explain for SanError {
    fn advice(&self) -> Advice {
        let why = match self.problem {
            SanProblem::NotAnAddress => "`IP:` needs an IPv4 or IPv6 address",
            SanProblem::NotAMailbox => "`email:` needs an address of the form user@host",
            SanProblem::NotAName => {
                "it is neither an IP address nor a host name (letters, digits, `-`, `_` and dots; \
                 `*` only as the whole first label)"
            }
            SanProblem::NotAUri => "`URI:` needs something of the form scheme:rest",
            SanProblem::NotForServers => "no client looks for a server by a name of this kind",
        };
        Advice::new(
            why,
            "separate elements by commas and write each as a name, an address, DNS:name, \
             IP:address, URI:uri or email:mailbox (DNS.1:name, too), e.g. \
             -e DOCKER_TLS_SAN=DNS:dind,IP:192.0.2.1",
        )
    }
}

samples! { SanError:
    SanError { element: "IP:docker".into(), problem: SanProblem::NotAnAddress },
    SanError { element: "email:docker".into(), problem: SanProblem::NotAMailbox },
    SanError { element: "docker..local".into(), problem: SanProblem::NotAName },
    SanError { element: "URI:docker".into(), problem: SanProblem::NotAUri },
    SanError { element: "RID:1.2.3".into(), problem: SanProblem::NotForServers },
}
