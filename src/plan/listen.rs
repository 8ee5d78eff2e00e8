//! The `ListenPlan`: which sockets we bind before anything slow, and what dockerd binds itself.
//!
//! The set of addresses is exactly the one on which dockerd would have listened: its defaults and
//! every `--host` of the user's, normalised and without repetition. dockerd must not bind any of
//! them again: a second bind of a unix path would unlink ours, and of a TCP port would fail.

mod addresses;
mod inner;
mod left;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::exposure::{Binder, Gate};
use super::listen_refusal::ListenRefusal;
use super::tls_mode::{TcpSecurity, security};
use crate::base::printable::{self, line};
use crate::config::address::{Address, LOOPBACK, TcpHost};
use crate::config::settings;
use crate::config::{Config, GroupName, Mode, SocketHolder};
use crate::host::daemon_json::DaemonFile;
use crate::host::listen::{ListenFacts, PathState};
pub use addresses::addresses;
use inner::Place;

/// What happens to something that is in the way of a socket's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Replace {
    Nothing,
    /// A socket that nobody serves, or a link that leads nowhere: unlinked.
    DeadSocket,
    /// An empty directory, as a bind mount of a missing path leaves it: removed.
    EmptyDirectory,
}

/// One socket that we hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedSocket {
    /// A unix socket that we bind.
    Unix {
        path: PathBuf,
        mode: u32,
        gid: u32,
        /// What is in the way.
        replace: Replace,
    },
    /// A TCP socket that we bind.
    Tcp {
        /// Where; `[::]` with `dual_stack` serves IPv4 too.
        address: SocketAddr,
        /// `IPV6_V6ONLY` off.
        dual_stack: bool,
        /// What protects it.
        security: TcpSecurity,
        /// A second address of the name `localhost`, which may be impossible to bind.
        optional: bool,
    },
    /// A socket that the outer world passed to us.
    Inherited {
        fd: u32,
        /// Its name in `LISTEN_FDNAMES`.
        name: String,
    },
}

/// Everything about the API's addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ListenPlan {
    /// What we hold, in the order in which dockerd gets them.
    pub sockets: Vec<PlannedSocket>,
    /// `--host` values that are left to dockerd.
    pub left_to_dockerd: Vec<String>,
    /// dockerd is a script that cannot be handed sockets: [`Self::left_to_dockerd`] is all that was
    /// wanted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub by_script: bool,
    /// The group that the unix sockets get inside a rootless daemon's user namespace, when it is
    /// not the user's own: outside, a user may give a file to no other group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inner_gid: Option<u32>,
    /// Paths of unix sockets that are left to a rootless dockerd, and exist in its namespaces only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inside: Vec<PathBuf>,
    /// Descriptors of sockets that were passed to us, kept or not: nobody else inherits them.
    #[serde(skip)]
    pub passed: Vec<u32>,
    /// Addresses beyond loopback that ask for no client certificate, whoever binds them.
    pub exposed: Vec<String>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Decides about every address.
///
/// # Errors
/// [`ListenRefusal`] when an address cannot or must not be served.
pub fn plan(
    config: &Config,
    file: &DaemonFile,
    facts: &ListenFacts,
) -> Result<ListenPlan, ListenRefusal> {
    let addresses = addresses(config, file)?;
    let passed = facts.activation.iter().filter(|socket| socket.listening);
    let mut plan = ListenPlan {
        passed: passed.map(|socket| socket.fd).collect(),
        ..ListenPlan::default()
    };
    let closed = |address: &Address| match address {
        Address::Unix(path) => facts.closed.get(path).cloned(),
        Address::Tcp { .. } | Address::Activated(_) => None,
    };
    let mut gate = Gate::new(config.tcp, security(config, file));
    if addresses.is_empty() || config.holder == SocketHolder::Dockerd {
        let left = if addresses.is_empty() {
            let path = file.path.display();
            plan.notes.push(format!(
                "{path} has a key \"hosts\": dockerd listens there and nowhere else"
            ));
            left::hosts_of(file)
        } else {
            plan.inside = addresses.iter().filter_map(closed).collect();
            addresses.iter().map(ToString::to_string).collect()
        };
        plan.leave(left, &mut gate, facts)?;
        return Ok(plan.judged(gate));
    }
    let mut gid = socket_gid(config, file, facts)?;
    if config.mode() == Mode::Rootless && gid != config.identity.gid {
        plan.inner_gid = Some(gid);
        gid = config.identity.gid;
    }
    for address in addresses {
        match address {
            Address::Unix(path) => unix(&mut plan, config, facts, gid, path)?,
            Address::Tcp { host, port } => {
                tcp(&mut plan, config, file, facts, &mut gate, (host, port))?
            }
            Address::Activated(wanted) => activated(&mut plan, facts, &mut gate, wanted)?,
        }
    }
    inner::strangers(&mut plan, config, facts);
    match &facts.script {
        Some(script) => Ok(left::to_script(plan, script).judged(gate)),
        None => Ok(plan.judged(gate)),
    }
}

fn unix(
    plan: &mut ListenPlan,
    config: &Config,
    facts: &ListenFacts,
    gid: u32,
    path: PathBuf,
) -> Result<(), ListenRefusal> {
    let path = match inner::place(plan, config, facts, path)? {
        Place::Here(path) => path,
        Place::Nowhere => config.own_socket(),
        Place::Inside(path) => {
            plan.left_to_dockerd
                .push(format!("unix://{}", path.display()));
            plan.inside.push(path);
            // Nobody out here could ask whether it is ready.
            config.own_socket()
        }
    };
    let here = |socket: &PlannedSocket| matches!(socket, PlannedSocket::Unix { path: other, .. } if *other == path);
    if plan.sockets.iter().any(here) {
        return Ok(());
    }
    let replace = obstacle(&path, facts)?;
    let mode = config.socket_mode;
    plan.sockets.push(PlannedSocket::Unix {
        path,
        mode,
        gid,
        replace,
    });
    Ok(())
}

fn tcp(
    plan: &mut ListenPlan,
    config: &Config,
    file: &DaemonFile,
    facts: &ListenFacts,
    gate: &mut Gate,
    (host, port): (TcpHost, u16),
) -> Result<(), ListenRefusal> {
    let security = security(config, file);
    let host = gate.admit(host, port, Binder::Us)?;
    let (ips, dual_stack) = match &host {
        TcpHost::Wildcard if facts.ipv6 => (vec![IpAddr::from([0u16; 8])], true),
        TcpHost::Wildcard => (vec![IpAddr::from([0u8; 4])], false),
        TcpHost::Ip(ip) => (vec![*ip], false),
        TcpHost::Name(name) if name == "localhost" => (LOOPBACK.to_vec(), false),
        TcpHost::Name(name) => (facts.addresses_of(name), false),
    };
    if ips.is_empty() {
        let address = Address::Tcp { host, port };
        plan.notes.push(format!(
            "{address} is not in /etc/hosts: dockerd looks it up and binds it"
        ));
        gate.admit_others(&address)?;
        plan.left_to_dockerd.push(address.to_string());
        return Ok(());
    }
    for (index, ip) in ips.into_iter().enumerate() {
        gate.serves(&host, SocketAddr::new(ip, port));
        plan.sockets.push(PlannedSocket::Tcp {
            address: SocketAddr::new(ip, port),
            dual_stack,
            security,
            optional: index > 0,
        });
    }
    Ok(())
}

fn activated(
    plan: &mut ListenPlan,
    facts: &ListenFacts,
    gate: &mut Gate,
    wanted: Option<u32>,
) -> Result<(), ListenRefusal> {
    let mut found = false;
    for socket in &facts.activation {
        if wanted.is_some_and(|fd| fd != socket.fd) {
            continue;
        }
        if !socket.listening {
            return Err(ListenRefusal::NotListening { fd: socket.fd });
        }
        found = true;
        socket
            .address
            .map_or(Ok(()), |address| gate.admit_socket(address))?;
        let inherited = PlannedSocket::Inherited {
            fd: socket.fd,
            name: socket.name.clone(),
        };
        if !plan.sockets.contains(&inherited) {
            plan.sockets.push(inherited);
        }
    }
    if found {
        Ok(())
    } else {
        Err(ListenRefusal::NoActivation { wanted })
    }
}

fn obstacle(path: &Path, facts: &ListenFacts) -> Result<Replace, ListenRefusal> {
    let path_owned = || path.to_path_buf();
    match facts.state_of(path) {
        PathState::Absent => Ok(Replace::Nothing),
        PathState::DeadSocket { mounted: false } | PathState::DeadLink => Ok(Replace::DeadSocket),
        PathState::EmptyDirectory { mounted: false } => Ok(Replace::EmptyDirectory),
        PathState::LiveSocket { mounted } => Err(ListenRefusal::LiveSocket {
            path: path_owned(),
            mounted,
        }),
        PathState::DeadSocket { mounted: true } | PathState::EmptyDirectory { mounted: true } => {
            Err(ListenRefusal::MountPoint { path: path_owned() })
        }
        PathState::Directory => Err(ListenRefusal::Directory { path: path_owned() }),
        PathState::Other(kind) => Err(ListenRefusal::NotASocket {
            path: path_owned(),
            kind,
        }),
    }
}

/// Group of the unix sockets: ours before `--group` before daemon.json before the group `docker`
/// before our own. dockerd's rule that a missing group `docker` is no error is kept.
fn socket_gid(
    config: &Config,
    file: &DaemonFile,
    facts: &ListenFacts,
) -> Result<u32, ListenRefusal> {
    let flag = config.daemon.value("group");
    let (group, source) = match (&config.socket_group, flag, file.text("group")) {
        (Some(group), _, _) => (group.clone(), settings::SOCKET_GID.name),
        (None, Some(flag), _) => (GroupName::parse(flag), "--group"),
        (None, None, Some(key)) => (GroupName::parse(key), "daemon.json"),
        (None, None, None) => (GroupName::Name("docker".into()), "default"),
    };
    match group {
        GroupName::Id(gid) => Ok(gid),
        GroupName::Name(name) => match facts.gid_of(&name) {
            Some(gid) => Ok(gid),
            None if name == "docker" || name.is_empty() => Ok(config.identity.gid),
            None => Err(ListenRefusal::UnknownGroup {
                name,
                origin: source,
            }),
        },
    }
}

impl ListenPlan {
    /// The plan with what was noticed about its addresses.
    fn judged(mut self, gate: Gate) -> Self {
        self.notes.extend(gate.notes);
        self.exposed = gate.exposed;
        self
    }

    /// The warning for every address on which everybody who reaches it is root here. dockerd
    /// prints its own for `tcp://`, and none for sockets that it is handed.
    #[must_use]
    pub fn exposure(&self) -> Option<String> {
        (!self.exposed.is_empty()).then(|| {
            format!(
                "API on {} without client certificates: whoever reaches it is root here; set \
                 DOCKER_TLS_CERTDIR for TLS, or DIND_TCP=loopback",
                self.exposed.join(" and ")
            )
        })
    }

    /// The first unix socket that exists out here, whoever binds it: the one that we ping
    /// ourselves.
    #[must_use]
    pub fn first_unix(&self) -> Option<PathBuf> {
        let held = self.sockets.iter().find_map(|socket| match socket {
            PlannedSocket::Unix { path, .. } => Some(path.clone()),
            PlannedSocket::Tcp { .. } | PlannedSocket::Inherited { .. } => None,
        });
        let left = || {
            self.left_to_dockerd
                .iter()
                .filter_map(|host| host.strip_prefix("unix://").map(PathBuf::from))
                .find(|path| !self.inside.contains(path))
        };
        held.or_else(left)
    }
}

impl fmt::Display for ListenPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "listen plan: {} sockets", self.sockets.len())?;
        for socket in &self.sockets {
            match socket {
                PlannedSocket::Unix {
                    path,
                    mode,
                    gid,
                    replace,
                } => {
                    let path = printable::path(path);
                    let instead = match replace {
                        Replace::Nothing => "",
                        Replace::DeadSocket => ", in place of a dead socket",
                        Replace::EmptyDirectory => ", in place of an empty directory",
                    };
                    writeln!(
                        f,
                        "   bind   unix://{path} (mode {mode:04o}, group {gid}{instead})"
                    )?;
                }
                PlannedSocket::Tcp {
                    address,
                    security,
                    dual_stack,
                    ..
                } => {
                    let both = if *dual_stack { ", IPv4 and IPv6" } else { "" };
                    writeln!(f, "   bind   tcp://{address} ({security}{both})")?;
                }
                PlannedSocket::Inherited { fd, name } => {
                    writeln!(f, "   keep   fd://{fd} ({})", line(name))?;
                }
            }
        }
        let left = &self.left_to_dockerd;
        left.iter()
            .try_for_each(|host| writeln!(f, "   leave  {} to dockerd", line(host)))?;
        let notes = self.notes.iter().cloned().chain(self.exposure());
        notes
            .into_iter()
            .try_for_each(|note| writeln!(f, "   warn   {}", line(&note)))
    }
}
