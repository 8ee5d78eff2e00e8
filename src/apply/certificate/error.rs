//! Why there is no usable TLS material, for people.

use std::io;
use std::path::PathBuf;

use crate::base::explain::{Advice, Explain, exit, samples};
use crate::tls::{IssueError, Item, TlsRefusal};

/// Why there is no usable TLS material.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Keys or certificates could not be made.
    #[error("cannot make certificates for {}", directory.display())]
    Issue {
        directory: PathBuf,
        #[source]
        source: IssueError,
    },
    /// The decision was against it. Nothing was changed.
    #[error(transparent)]
    Refused(#[from] TlsRefusal),
    /// What was written does not read back as it should.
    #[error("the certificates in {} changed while they were written", directory.display())]
    Unsettled {
        directory: PathBuf,
        /// What would have to be done now.
        remaining: String,
    },
    /// A file or directory could not be written.
    #[error("cannot {operation} {}", path.display())]
    Write {
        /// What was tried, e.g. `rename`.
        operation: &'static str,
        /// The destination.
        path: PathBuf,
        /// What had been put in place already.
        written: Vec<Item>,
        #[source]
        source: io::Error,
    },
}

impl Explain for CertificateError {
    fn advice(&self) -> Advice {
        match self {
            Self::Issue { .. } => Advice::new(
                "the key or certificate could not be computed",
                "move the file that is named away, to have a new one made",
            ),
            Self::Refused(refusal) => return refusal.explained(),
            Self::Unsettled { remaining, .. } => Advice::new(
                format!(
                    "somebody else writes into it without taking the lock; now it needs:\n{remaining}"
                ),
                "give each container its own volume for DOCKER_TLS_CERTDIR, and share only client/",
            ),
            Self::Write {
                written, source, ..
            } => {
                let why = if written.is_empty() {
                    "nothing was changed".into()
                } else {
                    let written: Vec<_> = written.iter().map(|item| item.path()).collect();
                    format!(
                        "already replaced: {}; the next start completes the set",
                        written.join(", ")
                    )
                };
                let fix = match source.raw_os_error() {
                    Some(libc::ENOSPC | libc::EDQUOT) => {
                        "free some space on the volume of DOCKER_TLS_CERTDIR (df, docker system df \
                         -v)"
                    }
                    Some(libc::EACCES | libc::EPERM | libc::EROFS) => {
                        "mount a volume on DOCKER_TLS_CERTDIR that this user can write, with files \
                         that this user owns"
                    }
                    _ => "mount a working read-write volume on DOCKER_TLS_CERTDIR",
                };
                Advice::new(why, fix)
            }
        }
        .with_code(exit::STEP_FAILED)
    }
}

samples! { CertificateError {
    Issue { directory: "/certs".into(), source: IssueError::Random },
    Unsettled { directory: "/certs".into(), remaining: "what it needs".into() },
    Write {
        operation: "write",
        path: "/certs/server/cert.pem".into(),
        written: vec![],
        source: errno(libc::ENOSPC),
    },
    Write {
        operation: "write",
        path: "/certs/server/cert.pem".into(),
        written: vec![Item::CaKey, Item::CaCertificate],
        source: errno(libc::EROFS),
    },
    Write {
        operation: "write",
        path: "/certs/server/cert.pem".into(),
        written: vec![],
        source: errno(libc::EIO),
    };
    hands on Refused
} }
