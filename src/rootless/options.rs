//! What the user wants of the namespaces: flags and variables, typed and checked. Pure.

use std::path::PathBuf;

use super::flags::{BadFlag, Flags};
use crate::cli::environment::Environment;
use crate::explain::{Explain, exit};
use crate::host::net4::Net4;

/// Prefix of the variables of `dockerd-rootless.sh`.
const PREFIX: &str = "DOCKERD_ROOTLESS_ROOTLESSKIT_";

/// What moves packets between the namespace and the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetDriver {
    /// The outer network itself, no namespace (the `rootlesskit` persona only).
    Host,
    /// A namespace with loopback only.
    None,
    /// pasta.
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
    /// Off.
    Off,
    /// On.
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
    pub publish: Vec<String>,
    /// Whether clients of published ports keep their address.
    pub source_address: bool,
    /// Directories that become writable copies.
    pub copy_up: Vec<PathBuf>,
    /// Mount propagation.
    pub propagation: Propagation,
    /// More namespaces.
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
    /// What is wrong with it.
    pub reason: String,
}

impl Explain for BadOption {
    fn why(&self) -> String {
        "a wish about the rootless namespaces that is passed over would be a silent surprise".into()
    }
    fn fix(&self) -> String {
        format!("change or remove it: {}", self.origin)
    }
    fn exit_code(&self) -> u8 {
        exit::REFUSED
    }
}

fn bad(origin: impl Into<String>, reason: impl Into<String>) -> BadOption {
    BadOption {
        origin: origin.into(),
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
        let mut wishes = Wishes { env, flags: &flags };
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
        options.single_id = text(env_all(env), "DIND_ROOTLESS_SINGLE_ID").is_some();
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

/// The environment without our prefix.
fn env_all(env: &Environment) -> Prefixed<'_> {
    Prefixed { env, prefix: "" }
}

/// Variables under a prefix.
struct Prefixed<'a> {
    env: &'a Environment,
    prefix: &'static str,
}

impl<'a> From<&'a Environment> for Prefixed<'a> {
    fn from(env: &'a Environment) -> Self {
        Self {
            env,
            prefix: PREFIX,
        }
    }
}

fn text<'a>(env: impl Into<Prefixed<'a>>, name: &str) -> Option<String> {
    let Prefixed { env, prefix } = env.into();
    let value = env.non_empty(&format!("{prefix}{name}"))?;
    Some(value.to_string_lossy().into_owned())
}

/// A flag wins over its variable.
struct Wishes<'a> {
    env: &'a Environment,
    flags: &'a Flags,
}

impl Wishes<'_> {
    fn value(&self, variable: &str, flag: &str) -> Option<String> {
        let given = self.flags.value(flag).map(str::to_owned);
        given.or_else(|| text(self.env, variable))
    }

    fn origin(&self, variable: &str, flag: &str) -> String {
        if self.flags.has(flag) {
            format!("--{flag}")
        } else {
            format!("{PREFIX}{variable}")
        }
    }

    fn word<T: Copy>(
        &self,
        variable: &str,
        flag: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, BadOption> {
        let Some(value) = self.value(variable, flag) else {
            return Ok(None);
        };
        match words.iter().find(|(word, _)| *word == value) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => {
                let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                let reason = format!("{value:?} is not supported: {}", known.join(", "));
                Err(bad(self.origin(variable, flag), reason))
            }
        }
    }

    fn common(&mut self) -> Result<Options, BadOption> {
        let mut warnings = Vec::new();
        let net = self.net(&mut warnings)?;
        let port_driver = self.port_driver(net, &mut warnings)?;
        let detach = ["true", "1"].map(|word| (word, true));
        let keep = ["false", "0"].map(|word| (word, false));
        if self.word("DETACH_NETNS", "detach-netns", &[detach, keep].concat())? == Some(true) {
            warnings.push(
                "detached network namespaces are not part of this version: pulls go through the \
                 network driver"
                    .into(),
            );
        }
        let layers = [
            ("auto", Layer::Auto),
            ("true", Layer::On),
            ("false", Layer::Off),
        ];
        let layer = |variable, flag| self.word(variable, flag, &layers);
        let flags = self.flags;
        let switch = |name| flags.switch(name).unwrap_or(false);
        if flags
            .value("copy-up-mode")
            .is_some_and(|mode| mode != "tmpfs+symlink")
        {
            return Err(bad("--copy-up-mode", "only tmpfs+symlink exists"));
        }
        if let Some(name) = flags.value("evacuate-cgroup2") {
            warnings.push(format!(
                "--evacuate-cgroup2={name}: dockerd uses no cgroups in rootless mode without \
                 systemd, nothing is moved"
            ));
        }
        let reaper = [("auto", ()), ("true", ()), ("false", ())];
        self.word("", "reaper", &reaper)?; // everything is reaped, whatever it says
        Ok(Options {
            net,
            mtu: self.mtu()?,
            cidr: self.cidr()?,
            ifname: self.ifname()?,
            ipv6: switch("ipv6"),
            host_loopback: false,
            port_driver,
            publish: flags.list("publish").to_vec(),
            source_address: flags.switch("source-ip-transparent").unwrap_or(true),
            copy_up: Vec::new(),
            propagation: self
                .word(
                    "",
                    "propagation",
                    &[
                        ("rprivate", Propagation::Private),
                        ("private", Propagation::Private),
                        ("rslave", Propagation::Slave),
                        ("slave", Propagation::Slave),
                    ],
                )?
                .unwrap_or(Propagation::Private),
            more: MoreNamespaces {
                pid: switch("pidns"),
                cgroup: switch("cgroupns"),
                uts: switch("utsns"),
                ipc: switch("ipcns"),
            },
            state_dir: self.state_dir()?,
            subid_source: self
                .word(
                    "",
                    "subid-source",
                    &[
                        ("auto", SubidSource::Auto),
                        ("dynamic", SubidSource::Dynamic),
                        ("static", SubidSource::Static),
                    ],
                )?
                .unwrap_or(SubidSource::Auto),
            slirp4netns: self.program("slirp4netns-binary", "slirp4netns"),
            pasta: self.program("pasta-binary", "pasta"),
            sandbox: layer("SLIRP4NETNS_SANDBOX", "slirp4netns-sandbox")?.unwrap_or(Layer::Auto),
            seccomp: layer("SLIRP4NETNS_SECCOMP", "slirp4netns-seccomp")?.unwrap_or(Layer::Auto),
            single_id: false,
            warnings,
        })
    }

    fn net(&self, warnings: &mut Vec<String>) -> Result<Option<NetDriver>, BadOption> {
        let Some(value) = self.value("NET", "net") else {
            return Ok(None);
        };
        let origin = self.origin("NET", "net");
        match value.as_str() {
            "host" => Ok(Some(NetDriver::Host)),
            "none" => Ok(Some(NetDriver::None)),
            "pasta" => Ok(Some(NetDriver::Pasta)),
            "slirp4netns" => Ok(Some(NetDriver::Slirp4netns)),
            "gvisor-tap-vsock" => {
                warnings.push(format!(
                    "{origin}={value}: that driver is a part of rootlesskit; slirp4netns or pasta \
                     takes its place"
                ));
                Ok(None)
            }
            _ => Err(bad(
                origin,
                format!("{value:?} is not supported: slirp4netns, pasta and none are"),
            )),
        }
    }

    fn port_driver(
        &self,
        net: Option<NetDriver>,
        warnings: &mut Vec<String>,
    ) -> Result<PortDriver, BadOption> {
        let Some(value) = self.value("PORT_DRIVER", "port-driver") else {
            return Ok(PortDriver::Builtin);
        };
        let origin = self.origin("PORT_DRIVER", "port-driver");
        match value.as_str() {
            "builtin" => Ok(PortDriver::Builtin),
            "none" => Ok(PortDriver::None),
            "implicit" if net == Some(NetDriver::Pasta) => Ok(PortDriver::Implicit),
            "implicit" => Err(bad(origin, "implicit needs the network driver pasta")),
            "slirp4netns" | "gvisor-tap-vsock" | "pesto" => {
                warnings.push(format!(
                    "{origin}={value}: the builtin driver takes its place, which is faster and \
                     keeps client addresses"
                ));
                Ok(PortDriver::Builtin)
            }
            _ => Err(bad(
                origin,
                format!("{value:?} is not supported: builtin, implicit and none are"),
            )),
        }
    }

    fn mtu(&self) -> Result<Option<u32>, BadOption> {
        let Some(value) = self.value("MTU", "mtu") else {
            return Ok(None);
        };
        match value.parse() {
            Ok(0) => Ok(None), // rootlesskit's word for its default
            Ok(mtu @ 68..=65521) => Ok(Some(mtu)),
            _ => Err(bad(
                self.origin("MTU", "mtu"),
                format!("{value:?} is not an MTU from 68 to 65521"),
            )),
        }
    }

    fn cidr(&self) -> Result<Option<Net4>, BadOption> {
        let Some(value) = self.flags.value("cidr") else {
            return Ok(None);
        };
        // slirp4netns takes /8 to /25: it needs the 100th address.
        let net: Option<Net4> = value.parse().ok();
        match net.filter(|net| net.to_string() == value && (8..=25).contains(&net.length())) {
            Some(net) => Ok(Some(net)),
            None => Err(bad(
                "--cidr",
                format!("{value:?} is not the address of a network from /8 to /25"),
            )),
        }
    }

    fn ifname(&self) -> Result<String, BadOption> {
        let name = self.flags.value("ifname").unwrap_or("tap0");
        let plain = |c: char| c.is_ascii_graphic() && !"/:".contains(c);
        if name.is_empty() || name.len() > 15 || !name.chars().all(plain) {
            let reason = format!("{name:?} is not the name of an interface");
            return Err(bad("--ifname", reason));
        }
        Ok(name.to_owned())
    }

    fn state_dir(&self) -> Result<Option<PathBuf>, BadOption> {
        let Some(value) = self.value("STATE_DIR", "state-dir") else {
            return Ok(None);
        };
        let path = PathBuf::from(&value);
        if path.is_absolute() {
            Ok(Some(path))
        } else {
            let reason = format!("{value:?} is not an absolute path");
            Err(bad(self.origin("STATE_DIR", "state-dir"), reason))
        }
    }

    fn program(&self, flag: &str, default: &str) -> String {
        let given = self.flags.value(flag).filter(|value| !value.is_empty());
        given.unwrap_or(default).to_owned()
    }
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
