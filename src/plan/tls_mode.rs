//! What protects dockerd's TCP sockets, from its flags and its file.

use std::fmt;

use serde::Serialize;

use crate::config::{CommandForm, Config, TlsOption};
use crate::host::daemon_json::DaemonFile;
use crate::tls::{Request, SanError, parse_sans};

/// Protection of the TCP sockets; one for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TcpSecurity {
    /// Nothing: plain HTTP.
    Plain,
    /// TLS, but any client may connect.
    Encrypted,
    /// TLS with client certificates.
    Verified,
}

impl fmt::Display for TcpSecurity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain HTTP",
            Self::Encrypted => "TLS without client certificates",
            Self::Verified => "TLS with client certificates",
        })
    }
}

/// The TLS flags that the official entrypoint adds, with their paths below the directory.
pub const TLS_FILES: [(&str, &str); 3] = [
    ("tlscacert", "server/ca.pem"),
    ("tlscert", "server/cert.pem"),
    ("tlskey", "server/key.pem"),
];

/// Names of every flag and key that says something about TLS.
pub const TLS_KEYS: [&str; 5] = ["tls", "tlsverify", "tlscacert", "tlscert", "tlskey"];

/// Whether we add `--tlsverify` and its files, save those that the file has.
#[must_use]
pub fn adds_tls(config: &Config) -> bool {
    config.form == CommandForm::Default && matches!(config.tls, TlsOption::Directory { .. })
}

/// The certificates that we look after: those of the flags that we add. Where the file names all
/// of its own, there is nothing to make.
///
/// # Errors
/// A bad name in DOCKER_TLS_SAN.
pub fn certificates(config: &Config, file: &DaemonFile) -> Result<Option<Request>, SanError> {
    match &config.tls {
        TlsOption::Directory { dir, san }
            if adds_tls(config) && TLS_FILES.iter().any(|(name, _)| file.get(name).is_none()) =>
        {
            Ok(Some(Request {
                directory: dir.clone(),
                sans: parse_sans(san)?,
                untrusted: config.tls_untrusted,
            }))
        }
        TlsOption::Directory { .. } | TlsOption::Off | TlsOption::Unset => Ok(None),
    }
}

/// Judges as dockerd does (moby `newAPIServerTLSConfig`): `--tlsverify` in any form turns TLS on,
/// and TLS asks for client certificates unless its value is false.
#[must_use]
pub fn security(config: &Config, file: &DaemonFile) -> TcpSecurity {
    let key = |name: &str| file.get(name).and_then(serde_json::Value::as_bool);
    let verify = config
        .daemon
        .switch("tlsverify")
        .or_else(|| key("tlsverify"));
    match (adds_tls(config), verify) {
        (_, Some(true)) | (true, None) => TcpSecurity::Verified,
        (_, Some(false)) => TcpSecurity::Encrypted,
        (false, None) => match config.daemon.switch("tls").or_else(|| key("tls")) {
            Some(true) => TcpSecurity::Verified,
            Some(false) | None => TcpSecurity::Plain,
        },
    }
}
