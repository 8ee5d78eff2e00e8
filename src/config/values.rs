//! The values that settings can have.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::go_flags::parse_bool;
use super::size;

/// How the daemon was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandForm {
    /// No command or flags only: default sockets and TLS are added.
    Default,
    /// The literal word `dockerd` first: nothing is added.
    Explicit,
}

/// Who binds the API sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketHolder {
    /// We do, at once, and hand them to dockerd.
    Us,
    /// dockerd does, with exactly the official arguments.
    Dockerd,
}

/// What happens to plain TCP addresses that are not on loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpPolicy {
    /// Served, with a warning.
    Any,
    /// Narrowed to loopback.
    Loopback,
    Refuse,
}

/// What a certain failure ahead means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preflight {
    /// We do not start.
    Refuse,
    /// We say it and go on.
    Warn,
}

/// A step that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// Done when it is needed.
    Auto,
    /// Never done.
    Skip,
}

/// What happens where only a storage driver works that copies every layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoragePolicy {
    /// It is used, with a warning.
    Auto,
    /// We do not start.
    Strict,
}

/// Who programs the packet filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirewallOption {
    /// Left to dockerd.
    Auto,
    Iptables,
    /// nftables, which engine 29 brought.
    Nftables,
}

/// Which iptables backend the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IptablesOption {
    /// Decide by looking.
    Auto,
    /// DOCKER_IPTABLES_LEGACY holds something.
    Legacy,
    /// DOCKER_IPTABLES_LEGACY is set and empty.
    Default,
}

impl IptablesOption {
    pub(super) fn of(value: &OsStr) -> Self {
        match value.is_empty() {
            true => Self::Default,
            false => Self::Legacy,
        }
    }
}

/// A group, by number or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupName {
    Id(u32),
    /// A name to be looked up in /etc/group.
    Name(String),
}

impl GroupName {
    /// Reads a group as dockerd reads `--group`: a number is an id.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        text.parse()
            .map_or_else(|_| Self::Name(text.to_owned()), Self::Id)
    }
}

/// TLS as the user asks for it; only the default command form uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsOption {
    /// DOCKER_TLS_CERTDIR is not set.
    Unset,
    /// DOCKER_TLS_CERTDIR is set and empty: TLS was turned off on purpose.
    Off,
    /// Certificates are kept in this directory.
    Directory {
        /// DOCKER_TLS_CERTDIR.
        dir: PathBuf,
        /// DOCKER_TLS_SAN, as written.
        san: String,
    },
}

/// As whom dockerd runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Root of the container.
    Rootful,
    /// Another user, in namespaces of its own.
    Rootless,
}

/// Who runs us: ids of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Our process id; 1 in a container as a rule.
    pub pid: u32,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
}

impl Identity {
    /// Of this process.
    #[must_use]
    pub fn own() -> Self {
        Self {
            pid: std::process::id(),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    /// As whom a dockerd of this process runs, as things are: root that is to become a user is
    /// still root.
    #[must_use]
    pub fn mode(self) -> Mode {
        match self.uid {
            0 => Mode::Rootful,
            _ => Mode::Rootless,
        }
    }
}

/// Whether a decision is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// It is only printed.
    Dry,
    /// It is.
    Live,
}

/// Yes or no, for every setting of ours that is one of them.
pub(super) fn boolean(word: &str) -> Option<bool> {
    match word {
        "yes" | "on" => Some(true),
        "no" | "off" => Some(false),
        _ => parse_bool(word),
    }
}

/// Any other DOCKER_HOST is the client's.
pub(super) fn unix_host(host: &OsStr) -> Option<String> {
    let host = host.to_str().filter(|host| host.starts_with("unix://"));
    host.map(str::to_owned)
}

pub(super) fn group(group: &str) -> Option<Option<GroupName>> {
    Some(Some(GroupName::parse(group)))
}

/// Bytes; 0 is no reserve.
pub(super) fn reserve(size: &str) -> Option<Option<u64>> {
    size::bytes(size).map(|bytes| Some(bytes).filter(|bytes| *bytes > 0))
}

pub(super) fn absolute(path: &str) -> Option<PathBuf> {
    Some(PathBuf::from(path)).filter(|path| path.is_absolute())
}

pub(super) fn socket_mode(value: &str) -> Option<u32> {
    let digits = value.strip_prefix("0o").unwrap_or(value);
    // The owner must keep read and write: we and our probes connect as owner.
    let mode = u32::from_str_radix(digits, 8).ok();
    mode.filter(|m| *m <= 0o777 && m & 0o600 == 0o600)
}

pub(super) fn socket_paths(value: &str) -> Option<Vec<PathBuf>> {
    let paths = value
        .split(',')
        .map(str::trim)
        .filter(|path| !path.is_empty());
    let paths: Vec<PathBuf> = paths
        .map(|path| PathBuf::from(path.strip_prefix("unix://").unwrap_or(path)))
        .collect();
    paths.iter().all(|path| path.is_absolute()).then_some(paths)
}
