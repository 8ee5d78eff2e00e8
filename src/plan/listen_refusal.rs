//! Why no socket is bound: every reason with its remedy.

use std::path::{Path, PathBuf};

use crate::base::explain::{Advice, Explain, samples};
use crate::config::address::{Address, BadAddress};

/// A `ListenPlan` that cannot be made. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ListenRefusal {
    /// A `--host` value that is no address.
    #[error("{text:?} is not an address that dockerd can listen on")]
    BadHost { text: String, source: BadAddress },
    /// Flags and file both say where to listen.
    #[error("the API's addresses are given twice: by --host and in {}", file.display())]
    HostsTwice {
        /// dockerd's file.
        file: PathBuf,
    },
    /// `fd://` without sockets.
    #[error("--host=fd:// was given, but no such socket was passed to this process")]
    NoActivation {
        /// The descriptor, if one was named.
        wanted: Option<u32>,
    },
    /// An inherited descriptor is something else.
    #[error("descriptor {fd} from LISTEN_FDS is not a listening socket")]
    NotListening { fd: u32 },
    /// Somebody serves this path.
    #[error("{} is in use by another process", path.display())]
    LiveSocket {
        /// The socket.
        path: PathBuf,
        /// Whether it is a bind mount.
        mounted: bool,
    },
    /// Something is mounted on the path.
    #[error("{} is a mount point and cannot be replaced", path.display())]
    MountPoint { path: PathBuf },
    /// A directory with content.
    #[error("{} is a directory that is not empty", path.display())]
    Directory { path: PathBuf },
    /// A file or a device.
    #[error("{} exists and is {kind}", path.display())]
    NotASocket { path: PathBuf, kind: String },
    /// A user cannot make it.
    #[error("uid {uid} cannot make {}", path.display())]
    Closed { path: PathBuf, uid: u32 },
    /// The group does not exist.
    #[error("group {name:?} from {origin} does not exist in /etc/group")]
    UnknownGroup {
        /// The group.
        name: String,
        /// Who asked for it.
        origin: &'static str,
    },
    /// DIND_TCP forbids it.
    #[error("{address} would be served without client certificates")]
    PlainTcp {
        address: Address,
        /// Whether dind-init would bind it, so that DIND_TCP=loopback could narrow it.
        ours: bool,
    },
}

impl Explain for ListenRefusal {
    fn advice(&self) -> Advice {
        const NO_SOCKET: &str = "remove --host=fd://, or start this process by socket activation";
        let unmount = |path: &Path| {
            format!(
                "remove the mount -v …:{0}, or serve elsewhere: DOCKER_HOST=unix:///PATH",
                path.display()
            )
        };
        let move_away = |path: &Path| {
            format!(
                "move {} away, or serve elsewhere: DOCKER_HOST=unix:///PATH",
                path.display()
            )
        };
        match self {
            Self::BadHost { .. } => Advice::new(
                "dockerd would end with the same complaint",
                "write it as unix:///PATH, tcp://ADDRESS:PORT or fd://, or remove it",
            ),
            Self::HostsTwice { .. } => Advice::new(
                "dockerd refuses a key that is also given as a flag",
                "remove --host, or the key \"hosts\" of the file",
            ),
            Self::NoActivation { wanted: None } => Advice::new(
                "fd:// means sockets from LISTEN_FDS, and LISTEN_PID does not name this process",
                NO_SOCKET,
            ),
            Self::NoActivation { wanted: Some(fd) } => Advice::new(
                format!("descriptor {fd} is not among those that LISTEN_FDS counts"),
                NO_SOCKET,
            ),
            Self::NotListening { .. } => Advice::new("dockerd would panic on it", NO_SOCKET),
            Self::LiveSocket {
                path,
                mounted: true,
            } => Advice::new(
                "it is mounted from outside: replacing it would cut the outer daemon's clients off",
                unmount(path),
            ),
            Self::LiveSocket { mounted: false, .. } => Advice::new(
                "something answers there: two daemons cannot share one path",
                "stop the other daemon, or serve elsewhere: DOCKER_HOST=unix:///PATH",
            ),
            Self::MountPoint { path } => Advice::new(
                "a mount of a socket whose daemon is gone, or of a missing path that the runtime \
                 made a directory",
                unmount(path),
            ),
            Self::Directory { path } => Advice::new(
                "its content may be somebody's: only an empty directory is replaced by the socket",
                move_away(path),
            ),
            Self::NotASocket { path, .. } => {
                Advice::new("only a dead socket is replaced", move_away(path))
            }
            Self::Closed { path, .. } => Advice::new(
                format!(
                    "{} is not a directory that this user can write to, here or in dockerd's \
                     namespaces",
                    path.parent().unwrap_or(path).display()
                ),
                "remove that --host (the API is in $XDG_RUNTIME_DIR anyway), name \
                 a path right in /run for nested containers, or mount a directory there that this \
                 user can write to",
            ),
            Self::UnknownGroup { .. } => Advice::new(
                "the socket could not be given to it",
                "give the group by number (DIND_SOCKET_GID=2375), or add it to the image",
            ),
            Self::PlainTcp { ours, .. } => Advice::new(
                "DIND_TCP forbids it: whoever reaches that address would be root here",
                if *ours {
                    "set DOCKER_TLS_CERTDIR=/certs for TLS, serve on 127.0.0.1, or DIND_TCP=any"
                } else {
                    "write 127.0.0.1 where the address comes from (the arguments, \"hosts\" of \
                     daemon.json, the unit that passes the socket), use TLS with client \
                     certificates, or set DIND_TCP=any: dind-init does not bind it, and cannot \
                     narrow it"
                },
            ),
        }
    }
}

samples! { ListenRefusal {
    BadHost { text: "http://docker".into(), source: BadAddress::Protocol },
    HostsTwice { file: "/etc/docker/daemon.json".into() },
    NoActivation { wanted: None },
    NoActivation { wanted: Some(3) },
    NotListening { fd: 3 },
    LiveSocket { path: "/path".into(), mounted: true },
    LiveSocket { path: "/path".into(), mounted: false },
    MountPoint { path: "/path".into() },
    Directory { path: "/path".into() },
    NotASocket { path: "/path".into(), kind: "a regular file".into() },
    Closed { path: "/path/docker.sock".into(), uid: 1000 },
    UnknownGroup { name: "docker".into(), origin: "--group" },
    PlainTcp {
        address: Address::Tcp { host: crate::config::address::TcpHost::Wildcard, port: 2375 },
        ours: true,
    },
    PlainTcp {
        address: Address::Tcp { host: crate::config::address::TcpHost::Wildcard, port: 2375 },
        ours: false,
    },
} }
