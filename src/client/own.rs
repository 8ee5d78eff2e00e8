//! Our own daemon, found from beside it: by `docker exec`, by any user that may look.
//!
//! PID 1 writes down where it serves. Who looks may be another user than the daemon's: root in the
//! container of a rootless one, or one without the variables that moved the runtime directory.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::Deserialize;

use super::endpoint::defaults::is_socket;
use crate::cli::environment::Environment;
use crate::plan::host::RUNTIME_DIR;
use crate::rootless::{enter, places};

/// No status is larger; its warnings are the longest part of it.
const LARGEST: u64 = 1 << 20;

/// What we need of a status.
#[derive(Debug, Default, Deserialize)]
struct Place {
    socket: Option<PathBuf>,
    #[serde(default)]
    endpoints: Vec<String>,
}

/// The `DOCKER_HOST` that means the daemon of this very container; `None` where there is none.
#[must_use]
pub fn host(env: &Environment) -> Option<OsString> {
    let own = std::iter::once(PathBuf::from(RUNTIME_DIR));
    let users = enter::runtime_dirs(env);
    let dirs = own.chain(users.iter().map(|dir| places::own(dir)));
    let owners = enter::daemon_owners(env);
    dirs.filter_map(|dir| read(&dir.join("status.json"), &owners))
        .find_map(|place| place.host(is_socket))
}

/// Reads a status that one of these users wrote: in places that everybody may write to, one of
/// somebody else would lead our requests to him.
fn read(path: &Path, owners: &[u32]) -> Option<Place> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    let meta = file.metadata().ok()?;
    if !meta.is_file() || !owners.contains(&meta.uid()) {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

impl Place {
    /// The unix socket if it is there (a status outlives a daemon that was killed), else plain TCP,
    /// else TCP with TLS.
    fn host(&self, is_socket: impl Fn(&Path) -> bool) -> Option<OsString> {
        if let Some(path) = &self.socket {
            let unix = [b"unix://", path.as_os_str().as_encoded_bytes()].concat();
            return is_socket(path).then(|| OsString::from_vec(unix));
        }
        let tcp = self.endpoints.iter().filter_map(|endpoint| {
            let (address, security) = endpoint.strip_prefix("tcp://")?.split_once(' ')?;
            let address: SocketAddr = address.parse().ok()?;
            Some((address, security != "(plain HTTP)"))
        });
        let (address, _) = tcp.min_by_key(|(_, secure)| *secure)?;
        let ip = match address.ip() {
            // `::` is the dual-stack form of 0.0.0.0, too.
            ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            ip => ip,
        };
        Some(format!("tcp://{}", SocketAddr::new(ip, address.port())).into())
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use super::*;

    fn place(json: &str) -> Place {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_socket_comes_first_and_tcp_is_reached_on_loopback() {
        let tls = "tcp://[::]:2376 (TLS with client certificates)";
        let plain = "tcp://0.0.0.0:2375 (plain HTTP)";
        for (json, want) in [
            (
                r#"{"socket":"/a.sock","endpoints":["tcp://[::]:1 (plain HTTP)"]}"#.to_owned(),
                Some("unix:///a.sock"),
            ),
            (r#"{"socket":"/gone.sock"}"#.to_owned(), None),
            (
                format!(r#"{{"socket":null,"endpoints":["{tls}","{plain}"]}}"#),
                Some("tcp://127.0.0.1:2375"),
            ),
            (
                format!(r#"{{"endpoints":["fd://3 (x)","{tls}"]}}"#),
                Some("tcp://127.0.0.1:2376"),
            ),
            (
                r#"{"endpoints":["tcp://10.0.0.1:9 (plain HTTP)"]}"#.to_owned(),
                Some("tcp://10.0.0.1:9"),
            ),
            ("{}".to_owned(), None),
        ] {
            let found = place(&json).host(|path| path == Path::new("/a.sock"));
            assert_eq!(found, want.map(OsString::from), "{json}");
        }
    }

    #[test]
    fn a_strangers_status_a_link_and_a_pipe_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status.json");
        std::fs::write(&path, r#"{"socket":"/s"}"#).unwrap();
        let us = rustix::process::geteuid().as_raw();
        assert!(read(&path, &[us]).is_some());
        assert!(read(&path, &[us + 1]).is_none());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(read(&link, &[us]).is_none());
        let pipe = dir.path().join("pipe");
        let mode = Mode::from_raw_mode(0o600);
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
        assert!(read(&pipe, &[us]).is_none());
    }
}
