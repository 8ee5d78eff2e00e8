//! What the user wants of the namespaces: flags and variables, typed and checked. Pure.

use std::path::PathBuf;

use super::flags::{BadFlag, Flags};
use super::ports::api::info::ChildSide;
use super::ports::spec::PortSpec;
use super::wishes::{PREFIX, Wishes, env_all, text};
use crate::cli::bad::switch;
use crate::cli::environment::Environment;
use crate::explain::{Explain, exit};
use crate::host::net4::Net4;

/// What moves packets between the namespace and the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetDriver {
    /// The outer network itself, no namespace (the `rootlesskit` persona only).
    Host,
    /// A namespace with loopback only.
    None,
    Pasta,
    /// slirp4netns.
    Slirp4netns,
}

impl NetDriver {
    /// Its name, as dockerd and users know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::None => "none",
            Self::Pasta => "pasta",
            Self::Slirp4netns => "slirp4netns",
        }
    }
}

/// Who serves published ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PortDriver {
    /// Our own relay.
    Builtin,
    /// pasta itself, for every port that is bound inside.
    Implicit,
    /// Nobody.
    None,
}

/// A security layer of slirp4netns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// On; off with a warning where it does not work.
    Auto,
    Off,
    On,
}

/// How mounts of the outer namespace come in later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Propagation {
    /// Not at all.
    Private,
    /// They come in; ours do not go out.
    Slave,
}

/// Where subordinate ids come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubidSource {
    /// Either.
    Auto,
    /// `getsubids`.
    Dynamic,
    /// /etc/subuid and /etc/subgid.
    Static,
}

/// More namespaces than user, mount and network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct MoreNamespaces {
    /// `--pidns`.
    pub pid: bool,
    /// `--cgroupns`.
    pub cgroup: bool,
    /// `--utsns`.
    pub uts: bool,
    /// `--ipcns`.
    pub ipc: bool,
}

/// Everything, typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The network; nothing when it is ours to choose.
    pub net: Option<NetDriver>,
    /// The MTU of the tap device, if given.
    pub mtu: Option<u32>,
    /// The network of the tap device, if given.
    pub cidr: Option<Net4>,
    /// The name of the tap device.
    pub ifname: String,
    /// IPv6 for traffic that goes out.
    pub ipv6: bool,
    /// Whether loopback of the outer namespace can be reached from inside.
    pub host_loopback: bool,
    /// Who serves published ports.
    pub port_driver: PortDriver,
    /// `-p`.
    pub publish: Vec<PortSpec>,
    /// Where dockerd is to map ports to; nothing when it is ours to choose.
    pub child_side: Option<ChildSide>,
    /// Whether clients of published ports keep their address.
    pub source_address: bool,
    /// Directories that become writable copies.
    pub copy_up: Vec<PathBuf>,
    /// Mount propagation.
    pub propagation: Propagation,
    pub more: MoreNamespaces,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// Where subordinate ids come from.
    pub subid_source: SubidSource,
    /// The program, if not found by its name.
    pub slirp4netns: String,
    /// The program, if not found by its name.
    pub pasta: String,
    /// `--slirp4netns-sandbox`.
    pub sandbox: Layer,
    /// `--slirp4netns-seccomp`.
    pub seccomp: Layer,
    /// Map one id only.
    pub single_id: bool,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Something that cannot be honoured.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {reason}")]
pub struct BadOption {
    /// The variable or flag.
    pub origin: String,
    /// What is wrong with it, and then what is wrong with others.
    pub reason: String,
    pub origins: String,
}

impl BadOption {
    /// All of them as one, so that nobody mends them one start after the other.
    pub(super) fn all(found: impl IntoIterator<Item = Option<Self>>) -> Result<(), Self> {
        let mut found = found.into_iter().flatten();
        let Some(first) = found.next() else {
            return Ok(());
        };
        Err(found.fold(first, |all, next| {
            let reason = format!("{}; {next}", all.reason);
            bad(format!("{}, {}", all.origins, next.origins), reason).beginning_with(all.origin)
        }))
    }

    fn beginning_with(self, origin: String) -> Self {
        Self { origin, ..self }
    }
}

impl Explain for BadOption {
    fn why(&self) -> String {
        "a wish about the rootless namespaces that is passed over would be a silent surprise".into()
    }
    fn fix(&self) -> String {
        format!("change or remove: {}", self.origins)
    }
    fn exit_code(&self) -> u8 {
        exit::REFUSED
    }
}

pub(super) fn bad(origin: impl Into<String>, reason: impl Into<String>) -> BadOption {
    let origin = origin.into();
    BadOption {
        origins: origin.clone(),
        origin,
        reason: reason.into(),
    }
}

impl From<BadFlag> for BadOption {
    fn from(flag: BadFlag) -> Self {
        bad("rootlesskit flags", flag.to_string())
    }
}

impl Options {
    /// The options of a rootless dockerd: the variables, then the words of `…_FLAGS`, which win
    /// as they do in the scripts, where they come last.
    ///
    /// # Errors
    /// The first wish that cannot be honoured.
    pub fn for_dockerd(env: &Environment) -> Result<Self, BadOption> {
        let words = text(env, "FLAGS").unwrap_or_default();
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let (flags, rest) =
            Flags::parse(&words).map_err(|e| bad(format!("{PREFIX}FLAGS"), e.to_string()))?;
        if let Some(word) = rest.first() {
            let reason = format!("{word:?} is not a flag");
            return Err(bad(format!("{PREFIX}FLAGS"), reason));
        }
        let wishes = Wishes { env, flags: &flags };
        let mut options = wishes.common()?;
        options.copy_up = vec!["/etc".into(), "/run".into()];
        options.add_copy_up(flags.list("copy-up"))?;
        let loopback_off = text(env, "DISABLE_HOST_LOOPBACK").is_none_or(|value| value != "false");
        options.host_loopback = !flags
            .switch("disable-host-loopback")
            .unwrap_or(loopback_off);
        if options.net == Some(NetDriver::Host) {
            let reason = "dockerd needs a network namespace of its own; slirp4netns, pasta and \
                          none are supported";
            return Err(bad(wishes.origin("NET", "net"), reason));
        }
        let single = text(env_all(env), "DIND_ROOTLESS_SINGLE_ID");
        options.single_id = single.as_deref().and_then(switch).unwrap_or(false);
        Ok(options)
    }

    /// The options of the `rootlesskit` persona.
    ///
    /// # Errors
    /// The first flag that cannot be honoured.
    pub fn for_persona(flags: &Flags) -> Result<Self, BadOption> {
        let env = Environment::default();
        let mut options = Wishes { env: &env, flags }.common()?;
        options.net = options.net.or(Some(NetDriver::Host));
        options.add_copy_up(flags.list("copy-up"))?;
        options.host_loopback = !flags.switch("disable-host-loopback").unwrap_or(false);
        if !flags.has("port-driver") {
            options.port_driver = PortDriver::None;
        }
        Ok(options)
    }

    fn add_copy_up(&mut self, list: &[String]) -> Result<(), BadOption> {
        for word in list {
            let path = PathBuf::from(word);
            if !path.is_absolute() || path == *"/" || path.starts_with("/tmp") {
                let reason = format!("{word} cannot be copied up");
                return Err(bad("--copy-up", reason));
            }
            if !self.copy_up.contains(&path) {
                self.copy_up.push(path);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
