//! Request as they are written: variables and flags, word by word. A flag wins over its variable.

use std::path::PathBuf;

use super::flags::Flags;
use super::port::PortSpec;
use super::{MoreNamespaces, NetDriver, Options, PortDriver, Propagation, SubidSource};
use crate::base::environment::Environment;
use crate::base::net4::Net4;
use crate::config::bad::{BadSetting, BadSettings};
use crate::config::setting::{Setting, Takes};
use crate::config::settings::rootless::{
    DETACH_NETNS, MTU, NET, PORT_DRIVER, SANDBOX, SECCOMP, STATE_DIR,
};
use crate::config::settings::{ROOTLESS_PORTS, ROOTLESS_SINGLE_ID};

/// The networks of the persona, which has one more.
pub(super) const ANY_NET: Takes<Option<NetDriver>> =
    Takes::Text("host, slirp4netns, pasta, none", |word| match word {
        "host" => Some(Some(NetDriver::Host)),
        _ => net(word),
    });

const CIDR: Takes<Net4> = Takes::Text("the address of a network from /8 to /25", |text| {
    let net: Net4 = text.parse().ok()?;
    // slirp4netns takes /8 to /25: it needs the 100th address.
    let fits = net.to_string() == text && (8..=25).contains(&net.length());
    fits.then_some(net)
});

const INTERFACE: Takes<String> = Takes::Text("the name of an interface", |name| {
    let plain = |c: char| c.is_ascii_graphic() && !"/:".contains(c);
    let fits = (1..=15).contains(&name.len()) && name.chars().all(plain);
    fits.then(|| name.to_owned())
});

const PROPAGATION: Takes<Propagation> = Takes::Words(&[
    ("rprivate", Propagation::Private),
    ("private", Propagation::Private),
    ("rslave", Propagation::Slave),
    ("slave", Propagation::Slave),
]);

const SUBID_SOURCE: Takes<SubidSource> = Takes::Words(&[
    ("auto", SubidSource::Auto),
    ("dynamic", SubidSource::Dynamic),
    ("static", SubidSource::Static),
]);

/// Everything is reaped, whatever it says.
const REAPER: Takes<()> = Takes::Words(&[("auto", ()), ("true", ()), ("false", ())]);

const COPY_UP_MODE: Takes<()> = Takes::Words(&[("tmpfs+symlink", ())]);

const COPY_UP: Takes<PathBuf> = Takes::Text("absolute paths besides / and those in /tmp", |word| {
    let path = PathBuf::from(word);
    let fits = path.is_absolute() && path != *"/" && !path.starts_with("/tmp");
    fits.then_some(path)
});

/// A network driver; nothing where one that we have not is to be replaced.
pub(crate) fn net(word: &str) -> Option<Option<NetDriver>> {
    match word {
        "none" => Some(Some(NetDriver::None)),
        "pasta" => Some(Some(NetDriver::Pasta)),
        "slirp4netns" => Some(Some(NetDriver::Slirp4netns)),
        "gvisor-tap-vsock" => Some(None),
        _ => None,
    }
}

/// The same for a port driver.
pub(crate) fn port_driver(word: &str) -> Option<Option<PortDriver>> {
    match word {
        "builtin" => Some(Some(PortDriver::Builtin)),
        "none" => Some(Some(PortDriver::None)),
        "implicit" => Some(Some(PortDriver::Implicit)),
        "slirp4netns" | "gvisor-tap-vsock" | "pesto" => Some(None),
        _ => None,
    }
}

/// An MTU; 0 is rootlesskit's word for its default.
pub(crate) fn mtu(text: &str) -> Option<Option<u32>> {
    match text.parse().ok()? {
        0 => Some(None),
        mtu => (68..=65521).contains(&mtu).then_some(Some(mtu)),
    }
}

/// Both sources, and what is bad in them.
pub(super) struct Request<'a> {
    /// Variables.
    pub(super) env: &'a Environment,
    pub(super) flags: &'a Flags,
    /// What is not understood.
    pub(super) bad: &'a mut BadSettings,
}

impl Request<'_> {
    fn word<T: Clone>(&mut self, flag: &str, word: &str, takes: &Takes<T>) -> Option<T> {
        let read = takes.read(word);
        if read.is_none() {
            let bad = BadSetting::new(format!("--{flag}"), word, &takes.values());
            self.bad.0.push(bad);
        }
        read
    }

    fn flag<T: Clone>(&mut self, flag: &str, takes: &Takes<T>) -> Option<T> {
        let word = self.flags.value(flag)?;
        self.word(flag, word, takes)
    }

    /// What has a flag and a variable.
    fn either<T: Clone>(&mut self, row: &Setting<T>, flag: &str) -> T {
        match self.flags.has(flag) {
            true => self
                .flag(flag, &row.takes)
                .unwrap_or_else(|| row.default.1.clone()),
            false => row.of(self.env),
        }
    }

    /// Which of them counts, with its value.
    fn origin<T>(&self, row: &Setting<T>, flag: &str) -> Option<(String, String)> {
        if let Some(word) = self.flags.value(flag) {
            return Some((format!("--{flag}"), word.to_owned()));
        }
        let word = self.env.non_empty(row.name)?;
        Some((row.name.to_owned(), word.to_string_lossy().into_owned()))
    }

    /// What is the same for dockerd and for the persona, but for the network drivers that there are.
    pub(super) fn common(&mut self, nets: &Takes<Option<NetDriver>>) -> Options {
        let net = match self.flags.has("net") {
            true => self.flag("net", nets).flatten(),
            false => NET.of(self.env),
        };
        let mut warnings = Vec::new();
        if net.is_none()
            && let Some((origin, word)) = self.origin(&NET, "net")
        {
            warnings.push(format!(
                "{origin}={word}: that driver is a part of rootlesskit; slirp4netns or pasta takes \
                 its place"
            ));
        }
        let port_driver = self.either(&PORT_DRIVER, "port-driver");
        if let Some((origin, word)) = self.origin(&PORT_DRIVER, "port-driver") {
            if port_driver.is_none() {
                warnings.push(format!(
                    "{origin}={word}: the builtin driver takes its place, which is faster and \
                     keeps client addresses"
                ));
            } else if port_driver == Some(PortDriver::Implicit) && net != Some(NetDriver::Pasta) {
                let bad = BadSetting::new(origin, &word, &PORT_DRIVER.takes.values());
                let bad = bad.with_help("implicit needs the network driver pasta");
                self.bad.0.push(bad);
            }
        }
        if self.either(&DETACH_NETNS, "detach-netns") {
            warnings.push(
                "detached network namespaces are not part of this version: pulls go through the \
                 network driver"
                    .into(),
            );
        }
        if let Some(name) = self.flags.value("evacuate-cgroup2") {
            warnings.push(format!(
                "--evacuate-cgroup2={name} has no effect: where it can, dind-init hands a \
                 part of its cgroup to dockerd without being asked"
            ));
        }
        self.flag("copy-up-mode", &COPY_UP_MODE);
        self.flag("reaper", &REAPER);
        let flags = self.flags;
        let switch = |name| flags.switch(name).unwrap_or(false);
        Options {
            net,
            mtu: self.either(&MTU, "mtu"),
            cidr: self.flag("cidr", &CIDR),
            ifname: self
                .flag("ifname", &INTERFACE)
                .unwrap_or_else(|| "tap0".to_owned()),
            ipv6: switch("ipv6"),
            host_loopback: false,
            port_driver: port_driver.unwrap_or(PortDriver::Builtin),
            publish: self.publish(),
            child_side: ROOTLESS_PORTS.of(self.env),
            source_address: flags.switch("source-ip-transparent").unwrap_or(true),
            copy_up: Vec::new(),
            propagation: self
                .flag("propagation", &PROPAGATION)
                .unwrap_or(Propagation::Private),
            more: MoreNamespaces {
                pid: switch("pidns"),
                cgroup: switch("cgroupns"),
                uts: switch("utsns"),
                ipc: switch("ipcns"),
            },
            state_dir: self.either(&STATE_DIR, "state-dir"),
            subid_source: self
                .flag("subid-source", &SUBID_SOURCE)
                .unwrap_or(SubidSource::Auto),
            slirp4netns: self.program("slirp4netns-binary", "slirp4netns"),
            pasta: self.program("pasta-binary", "pasta"),
            sandbox: self.either(&SANDBOX, "slirp4netns-sandbox"),
            seccomp: self.either(&SECCOMP, "slirp4netns-seccomp"),
            single_id: ROOTLESS_SINGLE_ID.of(self.env),
            warnings,
        }
    }

    fn publish(&mut self) -> Vec<PortSpec> {
        let mut specs = Vec::new();
        for text in self.flags.list("publish") {
            match PortSpec::parse_list(text) {
                Ok(list) => specs.extend(list),
                Err(error) => {
                    let bad = BadSetting::new("--publish", text, "").with_help(error);
                    self.bad.0.push(bad);
                }
            }
        }
        specs
    }

    /// These directories, and those of the flag.
    pub(super) fn copy_up(&mut self, own: &[&str]) -> Vec<PathBuf> {
        let mut list: Vec<_> = own.iter().map(PathBuf::from).collect();
        for word in self.flags.list("copy-up") {
            if let Some(path) = self.word("copy-up", word, &COPY_UP)
                && !list.contains(&path)
            {
                list.push(path);
            }
        }
        list
    }

    fn program(&self, flag: &str, default: &str) -> String {
        let given = self.flags.value(flag).filter(|value| !value.is_empty());
        given.unwrap_or(default).to_owned()
    }
}
