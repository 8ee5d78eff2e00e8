//! What the `ListenPlan` must know of the machine: a handful of small reads, done before
//! anything slow.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketType};
use serde::{Deserialize, Serialize};

use super::{mountinfo, script};
use crate::config::address::{Address, DEFAULT_UNIX};
use crate::config::{Config, Mode};
use crate::files::socket::Served;
use crate::files::{self, Kind};

/// What is at a path where a socket should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathState {
    /// Nothing.
    Absent,
    /// A symbolic link that leads nowhere.
    DeadLink,
    /// A socket on which nobody listens.
    DeadSocket {
        /// Whether it is a mount point.
        mounted: bool,
    },
    /// A socket on which somebody listens.
    LiveSocket {
        /// Whether it is a mount point.
        mounted: bool,
    },
    /// A directory without entries.
    EmptyDirectory {
        /// Whether it is a mount point.
        mounted: bool,
    },
    /// A directory with entries.
    Directory,
    /// Something else, in words.
    Other(String),
}

/// A socket passed to us by socket activation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivatedSocket {
    pub fd: u32,
    /// Its name from `LISTEN_FDNAMES`, or `unknown` as systemd has it.
    pub name: String,
    pub listening: bool,
    /// Where it listens, if that is an internet address.
    #[serde(default)]
    pub address: Option<SocketAddr>,
}

/// Facts for the `ListenPlan`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenFacts {
    /// What is at each wanted unix path.
    pub paths: BTreeMap<PathBuf, PathState>,
    /// Where those of them lead that are symbolic links.
    #[serde(default)]
    pub links: BTreeMap<PathBuf, PathBuf>,
    /// Those of them that a user like us cannot make.
    #[serde(default)]
    pub closed: BTreeSet<PathBuf>,
    /// The socket behind the standard path and its state, for a daemon that can make none there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard: Option<(PathBuf, PathState)>,
    /// /etc/hosts.
    pub hosts: Vec<(String, IpAddr)>,
    /// /etc/group.
    pub groups: BTreeMap<String, u32>,
    /// Whether an IPv6 socket can be made here.
    pub ipv6: bool,
    /// Sockets passed to us.
    pub activation: Vec<ActivatedSocket>,
    /// dockerd, where it is a script that starts another process instead of becoming it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<PathBuf>,
}

impl ListenFacts {
    /// Reads what is needed for these addresses.
    #[must_use]
    pub fn read(config: &Config, addresses: &[Address]) -> Self {
        let text = |path: &str| files::text(Path::new(path)).unwrap_or_default();
        let mut paths: Vec<PathBuf> = addresses
            .iter()
            .filter_map(|address| match address {
                Address::Unix(path) => Some(path.clone()),
                Address::Tcp { .. } | Address::Activated(_) => None,
            })
            .collect();
        let user = config.mode() == Mode::Rootless;
        if user {
            paths.push(config.own_socket()); // it may have to stand in for another one
        }
        let closed = |path: &&PathBuf| user && !can_make(path);
        // Only needed when something is in the way, and the file can be long.
        let standard = user
            .then(|| files::real(Path::new(DEFAULT_UNIX)).ok())
            .flatten();
        let in_the_way = standard.is_some() || paths.iter().any(|path| files::stat(path).is_ok());
        let mounts = if in_the_way {
            mountinfo::read()
        } else {
            Vec::new()
        };
        Self {
            paths: paths
                .iter()
                .map(|path| (path.clone(), path_state(path, &mounts)))
                .collect(),
            links: paths
                .iter()
                .filter_map(|path| Some((path.clone(), files::link_target(path).ok()?)))
                .collect(),
            closed: paths.iter().filter(closed).cloned().collect(),
            standard: standard.map(|path| {
                let state = path_state(&path, &mounts);
                (path, state)
            }),
            hosts: parse_hosts(&text("/etc/hosts")),
            groups: parse_groups(&text("/etc/group")),
            ipv6: ipv6_sockets(),
            activation: activation(config),
            script: script_that_stays(config),
        }
    }

    #[must_use]
    pub fn state_of(&self, path: &Path) -> PathState {
        self.paths.get(path).cloned().unwrap_or(PathState::Absent)
    }

    /// The address that Go would bind for a name: the first IPv4 one, else the first.
    #[must_use]
    pub fn addresses_of(&self, name: &str) -> Vec<IpAddr> {
        let of_name = || {
            self.hosts
                .iter()
                .filter(|(host, _)| host == name)
                .map(|(_, ip)| *ip)
        };
        of_name()
            .find(IpAddr::is_ipv4)
            .or_else(|| of_name().next())
            .into_iter()
            .collect()
    }

    #[must_use]
    pub fn gid_of(&self, name: &str) -> Option<u32> {
        self.groups.get(name).copied()
    }
}

/// The dockerd that a rootful daemon starts, where nothing can be handed to what it starts.
fn script_that_stays(config: &Config) -> Option<PathBuf> {
    if config.mode() == Mode::Rootless {
        return None;
    }
    let path = crate::files::find_program("dockerd".as_ref(), config.env.get("PATH"))?;
    let text = script::read(&path)?;
    (!script::becomes_another(&text)).then_some(path)
}

fn path_state(path: &Path, mounts: &[mountinfo::Mount]) -> PathState {
    let kind = match files::stat(path) {
        Ok(kind) => kind,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return PathState::Absent,
        Err(error) => return PathState::Other(format!("not readable ({error})")),
    };
    // The mount table has resolved paths: /var/run/docker.sock is mounted on /run/docker.sock.
    let real = files::real(path).unwrap_or_else(|_| path.to_owned());
    let mounted = mountinfo::at(mounts, &real).is_some();
    match kind {
        Kind::Socket => match files::socket::served(path) {
            Served::No => PathState::DeadSocket { mounted },
            Served::Yes => PathState::LiveSocket { mounted },
        },
        Kind::Directory => match files::is_empty(path) {
            Ok(true) => PathState::EmptyDirectory { mounted },
            Ok(false) | Err(_) => PathState::Directory,
        },
        Kind::File => PathState::Other("a file, not a socket".into()),
        Kind::Link if leads_nowhere(path) => PathState::DeadLink,
        Kind::Link | Kind::Pipe | Kind::Device => PathState::Other(kind.to_string()),
    }
}

/// Whether there is nothing behind a link; one that may not be followed may lead anywhere.
fn leads_nowhere(link: &Path) -> bool {
    files::target(link).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Whether we may make a file there.
fn can_make(path: &Path) -> bool {
    path.parent().is_some_and(files::can_be_written)
}

/// A probe: Go listens on `[::]` for `0.0.0.0` whenever such a socket can be bound.
fn ipv6_sockets() -> bool {
    let any = std::net::SocketAddrV6::new(std::net::Ipv6Addr::UNSPECIFIED, 0, 0, 0);
    rustix::net::socket(AddressFamily::INET6, SocketType::STREAM, None)
        .is_ok_and(|socket| rustix::net::bind(&socket, &any).is_ok())
}

fn activation(config: &Config) -> Vec<ActivatedSocket> {
    let text = |name: &str| config.env.get(name).and_then(std::ffi::OsStr::to_str);
    let number = |name: &str| text(name).and_then(|text| text.parse::<u32>().ok());
    if number("LISTEN_PID") != Some(config.identity.pid) {
        return Vec::new();
    }
    let names: Vec<&str> = text("LISTEN_FDNAMES")
        .unwrap_or_default()
        .split(':')
        .collect();
    let count = number("LISTEN_FDS").unwrap_or_default().min(1024);
    (0..count)
        .map(|index| {
            let fd = index + 3;
            let name = names.get(index as usize).filter(|name| !name.is_empty());
            ActivatedSocket {
                fd,
                name: (*name.unwrap_or(&"unknown")).to_owned(),
                listening: crate::sys::net::is_listening(fd),
                address: crate::sys::net::internet_address(fd),
            }
        })
        .collect()
}

/// Names and addresses of a hosts file (`hosts(5)`).
#[must_use]
pub fn parse_hosts(text: &str) -> Vec<(String, IpAddr)> {
    let line = |line: &str| {
        let line = line.split('#').next().unwrap_or_default().to_owned();
        let mut words = line
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .into_iter();
        let ip: Option<IpAddr> = words.next().and_then(|ip| ip.parse().ok());
        words
            .filter_map(move |name| Some((name, ip?)))
            .collect::<Vec<_>>()
    };
    text.lines().flat_map(line).collect()
}

/// Names and ids of a group file (`group(5)`). Read by hand: a static binary has no NSS. The first
/// line of a name counts, as for the C library and for dockerd.
#[must_use]
pub fn parse_groups(text: &str) -> BTreeMap<String, u32> {
    let line = |line: &str| {
        let mut fields = line.split(':');
        Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
    };
    // Of a map, the last one would count.
    text.lines().rev().filter_map(line).collect()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn states_of_a_path_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let state = |name: &str| path_state(&path(name), &[]);

        assert_eq!(state("absent"), PathState::Absent);
        let listener = UnixListener::bind(path("sock")).unwrap();
        assert_eq!(state("sock"), PathState::LiveSocket { mounted: false });
        listener.set_nonblocking(true).unwrap();
        let nobody = listener.accept().unwrap_err();
        assert_eq!(nobody.kind(), io::ErrorKind::WouldBlock, "it saw nothing");
        drop(listener);
        assert_eq!(state("sock"), PathState::DeadSocket { mounted: false });
        std::fs::create_dir_all(path("dir/x")).unwrap();
        assert_eq!(state("dir"), PathState::Directory);
        assert_eq!(state("dir/x"), PathState::EmptyDirectory { mounted: false });
        std::fs::write(path("file"), "").unwrap();
        assert!(matches!(state("file"), PathState::Other(_)));
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        assert!(matches!(state("link"), PathState::Other(_)));
        std::os::unix::fs::symlink("gone", path("dead")).unwrap();
        assert_eq!(state("dead"), PathState::DeadLink);
    }

    #[test]
    fn hosts_and_groups_are_read() {
        let hosts = parse_hosts("127.0.0.1 localhost a # b\n::1 localhost\nbad x\n");
        assert_eq!(hosts.len(), 3);
        let facts = ListenFacts {
            hosts,
            ..ListenFacts::default()
        };
        assert_eq!(
            facts.addresses_of("localhost"),
            ["127.0.0.1".parse::<IpAddr>().unwrap()]
        );
        assert!(facts.addresses_of("b").is_empty());
        let groups = parse_groups("root:x:0:\ndocker:x:2375:a,b\nbroken\nx:y:z\n");
        assert_eq!(groups.get("docker"), Some(&2375));
        assert_eq!(groups.len(), 2);
    }
}
