//! The PEM files of a TLS client, read whole and used only when they are complete.
//!
//! Another container writes these files, perhaps at this moment: half a file, or a key beside
//! the certificate of an older start, is "not yet", never a failed handshake.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, InconsistentKeys};

use super::crypto;
use super::trust::Anchors;
use crate::base::explain::{Advice, Explain, exit, samples};
use crate::endpoint::{Identity, TlsFiles};
use crate::files;
use crate::tls::{Certificate, PrivateKey};

/// What a TLS client needs, ready for use.
#[derive(Debug, Clone)]
pub struct Credentials {
    contents: Contents,
    /// The rustls configuration: this CA only, this identity.
    pub config: Arc<ClientConfig>,
}

/// The bytes of the files, to see whether they changed.
#[derive(Clone, PartialEq, Eq)]
struct Contents {
    ca: Vec<u8>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Why the files cannot be used, yet.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The key is protected by a passphrase.
    #[error("{} is encrypted", path.display())]
    Encrypted {
        /// The key file.
        path: PathBuf,
    },
    /// There is no whole certificate or key in a file.
    #[error("no complete {what} in {}", path.display())]
    Incomplete {
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// Key and certificate belong to different starts of the daemon, or to different clients.
    #[error("{} is not the key of {}", key.display(), cert.display())]
    Mismatch {
        /// The certificate.
        cert: PathBuf,
        key: PathBuf,
    },
    /// A file cannot be read.
    #[error("could not read {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// A file holds something that the TLS library does not take.
    #[error("could not use {}", path.display())]
    Unusable { path: PathBuf, reason: String },
}

impl Explain for CredentialsError {
    fn advice(&self) -> Advice {
        const MOUNT: &str = "mount the daemon's /certs/client volume here (docker run -v \
             some-certs-client:/certs/client:ro, compose volumes, Kubernetes emptyDir in both \
             containers) and set DOCKER_TLS_CERTDIR=/certs on both sides, or DOCKER_CERT_PATH \
             here; a server that asks for no client certificate needs only --tlscacert FILE";
        match self {
            Self::Encrypted { path } => Advice::new(
                "nobody is here to type the passphrase",
                format!(
                    "store it without a passphrase: openssl pkey -in {} -out key.pem",
                    path.display()
                ),
            ),
            Self::Incomplete { .. } => Advice::new(
                "the file is empty, still being written, or not in PEM form",
                MOUNT,
            ),
            Self::Mismatch { .. } => Advice::new(
                "the daemon is replacing them at this moment, or files of two clients are mixed",
                MOUNT,
            ),
            Self::Unreadable { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Advice::new(
                    "the daemon has not written it yet, or writes it to a volume that this \
                     container does not share",
                    MOUNT,
                ),
                io::ErrorKind::PermissionDenied => Advice::new(
                    "keys are readable by their owner only, and this process runs as another user",
                    "run this container as the user that the daemon's container uses, or copy the \
                     key for this user",
                ),
                _ => Advice::new("the file is there, but reading it fails", MOUNT),
            },
            Self::Unusable { reason, .. } => Advice::new(
                reason,
                "use RSA (2048 to 8192 bits), EC P-256, P-384 or P-521, or Ed25519 keys, as \
                 PKCS#8, PKCS#1 or SEC1 PEM",
            ),
        }
        .with_code(exit::STEP_FAILED)
    }
}

samples! { CredentialsError {
    Encrypted { path: "/path/key.pem".into() },
    Incomplete { path: "/path/cert.pem".into(), what: "certificate" },
    Mismatch { cert: "/path/cert.pem".into(), key: "/path/key.pem".into() },
    Unreadable { path: "/path/ca.pem".into(), source: errno(libc::ENOENT) },
    Unreadable { path: "/path/key.pem".into(), source: errno(libc::EACCES) },
    Unreadable { path: "/path/key.pem".into(), source: errno(libc::EIO) },
    Unusable { path: "/path/key.pem".into(), reason: "what is wrong with it".into() },
} }

impl Credentials {
    /// Reads and parses the files; complete means that each parses and the key is that of the
    /// certificate.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub fn load(files: &TlsFiles) -> Result<Self, CredentialsError> {
        let contents = Contents {
            ca: read(&files.ca)?,
            identity: match &files.identity {
                Some(Identity { cert, key }) => Some((read(cert)?, read(key)?)),
                None => None,
            },
        };
        let provider = Arc::new(crypto::provider());
        let authorities = certificates(&contents.ca, &files.ca)?;
        let anchors = Anchors::new(authorities, &provider);
        let anchors = anchors.ok_or_else(|| CredentialsError::Unusable {
            path: files.ca.clone(),
            reason: "what is in it is not the encoding of a certificate".into(),
        })?;
        let identity = match (&files.identity, &contents.identity) {
            (Some(files), Some((cert, key))) => Some(certified_key(files, cert, key, &provider)?),
            _ => None,
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| CredentialsError::Unusable {
                path: files.ca.clone(),
                reason: error.to_string(),
            })?
            .dangerous() // ours is stricter than the library's own, but for what Go accepts, too
            .with_custom_certificate_verifier(Arc::new(anchors));
        let config = match identity {
            Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
            None => builder.with_no_client_auth(),
        };
        Ok(Self {
            contents,
            config: Arc::new(config),
        })
    }

    /// Whether both were made from the same bytes.
    #[must_use]
    pub fn same_files(&self, other: &Self) -> bool {
        self.contents == other.contents
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CredentialsError> {
    files::read(path, files::MOST).map_err(|source| CredentialsError::Unreadable {
        path: path.into(),
        source,
    })
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let incomplete = || CredentialsError::Incomplete {
        path: path.into(),
        what: "certificate",
    };
    let list = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| incomplete())?;
    if list.is_empty() {
        return Err(incomplete());
    }
    Ok(list)
}

fn certified_key(
    files: &Identity,
    cert: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, CredentialsError> {
    let chain = certificates(cert, &files.cert)?;
    let unusable = |path: &Path, reason: String| CredentialsError::Unusable {
        path: path.into(),
        reason,
    };
    let der = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
        if is_encrypted(key) {
            CredentialsError::Encrypted {
                path: files.key.clone(),
            }
        } else {
            CredentialsError::Incomplete {
                path: files.key.clone(),
                what: "private key",
            }
        }
    })?;
    let signer = provider.key_provider.load_private_key(der).map_err(|_| {
        let reason = match PrivateKey::from_pem(key) {
            Ok(key) => format!(
                "its kind of key ({}) is not supported here, though docker itself may take it",
                key.kind()
            ),
            Err(problem) => problem.to_string(),
        };
        unusable(&files.key, reason)
    })?;
    let public = signer.public_key().map(|public| public.to_vec());
    let pair = CertifiedKey::new(chain, signer);
    let fits = match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => true,
        Err(rustls::Error::InconsistentKeys(_)) => false,
        // Version 1, as plain `openssl x509 -req` makes them: good enough for every server.
        Err(_) => {
            let leaf = pair.cert.first().map(|der| Certificate::first_from(der));
            match (leaf, &public) {
                (Some(Ok(leaf)), Some(public)) => leaf.has_key(public),
                (Some(Err(reason)), _) => return Err(unusable(&files.cert, reason)),
                (None, _) | (_, None) => false,
            }
        }
    };
    if fits {
        Ok(pair)
    } else {
        Err(CredentialsError::Mismatch {
            cert: files.cert.clone(),
            key: files.key.clone(),
        })
    }
}

/// PKCS#8 says so in its first line, the older forms in a header behind it.
fn is_encrypted(key: &[u8]) -> bool {
    let text = String::from_utf8_lossy(key);
    text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
}
