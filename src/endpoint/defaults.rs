//! Which daemon a client means when nobody said so, as the official client entrypoint decides.
//!
//! The official client entrypoint decides once; `wait` asks again before every attempt, because
//! sockets and certificates may appear while it waits.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::context::Chosen;
use super::host::STANDARD_SOCKET;
use crate::base::changes::Changes;
use crate::base::environment::Environment;
use crate::config::lifetime::runtime_dir;
use crate::files::{self, Kind};

/// The daemon of a compose or CI service called `docker`, with TLS.
pub const TLS_HOST: &str = "tcp://docker:2376";
const PLAIN_HOST: &str = "tcp://docker:2375";

/// What the rules look at on the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// `/var/run/docker.sock` is a socket.
    pub standard_socket: bool,
    /// `docker.sock` in the runtime directory is a socket.
    pub runtime_socket: bool,
    /// `ca.pem`, `cert.pem` and `key.pem` in `$DOCKER_TLS_CERTDIR/client` are there and not empty.
    pub client_certificates: bool,
    /// Our effective uid.
    pub uid: u32,
    /// The daemon of this very container, as a `DOCKER_HOST`.
    pub own: Option<OsString>,
    /// The docker context that is chosen. The official entrypoint overrides it, as every
    /// `DOCKER_HOST` does; commands of ours that stand for `docker` itself follow it.
    pub context: Chosen,
}

/// Whether a path leads to a socket.
#[must_use]
pub fn is_socket(path: &Path) -> bool {
    files::target(path).is_ok_and(|kind| kind == Kind::Socket)
}

/// `$DOCKER_TLS_CERTDIR/client`, written as the shell script writes it.
pub(crate) fn client_directory(env: &Environment) -> Option<PathBuf> {
    let mut dir = env.non_empty("DOCKER_TLS_CERTDIR")?.to_owned();
    dir.push("/client");
    Some(dir.into())
}

/// Whether the docker CLI takes this host for TCP, as the script's `${DOCKER_HOST#tcp:}` does.
fn is_tcp(host: &OsStr) -> bool {
    host.as_bytes().starts_with(b"tcp:")
}

/// The variables that the official client entrypoint exports before it starts the command.
///
/// `XDG_RUNTIME_DIR` is among them only where the shell's assignment reaches the environment:
/// when the variable was exported already, empty, and the standard socket did not decide.
#[must_use]
pub fn official_defaults(env: &Environment, around: &Surroundings) -> Changes {
    let mut changes = Changes::new();
    let host = match env.non_empty("DOCKER_HOST") {
        Some(host) => host.to_owned(),
        None => {
            let host = default_host(env, around);
            if !around.standard_socket && env.get("XDG_RUNTIME_DIR") == Some(OsStr::new("")) {
                changes.push((
                    "XDG_RUNTIME_DIR",
                    runtime_dir(env, around.uid).into_os_string(),
                ));
            }
            changes.push(("DOCKER_HOST", host.clone()));
            host
        }
    };
    let tls_is_open =
        env.non_empty("DOCKER_TLS_VERIFY").is_none() && env.non_empty("DOCKER_CERT_PATH").is_none();
    if is_tcp(&host)
        && tls_is_open
        && around.client_certificates
        && let Some(dir) = client_directory(env)
    {
        changes.push(("DOCKER_TLS_VERIFY", "1".into()));
        changes.push(("DOCKER_CERT_PATH", dir.into()));
    }
    changes
}

fn default_host(env: &Environment, around: &Surroundings) -> OsString {
    if around.standard_socket {
        return format!("unix://{STANDARD_SOCKET}").into();
    }
    if around.runtime_socket {
        let mut host = OsString::from("unix://");
        host.push(runtime_dir(env, around.uid).into_os_string());
        host.push("/docker.sock");
        return host;
    }
    // Better than official: a daemon that is here is meant before one that may be elsewhere.
    if let Some(own) = &around.own {
        return own.clone();
    }
    if around.client_certificates || env.non_empty("DOCKER_TLS_VERIFY").is_some() {
        TLS_HOST.into()
    } else {
        PLAIN_HOST.into()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use super::*;

    const NOTHING: Surroundings = Surroundings {
        standard_socket: false,
        runtime_socket: false,
        client_certificates: false,
        uid: 1000,
        own: None,
        context: Chosen::None,
    };
    const STANDARD: Surroundings = Surroundings {
        standard_socket: true,
        ..NOTHING
    };
    const RUNTIME: Surroundings = Surroundings {
        runtime_socket: true,
        ..NOTHING
    };
    const CERTIFICATES: Surroundings = Surroundings {
        client_certificates: true,
        ..NOTHING
    };

    fn decided(env: &str, around: &Surroundings) -> String {
        let env = crate::base::changes::from_text(env);
        official_defaults(&env, around)
            .into_iter()
            .map(|(name, value)| format!("{name}={}", value.to_string_lossy()))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Every row was run against the official script of engine 29.
    #[test]
    fn s47_and_s48_row_by_row() {
        let both = Surroundings {
            runtime_socket: true,
            ..STANDARD
        };
        let all = Surroundings {
            client_certificates: true,
            ..both.clone()
        };
        let tls = "DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=/c/client";
        let table: [(&str, Surroundings, &str); 25] = [
            ("", STANDARD, "DOCKER_HOST=unix:///var/run/docker.sock"),
            ("", both.clone(), "DOCKER_HOST=unix:///var/run/docker.sock"),
            (
                "DOCKER_HOST=",
                both.clone(),
                "DOCKER_HOST=unix:///var/run/docker.sock",
            ),
            (
                "XDG_RUNTIME_DIR=",
                both,
                "DOCKER_HOST=unix:///var/run/docker.sock",
            ),
            (
                "DOCKER_TLS_CERTDIR=/c DOCKER_TLS_VERIFY=1",
                all,
                "DOCKER_HOST=unix:///var/run/docker.sock",
            ),
            ("", RUNTIME, "DOCKER_HOST=unix:///run/user/1000/docker.sock"),
            (
                "XDG_RUNTIME_DIR=/x",
                RUNTIME,
                "DOCKER_HOST=unix:///x/docker.sock",
            ),
            (
                "XDG_RUNTIME_DIR=",
                RUNTIME,
                "XDG_RUNTIME_DIR=/run/user/1000 DOCKER_HOST=unix:///run/user/1000/docker.sock",
            ),
            ("", NOTHING, "DOCKER_HOST=tcp://docker:2375"),
            (
                "XDG_RUNTIME_DIR=",
                NOTHING,
                "XDG_RUNTIME_DIR=/run/user/1000 DOCKER_HOST=tcp://docker:2375",
            ),
            (
                "DOCKER_TLS_CERTDIR=/c",
                NOTHING,
                "DOCKER_HOST=tcp://docker:2375",
            ),
            (
                "DOCKER_TLS_VERIFY=1",
                NOTHING,
                "DOCKER_HOST=tcp://docker:2376",
            ),
            (
                "DOCKER_TLS_VERIFY=",
                NOTHING,
                "DOCKER_HOST=tcp://docker:2375",
            ),
            (
                "DOCKER_CERT_PATH=/p",
                NOTHING,
                "DOCKER_HOST=tcp://docker:2375",
            ),
            (
                "DOCKER_TLS_CERTDIR=/c",
                CERTIFICATES,
                &format!("DOCKER_HOST=tcp://docker:2376 {tls}"),
            ),
            (
                "DOCKER_TLS_CERTDIR=/c DOCKER_TLS_VERIFY=1",
                CERTIFICATES,
                "DOCKER_HOST=tcp://docker:2376",
            ),
            (
                "DOCKER_TLS_CERTDIR=/c DOCKER_CERT_PATH=/p",
                CERTIFICATES,
                "DOCKER_HOST=tcp://docker:2376",
            ),
            (
                "DOCKER_TLS_CERTDIR=/c DOCKER_TLS_VERIFY= DOCKER_CERT_PATH=",
                CERTIFICATES,
                &format!("DOCKER_HOST=tcp://docker:2376 {tls}"),
            ),
            (
                "DOCKER_TLS_CERTDIR=/c DOCKER_HOST=tcp://x:2375",
                CERTIFICATES,
                tls,
            ),
            ("DOCKER_TLS_CERTDIR=/c DOCKER_HOST=tcp:x", CERTIFICATES, tls),
            (
                "DOCKER_TLS_CERTDIR=/c DOCKER_HOST=tcp://x:2376 DOCKER_CERT_PATH=/p",
                CERTIFICATES,
                "",
            ),
            ("DOCKER_HOST=tcp://x:2376", NOTHING, ""),
            (
                "DOCKER_TLS_CERTDIR=/c DOCKER_HOST=ssh://x",
                CERTIFICATES,
                "",
            ),
            (
                "DOCKER_TLS_CERTDIR=/c DOCKER_HOST=unix:///x",
                CERTIFICATES,
                "",
            ),
            ("DOCKER_TLS_CERTDIR=/c DOCKER_HOST=x:2376", CERTIFICATES, ""),
        ];
        for (env, around, want) in table {
            assert_eq!(decided(env, &around), want, "{env:?} {around:?}");
        }
    }

    /// A daemon with another socket, or of another user.
    #[test]
    fn our_own_daemon_is_meant_before_one_called_docker() {
        let own = Surroundings {
            own: Some("unix:///run/user/1000/docker.sock".into()),
            ..CERTIFICATES
        };
        let want = "DOCKER_HOST=unix:///run/user/1000/docker.sock";
        assert_eq!(decided("DOCKER_TLS_CERTDIR=/c", &own), want);
        let standard = Surroundings {
            standard_socket: true,
            ..own.clone()
        };
        let official = "DOCKER_HOST=unix:///var/run/docker.sock";
        assert_eq!(decided("", &standard), official);
        assert_eq!(decided("DOCKER_HOST=tcp://x:1", &own), "");
    }

    #[test]
    fn sockets_and_certificates_are_seen_as_the_shell_sees_them() {
        let dir = tempfile::tempdir().unwrap();
        let env: Environment = [
            ("XDG_RUNTIME_DIR", dir.path()),
            ("DOCKER_TLS_CERTDIR", dir.path()),
        ]
        .into_iter()
        .collect();
        std::fs::create_dir(dir.path().join("client")).unwrap();
        for name in ["ca.pem", "cert.pem"] {
            std::fs::write(dir.path().join("client").join(name), "x").unwrap();
        }
        std::fs::write(dir.path().join("client/key.pem"), "").unwrap();
        std::fs::write(dir.path().join("docker.sock"), "").unwrap();
        let seen = Surroundings::look(&env);
        assert!(!seen.client_certificates, "an empty key does not count");
        assert!(!seen.runtime_socket, "a regular file is no socket");

        std::fs::write(dir.path().join("client/key.pem"), "x").unwrap();
        std::fs::remove_file(dir.path().join("docker.sock")).unwrap();
        let _listener =
            std::os::unix::net::UnixListener::bind(dir.path().join("docker.sock")).unwrap();
        let seen = Surroundings::look(&env);
        assert!(seen.client_certificates && seen.runtime_socket);
    }
}
