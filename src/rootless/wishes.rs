//! Wishes as they are written: variables and flags, word by word. A flag wins over its variable.

use std::path::PathBuf;

use super::flags::Flags;
use super::options::{
    BadOption, Layer, MoreNamespaces, NetDriver, Options, PortDriver, Propagation, SubidSource, bad,
};
use super::ports::api::info::ChildSide;
use super::ports::spec::PortSpec;
use crate::cli::environment::Environment;
use crate::host::net4::Net4;

/// Prefix of the variables of `dockerd-rootless.sh`.
pub(super) const PREFIX: &str = "DOCKERD_ROOTLESS_ROOTLESSKIT_";

/// The environment without our prefix.
pub(super) fn env_all(env: &Environment) -> Prefixed<'_> {
    Prefixed { env, prefix: "" }
}

/// Variables under a prefix.
pub(super) struct Prefixed<'a> {
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

/// A variable that is set to something.
pub(super) fn text<'a>(env: impl Into<Prefixed<'a>>, name: &str) -> Option<String> {
    let Prefixed { env, prefix } = env.into();
    let value = env.non_empty(&format!("{prefix}{name}"))?;
    Some(value.to_string_lossy().into_owned())
}

/// Both sources.
pub(super) struct Wishes<'a> {
    /// Variables.
    pub(super) env: &'a Environment,
    pub(super) flags: &'a Flags,
}

impl Wishes<'_> {
    fn value(&self, variable: &str, flag: &str) -> Option<String> {
        let given = self.flags.value(flag).map(str::to_owned);
        given.or_else(|| text(self.env, variable))
    }

    pub(super) fn origin(&self, variable: &str, flag: &str) -> String {
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

    /// Everything that holds a value, at once.
    fn judge(&self) -> Result<(), BadOption> {
        let words = ["auto", "true", "false"].map(|word| (word, ()));
        let yes_or_no = ["true", "1", "false", "0"].map(|word| (word, ()));
        BadOption::all([
            self.net(&mut Vec::new()).err(),
            self.word("DETACH_NETNS", "detach-netns", &yes_or_no).err(),
            self.word("SLIRP4NETNS_SANDBOX", "slirp4netns-sandbox", &words)
                .err(),
            self.word("SLIRP4NETNS_SECCOMP", "slirp4netns-seccomp", &words)
                .err(),
            self.mtu().err(),
            self.cidr().err(),
            self.ifname().err(),
            self.publish().err(),
            self.child_side().err(),
            self.state_dir().err(),
        ])
    }

    pub(super) fn common(&self) -> Result<Options, BadOption> {
        self.judge()?;
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
                "--evacuate-cgroup2={name} has no effect: where it can, dind-init hands a \
                 part of its cgroup to dockerd without being asked"
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
            publish: self.publish()?,
            child_side: self.child_side()?,
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

    fn publish(&self) -> Result<Vec<PortSpec>, BadOption> {
        let mut specs = Vec::new();
        for text in self.flags.list("publish") {
            let list = PortSpec::parse_list(text);
            specs.extend(list.map_err(|error| bad("--publish", error.to_string()))?);
        }
        Ok(specs)
    }

    fn child_side(&self) -> Result<Option<ChildSide>, BadOption> {
        const NAME: &str = "DIND_ROOTLESS_PORTS";
        match text(env_all(self.env), NAME).as_deref() {
            None | Some("auto") => Ok(None),
            Some("tap") => Ok(Some(ChildSide::Tap)),
            Some("loopback") => Ok(Some(ChildSide::Loopback)),
            Some(other) => Err(bad(
                NAME,
                format!("{other:?} is none of auto, tap, loopback"),
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
