//! Binds the sockets of a [`ListenPlan`], and takes them away again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::net::SocketType;

use crate::base::explain::{Advice, Explain, samples};
use crate::files::socket::OwnName;
use crate::files::{self, Dir, Foreign};
use crate::plan::listen::{ListenPlan, PlannedSocket, Replace};
use crate::sys;

/// A socket that could not be made. Those that were made before it are gone again.
#[derive(Debug, thiserror::Error)]
#[error("could not listen on {address}")]
pub struct ListenFailed {
    address: String,
    uid: u32,
    #[source]
    source: io::Error,
}

impl ListenFailed {
    fn new(address: impl Into<String>, source: io::Error) -> Self {
        Self {
            address: address.into(),
            uid: rustix::process::geteuid().as_raw(),
            source,
        }
    }
}

impl Explain for ListenFailed {
    fn advice(&self) -> Advice {
        if let Some(foreign) = Foreign::in_error(&self.source) {
            return Advice::new(format!("{foreign}: {}", foreign.why()), foreign.fix());
        }
        let unix = self.address.starts_with("unix://");
        let elsewhere = if unix {
            "serve elsewhere: DOCKER_HOST=unix:///PATH, or --host"
        } else {
            "give dockerd other --host addresses"
        };
        match (self.source.raw_os_error(), unix) {
            (Some(libc::EADDRINUSE), true) => {
                Advice::new("something came to be at that path meanwhile", elsewhere)
            }
            (Some(libc::EADDRINUSE), false) => Advice::new(
                "another process listens there",
                "stop it (ss -ltnp names it), or give dockerd other --host addresses",
            ),
            (Some(libc::EADDRNOTAVAIL), _) => {
                Advice::new("no interface of this container has that address", elsewhere)
            }
            (Some(libc::EACCES | libc::EPERM), true) => Advice::new(
                format!(
                    "uid {} may not make a socket, or set its owner and mode, in that directory",
                    self.uid
                ),
                "give that directory to this user (chown), or serve elsewhere: \
                 DOCKER_HOST=unix:///PATH",
            ),
            (Some(libc::EACCES | libc::EPERM), false) => Advice::new(
                "ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE",
                "serve on a higher port, or --sysctl net.ipv4.ip_unprivileged_port_start=0",
            ),
            (Some(libc::EROFS), _) => Advice::new(
                "the directory of the socket is on a read-only file system",
                "mount a tmpfs or a volume on /run",
            ),
            (Some(libc::ENOENT | libc::ENOTDIR), true) => Advice::new(
                "the directory of the socket cannot be made: something else is in its path",
                elsewhere,
            ),
            (Some(libc::ENOSPC | libc::EDQUOT), true) => Advice::new(
                "the file system of the socket's directory is full",
                elsewhere,
            ),
            (Some(libc::EMFILE | libc::ENFILE), _) => Advice::new(
                "too many files are open",
                "raise the limit: --ulimit nofile=1048576",
            ),
            _ => Advice::new("the kernel refused it", elsewhere),
        }
    }
}

samples! { ListenFailed:
    Self::new("unix:///path", Foreign::Open { path: "/path".into() }.into()),
    Self::new("unix:///path", errno(libc::EADDRINUSE)),
    Self::new("tcp://0.0.0.0:2376", errno(libc::EADDRINUSE)),
    Self::new("tcp://10.0.0.1:2376", errno(libc::EADDRNOTAVAIL)),
    Self { uid: 1000, ..Self::new("unix:///path", errno(libc::EACCES)) },
    Self::new("tcp://0.0.0.0:80", errno(libc::EACCES)),
    Self::new("unix:///path", errno(libc::EROFS)),
    Self::new("unix:///path", errno(libc::ENOTDIR)),
    Self::new("unix:///path", errno(libc::ENOSPC)),
    Self::new("unix:///path", errno(libc::EMFILE)),
    Self::new("tcp://0.0.0.0:2376", errno(libc::EAFNOSUPPORT)),
}

/// The sockets that we hold.
#[derive(Debug, Default)]
pub struct HeldSockets {
    sockets: Vec<OwnedFd>,
    names: Vec<String>,
    paths: Vec<OwnName>,
}

impl HeldSockets {
    /// Binds everything, or nothing.
    ///
    /// # Errors
    /// The first socket that could not be bound.
    pub fn bind(plan: &ListenPlan) -> Result<Self, ListenFailed> {
        let mut held = Self::default();
        for socket in &plan.sockets {
            if let Err(error) = held.add(socket) {
                held.unlink();
                return Err(error);
            }
        }
        // What is kept is a copy above; whoever is started later must not inherit these.
        plan.passed.iter().copied().for_each(sys::net::close_passed);
        Ok(held)
    }

    fn add(&mut self, planned: &PlannedSocket) -> Result<(), ListenFailed> {
        match planned {
            PlannedSocket::Unix {
                path,
                mode,
                gid,
                replace,
            } => {
                let failed =
                    |source| ListenFailed::new(format!("unix://{}", path.display()), source);
                clear(path, *replace).map_err(failed)?;
                let bound = files::socket::bind(path, SocketType::STREAM, *mode, Some(*gid));
                let (socket, own) = bound.map_err(failed)?;
                self.paths.push(own);
                sys::net::listen(&socket).map_err(failed)?;
                self.push(socket, "docker.sock");
            }
            PlannedSocket::Tcp {
                address,
                dual_stack,
                optional,
                ..
            } => match sys::net::listen_tcp(*address, *dual_stack) {
                Ok(socket) => self.push(socket, "docker-tcp"),
                Err(error) if *optional => {
                    tracing::debug!("{address} is not served: {error}");
                }
                Err(source) => {
                    return Err(ListenFailed::new(format!("tcp://{address}"), source));
                }
            },
            PlannedSocket::Inherited { fd, name } => {
                let failed = |source| ListenFailed::new(format!("fd://{fd}"), source);
                let socket = sys::net::adopt(*fd).map_err(failed)?;
                self.push(socket, name);
            }
        }
        Ok(())
    }

    fn push(&mut self, socket: OwnedFd, name: &str) {
        self.sockets.push(socket);
        self.names.push(name.to_owned());
    }

    /// The sockets, in the order of the plan.
    #[must_use]
    pub fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd).collect()
    }

    /// Their names for `LISTEN_FDNAMES`.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Closes our copies: as soon as dockerd has closed its own, clients are refused.
    pub fn close(&mut self) {
        self.sockets.clear();
    }

    /// Removes the paths that are still ours: another daemon may have taken one over.
    pub fn unlink(&mut self) {
        self.close();
        for own in self.paths.drain(..) {
            if let Err(error) = own.remove() {
                tracing::warn!("{} could not be removed: {error}", own.path().display());
            }
        }
    }
}

fn clear(path: &Path, replace: Replace) -> io::Result<()> {
    match replace {
        Replace::Nothing => match path.parent() {
            Some(parent) => files::create_directory(parent, 0o755),
            None => Ok(()),
        },
        Replace::DeadSocket => files::remove(path),
        Replace::EmptyDirectory => {
            let (dir, name) = Dir::parent(path)?;
            dir.remove_empty(&name)
        }
    }
}
