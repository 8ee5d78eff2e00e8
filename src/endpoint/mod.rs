//! Which daemon a client command means, and whether it speaks TLS to it. Pure.
//!
//! Flags come before the environment; the environment is completed by the rules of the official
//! client entrypoint first ([`defaults`]), so that a client command of ours means the same daemon
//! as `docker` in that image. Where nobody names a daemon but a docker context is chosen, it is
//! that one's ([`context`]). A flag chooses the address alone: whether TLS is spoken follows from
//! the environment and from flags for TLS, as for `docker -H`.

pub mod context;
pub mod defaults;
mod error;
pub mod host;
pub mod proxy;
pub mod shell;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use context::{Chosen, Context};
pub use defaults::Surroundings;
pub use error::{EndpointError, no_proxy};
pub use host::{Address, HostError};
pub use proxy::{Proxy, Way};

use crate::base::changes;
use crate::base::environment::Environment;

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
    /// What stands between.
    pub way: Way,
    /// The docker context that names it.
    pub context: Option<String>,
    /// The version of the API that is spoken, from `DOCKER_API_VERSION`.
    pub api: Option<String>,
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

impl Endpoint {
    /// A daemon to which nothing stands in the way.
    #[must_use]
    pub fn direct(address: Address, security: Security) -> Self {
        Self {
            address,
            security,
            way: Way::Direct,
            context: None,
            api: None,
        }
    }

    /// Resolves flags, environment and surroundings to the one daemon that they mean.
    ///
    /// # Errors
    /// [`EndpointError`]; each is a mistake on the command line or in the environment, which
    /// waiting does not cure.
    pub fn resolve(
        wanted: &Wanted,
        env: &Environment,
        around: &Surroundings,
    ) -> Result<Self, EndpointError> {
        let api = env.non_empty("DOCKER_API_VERSION").map(api_version);
        let api = api.transpose()?;
        let endpoint = Self::named(wanted, env, around)?;
        Ok(Self { api, ..endpoint })
    }

    fn named(
        wanted: &Wanted,
        env: &Environment,
        around: &Surroundings,
    ) -> Result<Self, EndpointError> {
        let named = wanted.cert_dir.is_some()
            || wanted.ca.is_some()
            || wanted.cert.is_some()
            || wanted.key.is_some();
        let tls_by_flag = named || wanted.tls.is_some();
        let somebody_said = wanted.host.is_some() || env.non_empty("DOCKER_HOST").is_some();
        if !somebody_said && !tls_by_flag {
            match &around.context {
                Chosen::None => {}
                Chosen::Context(context) => return Self::of_context(context, env),
                Chosen::Broken { name, by, reason } => {
                    return Err(EndpointError::Context {
                        name: name.clone(),
                        by: *by,
                        reason,
                    });
                }
            }
        }
        let host = match &wanted.host {
            // Flags for TLS go with the host of a flag.
            Some(host) if tls_by_flag => Some(host.clone()),
            // Who asks for TLS does not mean the unix socket that happens to be there.
            None if tls_by_flag && !somebody_said => Some(defaults::TLS_HOST.into()),
            Some(_) | None => None,
        };
        let env = host.map_or_else(|| env.clone(), |host| env.clone().with("DOCKER_HOST", host));
        let env = changes::with(&env, &defaults::official_defaults(&env, around));

        let host = wanted.host.as_deref();
        let host = host.or_else(|| env.non_empty("DOCKER_HOST"));
        let address = Address::parse(host.unwrap_or_default())?;
        if let Address::Unix(_) = address {
            if tls_by_flag {
                return Err(EndpointError::TlsOnUnix {
                    address: address.to_string(),
                });
            }
            return Ok(Self::direct(address, Security::Plain));
        }
        let verify = named
            || wanted.tls == Some(TlsFlag::Verified)
            || env.non_empty("DOCKER_TLS_VERIFY").is_some();
        let by = match wanted.tls {
            Some(_) => Some("--tls"),
            None => env.non_empty("DOCKER_TLS").map(|_| "DOCKER_TLS"),
        };
        let security = match (verify, by) {
            (true, _) => Security::Tls(TlsFiles::choose(wanted, &env)?),
            (false, Some(by)) => return Err(EndpointError::Unverified { by }),
            (false, None) => Security::Plain,
        };
        Self::direct(address, security).through(&env)
    }

    /// The daemon of a docker context; it brings its own certificates, or none.
    fn of_context(context: &Context, env: &Environment) -> Result<Self, EndpointError> {
        let address = Address::parse(&context.host)?;
        let security = match &context.tls {
            _ if context.unverified => {
                return Err(EndpointError::Unverified {
                    by: "the docker context (skip-tls-verify)",
                });
            }
            Some(files) => Security::Tls(files.clone()),
            None => Security::Plain,
        };
        Ok(Self {
            context: Some(context.name.clone()),
            ..Self::direct(address, security).through(env)?
        })
    }

    /// Looks for a proxy in the way.
    fn through(self, env: &Environment) -> Result<Self, EndpointError> {
        let Address::Tcp { host, port, .. } = &self.address else {
            return Ok(self);
        };
        let secure = self.security != Security::Plain;
        match proxy::way(env, host, *port, secure) {
            Way::Unknown { variable, reason } => Err(EndpointError::Proxy {
                at: self.to_string(),
                variable,
                reason,
                host: host.clone(),
            }),
            way => Ok(Self { way, ..self }),
        }
    }
}

/// A version in the form in which it stands in a request.
fn api_version(text: &OsStr) -> Result<String, EndpointError> {
    let text = text.to_string_lossy();
    let version = text.strip_prefix('v').unwrap_or(&text);
    match is_api_version(version) {
        true => Ok(version.to_owned()),
        false => Err(EndpointError::ApiVersion {
            text: text.into_owned(),
        }),
    }
}

/// Whether a text has the form of the versions of the API.
#[must_use]
pub fn is_api_version(text: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.len() < 16 && text.split('.').all(part)
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
        write!(f, "{}", self.address)?;
        if let Security::Tls(_) = self.security {
            f.write_str(" (TLS)")?;
        }
        if let Some(context) = &self.context {
            write!(f, " (docker context {context})")?;
        }
        if let Way::Through(proxy) = &self.way {
            write!(f, " through the proxy {proxy}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
