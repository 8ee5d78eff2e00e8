//! What the user wants of the namespaces: flags and variables, typed and checked. Pure.

pub mod flags;
pub mod places;
pub mod port;
pub(crate) mod request;

use std::path::PathBuf;

use self::flags::{Flags, ROOTLESSKIT};
use self::port::PortSpec;
use self::request::Request;
use crate::base::environment::Environment;
use crate::base::net4::Net4;
use crate::config::bad::BadSettings;
use crate::config::settings::rootless::{DISABLE_HOST_LOOPBACK, FLAGS, NET};

/// Where in the child namespaces dockerd is to map ports to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChildSide {
    /// On loopback addresses: IPv6 can be published by itself. A published connection goes through
    /// docker-proxy unless that has told which container it stands for.
    Loopback,
    /// On the address of the tap device: dockerd's own DNAT rule takes connections straight to the
    /// container. IPv6 must not be offered: dockerd would map it to this IPv4 address, and every
    /// `docker run -p` would fail.
    Tap,
}

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

impl Options {
    /// The options of a rootless dockerd: the variables, then the words of `…_FLAGS`, which win
    /// as they do in the scripts, where they come last. Everything that cannot be honoured is added
    /// to what is bad, but for variables that are not understood: the table of settings has them.
    pub(crate) fn read(env: &Environment, bad: &mut BadSettings) -> Self {
        let words = FLAGS.of(env);
        let words: Vec<&str> = words.split_whitespace().collect();
        let (flags, rest) = ROOTLESSKIT.read(&words).unwrap_or_else(|error| {
            bad.0.push(FLAGS.bad(env).with_help(error));
            Default::default()
        });
        if let Some(word) = rest.first() {
            let reason = format!("{word:?} is not a flag");
            bad.0.push(FLAGS.bad(env).with_help(reason));
        }
        let mut request = Request {
            env,
            flags: &flags,
            bad,
        };
        let mut options = request.common(&NET.takes);
        options.copy_up = request.copy_up(&["/etc", "/run"]);
        options.host_loopback = !flags
            .switch("disable-host-loopback")
            .unwrap_or_else(|| DISABLE_HOST_LOOPBACK.of(env));
        options
    }

    /// The same with the variables checked.
    ///
    /// # Errors
    /// Every request that cannot be honoured.
    pub fn for_dockerd(env: &Environment) -> Result<Self, BadSettings> {
        let mut bad = BadSettings::of(env, true);
        let options = Self::read(env, &mut bad);
        bad.or(options)
    }

    /// The options of the `rootlesskit` persona.
    ///
    /// # Errors
    /// Every flag that cannot be honoured.
    pub fn for_persona(flags: &Flags) -> Result<Self, BadSettings> {
        let (env, mut bad) = (Environment::default(), BadSettings::default());
        let mut request = Request {
            env: &env,
            flags,
            bad: &mut bad,
        };
        let mut options = request.common(&request::ANY_NET);
        options.net = options.net.or(Some(NetDriver::Host));
        options.copy_up = request.copy_up(&[]);
        options.host_loopback = !flags.switch("disable-host-loopback").unwrap_or(false);
        if !flags.has("port-driver") {
            options.port_driver = PortDriver::None;
        }
        bad.or(options)
    }
}

#[cfg(test)]
mod tests;
