//! Which daemon a client command means, and whether it speaks TLS to it. Pure.
//!
//! Flags come before the environment; the environment is completed by the rules of the official
//! client entrypoint first ([`defaults`]), so that a client command of ours means the same daemon
//! as `docker` in that image. Docker contexts are not read: the official entrypoint always sets
//! `DOCKER_HOST`, which beats them.

pub mod defaults;
pub mod host;
pub mod shell;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

pub use defaults::Surroundings;
pub use host::{Address, HostError};

use super::environment;
use crate::cli::environment::Environment;
use crate::explain::{Explain, exit};

/// What the command line says about the endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `--host`.
    pub host: Option<OsString>,
    /// `--cert-dir`: holds `ca.pem`, `cert.pem`, `key.pem`.
    pub cert_dir: Option<PathBuf>,
    /// `--tlscacert`.
    pub ca: Option<PathBuf>,
    /// `--tlscert`.
    pub cert: Option<PathBuf>,
    /// `--tlskey`.
    pub key: Option<PathBuf>,
    /// `--tlsverify`, `--tls`, or neither.
    pub tls: Option<TlsFlag>,
}

/// The two TLS switches of the docker CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFlag {
    /// `--tls`: encryption without verification.
    Unverified,
    /// `--tlsverify`.
    Verified,
}

/// A daemon's API as a client reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it listens.
    pub address: Address,
    /// How it is spoken to.
    pub security: Security,
}

/// Plain, or TLS with both sides verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// No TLS: unix sockets always, TCP without certificates.
    Plain,
    /// TLS; the server's certificate is always verified.
    Tls(TlsFiles),
}

/// The PEM files of a TLS client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority that signed the server's certificate; no other is trusted.
    pub ca: PathBuf,
    /// What we show when the server asks; `None` only when a CA alone was named.
    pub identity: Option<Identity>,
}

/// A client certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Certificate chain, leaf first.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

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
    fn why(&self) -> String {
        match self {
            Self::Host(error) => error.why(),
            Self::HalfIdentity { .. } => {
                "a client certificate is of use only together with its private key".into()
            }
            Self::ScatteredFiles => {
                "the docker CLI finds them by directory (DOCKER_CERT_PATH) and these fixed names"
                    .into()
            }
            Self::TlsOnUnix { .. } => {
                "a unix socket is protected by its owner and mode and never speaks TLS".into()
            }
            Self::Unverified { .. } => {
                "whoever answers would be taken for the daemon; this is not supported here".into()
            }
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Host(error) => error.fix(),
            Self::HalfIdentity { missing, .. } => {
                format!("add {missing}, or name the directory of all three files by --cert-dir")
            }
            Self::ScatteredFiles => {
                "copy or link them into one directory and name it by --cert-dir".into()
            }
            Self::TlsOnUnix { .. } => {
                "drop the TLS flags, or name the TCP address: --host tcp://docker:2376".into()
            }
            Self::Unverified { .. } => {
                "set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH=/certs/client, and share the \
                 daemon's /certs/client volume with this container"
                    .into()
            }
        }
    }

    fn exit_code(&self) -> u8 {
        exit::USAGE
    }
}

impl Endpoint {
    /// Resolves flags, environment and surroundings to the one daemon that they mean.
    ///
    /// # Errors
    /// [`EndpointError`]; each is a mistake on the command line or in the environment, which
    /// waiting does not cure.
    pub fn resolve(
        wanted: &Wanted,
        env: &Environment,
        around: Surroundings,
    ) -> Result<Self, EndpointError> {
        let named = wanted.cert_dir.is_some()
            || wanted.ca.is_some()
            || wanted.cert.is_some()
            || wanted.key.is_some();
        let tls_by_flag = named || wanted.tls.is_some();
        let host = match &wanted.host {
            Some(host) => Some(host.clone()),
            // Who asks for TLS does not mean the unix socket that happens to be there.
            None if tls_by_flag && env.non_empty("DOCKER_HOST").is_none() => {
                Some(defaults::TLS_HOST.into())
            }
            None => None,
        };
        let env = host.map_or_else(|| env.clone(), |host| env.clone().with("DOCKER_HOST", host));
        let env = environment::with(&env, &defaults::official_defaults(&env, around));

        let host = env.non_empty("DOCKER_HOST").unwrap_or_default();
        let address = Address::parse(host)?;
        if let Address::Unix(_) = address {
            if tls_by_flag {
                return Err(EndpointError::TlsOnUnix {
                    address: address.to_string(),
                });
            }
            return Ok(Self {
                address,
                security: Security::Plain,
            });
        }
        let verify = named
            || wanted.tls == Some(TlsFlag::Verified)
            || env.non_empty("DOCKER_TLS_VERIFY").is_some();
        if !verify {
            let by = match wanted.tls {
                Some(_) => Some("--tls"),
                None => env.non_empty("DOCKER_TLS").map(|_| "DOCKER_TLS"),
            };
            return match by {
                Some(by) => Err(EndpointError::Unverified { by }),
                None => Ok(Self {
                    address,
                    security: Security::Plain,
                }),
            };
        }
        Ok(Self {
            address,
            security: Security::Tls(TlsFiles::choose(wanted, &env)?),
        })
    }
}

impl TlsFiles {
    /// The files of one directory, as the docker CLI names them.
    #[must_use]
    pub fn in_directory(dir: &std::path::Path) -> Self {
        Self {
            ca: dir.join("ca.pem"),
            identity: Some(Identity {
                cert: dir.join("cert.pem"),
                key: dir.join("key.pem"),
            }),
        }
    }

    fn choose(wanted: &Wanted, env: &Environment) -> Result<Self, EndpointError> {
        let named_dir = wanted
            .cert_dir
            .clone()
            .or_else(|| env.non_empty("DOCKER_CERT_PATH").map(PathBuf::from));
        let dir = named_dir
            .clone()
            .unwrap_or_else(|| configuration_directory(env));
        let of_directory = Self::in_directory(&dir);
        let identity = match (&wanted.cert, &wanted.key) {
            (Some(cert), Some(key)) => Some(Identity {
                cert: cert.clone(),
                key: key.clone(),
            }),
            (Some(_), None) => {
                return Err(EndpointError::HalfIdentity {
                    given: "--tlscert",
                    missing: "--tlskey",
                });
            }
            (None, Some(_)) => {
                return Err(EndpointError::HalfIdentity {
                    given: "--tlskey",
                    missing: "--tlscert",
                });
            }
            // A CA alone, and no directory that somebody named: the server asks for nothing.
            (None, None) if wanted.ca.is_some() && named_dir.is_none() => None,
            (None, None) => of_directory.identity,
        };
        Ok(Self {
            ca: wanted.ca.clone().unwrap_or(of_directory.ca),
            identity,
        })
    }
}

/// The docker CLI's directory: `$DOCKER_CONFIG`, else `.docker` of the home directory.
#[must_use]
pub fn configuration_directory(env: &Environment) -> PathBuf {
    env.non_empty("DOCKER_CONFIG").map_or_else(
        || {
            PathBuf::from(env.non_empty("HOME").unwrap_or_else(|| OsStr::new("/root")))
                .join(".docker")
        },
        PathBuf::from,
    )
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.security {
            Security::Plain => write!(f, "{}", self.address),
            Security::Tls(_) => write!(f, "{} (TLS)", self.address),
        }
    }
}

#[cfg(test)]
mod tests;
