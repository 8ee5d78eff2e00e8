//! The `ListenPlan`: which sockets we bind before anything slow, and what dockerd binds itself.
//!
//! The set of addresses is exactly the one on which dockerd would have listened: its defaults and
//! every `--host` of the user's, normalised and without repetition. dockerd must not bind any of
//! them again: a second bind of a unix path would unlink ours, and of a TCP port would fail.

pub mod inner;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::exposure::{Binder, Gate};
use super::listen_refusal::ListenRefusal;
use super::tls_mode::{TcpSecurity, security};
use crate::base::printable::{self, line};
use crate::config::address::{Address, BadAddress, DEFAULT_UNIX, LOOPBACK, TcpHost, wildcard};
use crate::config::settings;
use crate::config::{CommandForm, Config, GroupName, Mode, SocketHolder, TlsOption};
use crate::host::daemon_json::DaemonFile;
use crate::host::listen::{ListenFacts, PathState};
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

/// The addresses that dockerd would listen on, in order and without repetition, and whether
/// `daemon.json` decides instead.
///
/// # Errors
/// A value that dockerd would refuse, or hosts given in two places.
pub fn addresses(config: &Config, file: &DaemonFile) -> Result<Vec<Address>, ListenRefusal> {
    let given = config.daemon.values("host");
    if file.get("hosts").is_some() {
        return match given.first() {
            None => Ok(Vec::new()),
            Some(_) => Err(ListenRefusal::HostsTwice {
                file: file.path.clone(),
            }),
        };
    }
    let unix_default = default_unix(config)?;
    let empty = match security(config, file) {
        TcpSecurity::Plain => Address::Unix(DEFAULT_UNIX.into()),
        TcpSecurity::Encrypted | TcpSecurity::Verified => Address::Tcp {
            host: TcpHost::Name("localhost".into()),
            port: 2376,
        },
    };
    let mut wanted = Vec::new();
    if config.form == CommandForm::Default {
        wanted.push(unix_default.clone());
        wanted.push(wildcard(
            if matches!(config.tls, TlsOption::Directory { .. }) {
                2376
            } else {
                2375
            },
        ));
    } else if given.is_empty() {
        wanted.push(unix_default);
    }
    for text in given {
        let refused = |reason: BadAddress| ListenRefusal::BadHost {
            text: text.to_owned(),
            source: reason,
        };
        wanted.push(Address::parse(text, &empty).map_err(refused)?);
    }
    for path in &config.socket_paths {
        let text = format!("unix://{}", path.display());
        let refused = |source: BadAddress| ListenRefusal::BadHost {
            text: text.clone(),
            source,
        };
        wanted.push(Address::parse(&text, &empty).map_err(refused)?);
    }
    let mut unique: Vec<Address> = Vec::new();
    for address in wanted {
        let address = address.below(&config.directory);
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    let all = unique.clone();
    unique.retain(|address| !all.iter().any(|other| covers(other, address)));
    Ok(unique)
}

fn default_unix(config: &Config) -> Result<Address, ListenRefusal> {
    let text = config.default_unix_host();
    let default = Address::Unix(DEFAULT_UNIX.into());
    Address::parse(&text, &default).map_err(|source| ListenRefusal::BadHost { text, source })
}

/// Whether a wildcard address already serves another one on the same port; the kernel would not
/// let both listen.
fn covers(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (
            Address::Tcp {
                host: TcpHost::Wildcard,
                port: a,
            },
            Address::Tcp {
                host: TcpHost::Ip(_) | TcpHost::Name(_),
                port: b,
            },
        ) => a == b,
        _ => false,
    }
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
            hosts_of(file)
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
        Some(script) => Ok(left_to_script(plan, script).judged(gate)),
        None => Ok(plan.judged(gate)),
    }
}

/// Sockets are handed to a pid (`LISTEN_PID`), and what a script starts has another one: dockerd
/// would say "no sockets found via socket activation". It binds the same addresses itself.
fn left_to_script(mut plan: ListenPlan, script: &Path) -> ListenPlan {
    let host = |socket: &PlannedSocket| match socket {
        PlannedSocket::Unix { path, .. } => Some(format!("unix://{}", path.display())),
        PlannedSocket::Tcp {
            dual_stack: true,
            address,
            ..
        } => Some(wildcard(address.port()).to_string()),
        // The second address of `localhost`, which dockerd does not bind.
        PlannedSocket::Tcp { optional: true, .. } => None,
        PlannedSocket::Tcp { address, .. } => Some(format!("tcp://{address}")),
        PlannedSocket::Inherited { fd, .. } => Some(format!("fd://{fd}")),
    };
    let hosts: Vec<String> = plan.sockets.iter().filter_map(host).collect();
    plan.notes.push(format!(
        "{} is a script that starts dockerd and waits for it, so sockets cannot be handed over: \
         dockerd binds them when it is ready, with a group and mode of its choice, and until then \
         clients are refused; let the script end with: exec dockerd \"$@\"",
        script.display()
    ));
    plan.sockets.clear();
    plan.left_to_dockerd.splice(0..0, hosts);
    plan.by_script = true;
    plan
}

/// The addresses in dockerd's file.
fn hosts_of(file: &DaemonFile) -> Vec<String> {
    let hosts = file.get("hosts").and_then(serde_json::Value::as_array);
    let hosts = hosts.into_iter().flatten();
    hosts
        .filter_map(|host| Some(host.as_str()?.to_owned()))
        .collect()
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
        if let Some(address) = socket.address {
            let host = TcpHost::of(address.ip());
            let host = gate.admit(host, address.port(), Binder::Others)?;
            gate.serves(&host, address);
        }
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
    /// Leaves addresses to dockerd, if they may be served.
    fn leave(
        &mut self,
        hosts: Vec<String>,
        gate: &mut Gate,
        facts: &ListenFacts,
    ) -> Result<(), ListenRefusal> {
        for host in &hosts {
            // What cannot be read is refused by dockerd with its own words.
            let Ok(address) = Address::parse(host, &Address::Unix(DEFAULT_UNIX.into())) else {
                continue;
            };
            if let Address::Activated(wanted) = address {
                let ours = |fd| wanted.is_none_or(|wanted| wanted == fd);
                for socket in facts.activation.iter().filter(|socket| ours(socket.fd)) {
                    if let Some(address) = socket.address {
                        let host = TcpHost::of(address.ip());
                        let host = gate.admit(host, address.port(), Binder::Others)?;
                        gate.serves(&host, address);
                    }
                }
            }
            gate.admit_others(&address)?;
        }
        self.left_to_dockerd = hosts;
        Ok(())
    }

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
