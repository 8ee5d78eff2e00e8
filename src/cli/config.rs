//! What the user wants, checked and typed. Knows nothing of the machine.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::daemon_args::DaemonArgs;
use super::environment::Environment;
use super::lifetime::{self, Lifetime};
use super::settings;
use super::size;
use crate::explain::{Explain, exit};
use crate::tls::Untrusted;

pub use super::wish::{
    CommandForm, FirewallWish, GroupName, Identity, IptablesWish, Preflight, SocketHolder,
    StoragePolicy, Switch, TcpPolicy, TlsWish,
};

/// Everything that the user decided.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which command form was used.
    pub form: CommandForm,
    /// The arguments for dockerd, without the word `dockerd`.
    pub daemon: DaemonArgs,
    /// Who binds the sockets.
    pub holder: SocketHolder,
    /// The unix socket named by DOCKER_HOST, exactly as written (S3).
    pub docker_host: Option<String>,
    /// TLS.
    pub tls: TlsWish,
    /// DIND_SOCKET_GID.
    pub socket_group: Option<GroupName>,
    /// DIND_SOCKET_MODE.
    pub socket_mode: u32,
    /// DIND_SOCKET_PATHS.
    pub socket_paths: Vec<PathBuf>,
    /// DIND_TCP.
    pub tcp: TcpPolicy,
    /// DIND_PREFLIGHT.
    pub preflight: Preflight,
    /// DIND_CGROUP.
    pub cgroup: Switch,
    /// DIND_MEMORY_RESERVE, in bytes.
    pub memory_reserve: Option<u64>,
    /// DIND_SYSCTL.
    pub sysctl: Switch,
    /// DIND_TMP.
    pub tmp: Switch,
    /// DIND_DNS.
    pub dns: Switch,
    /// DIND_MTU.
    pub mtu: Switch,
    /// DOCKER_IPTABLES_LEGACY.
    pub iptables: IptablesWish,
    /// What ends the daemon, and how.
    pub lifetime: Lifetime,
    /// DIND_FIREWALL.
    pub firewall: FirewallWish,
    /// DIND_STORAGE.
    pub storage: StoragePolicy,
    /// DIND_TLS_UNTRUSTED.
    pub tls_untrusted: Untrusted,
    /// The environment, for dockerd.
    pub env: Environment,
    /// Who we are.
    pub identity: Identity,
    /// Variables that look like a mistyped setting of ours, with what was probably meant.
    pub misspelt: Vec<(String, Option<&'static str>)>,
}

/// A variable holds something that we do not understand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}={value:?} is not a valid setting")]
pub struct BadSetting {
    /// The variable.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

impl Explain for BadSetting {
    fn why(&self) -> String {
        let values = settings::SETTINGS
            .iter()
            .find(|s| s.name == self.name)
            .map(|s| s.values);
        format!(
            "{} takes: {}",
            self.name,
            values.unwrap_or("something else")
        )
    }
    fn fix(&self) -> String {
        let default = settings::SETTINGS
            .iter()
            .find(|s| s.name == self.name)
            .map(|s| s.default);
        format!(
            "change or remove the variable; the default is: {}",
            default.unwrap_or("unset")
        )
    }
    fn exit_code(&self) -> u8 {
        exit::REFUSED
    }
}

impl Config {
    /// Types and checks everything that the user said.
    ///
    /// # Errors
    /// The first variable with a value that is not allowed.
    pub fn new(
        form: CommandForm,
        arguments: &[OsString],
        env: Environment,
        identity: Identity,
    ) -> Result<Self, BadSetting> {
        let docker_host = env
            .get("DOCKER_HOST")
            .and_then(OsStr::to_str)
            .filter(|h| h.starts_with("unix://"));
        let tls = match env.get("DOCKER_TLS_CERTDIR") {
            None => TlsWish::Unset,
            Some(dir) if dir.is_empty() => TlsWish::Off,
            Some(dir) => TlsWish::Directory {
                dir: PathBuf::from(dir),
                san: text(&env, "DOCKER_TLS_SAN").unwrap_or_default(),
            },
        };
        // What it means is decided before anything else (rootless/enter.rs).
        word(
            &env,
            "DIND_ROOTLESS",
            (),
            &[("1", ()), ("true", ()), ("0", ()), ("false", ())],
        )?;
        let misspelt = env.pairs().iter().filter_map(|(name, _)| {
            let name = name.to_str()?;
            Some((name.to_owned(), settings::misspelt(name)?))
        });
        Ok(Self {
            form,
            daemon: DaemonArgs::parse(arguments),
            holder: word(
                &env,
                "DIND_SOCKETS",
                SocketHolder::Us,
                &[
                    ("held", SocketHolder::Us),
                    ("dockerd", SocketHolder::Dockerd),
                ],
            )?,
            docker_host: docker_host.map(str::to_owned),
            tls,
            socket_group: text(&env, "DIND_SOCKET_GID").map(|group| GroupName::parse(&group)),
            socket_mode: socket_mode(&env)?,
            socket_paths: socket_paths(&env)?,
            tcp: word(
                &env,
                "DIND_TCP",
                TcpPolicy::Any,
                &[
                    ("any", TcpPolicy::Any),
                    ("loopback", TcpPolicy::Loopback),
                    ("refuse", TcpPolicy::Refuse),
                ],
            )?,
            preflight: word(
                &env,
                "DIND_PREFLIGHT",
                Preflight::Refuse,
                &[("refuse", Preflight::Refuse), ("warn", Preflight::Warn)],
            )?,
            cgroup: switch(&env, "DIND_CGROUP")?,
            memory_reserve: memory_reserve(&env)?,
            sysctl: switch(&env, "DIND_SYSCTL")?,
            tmp: switch(&env, "DIND_TMP")?,
            dns: switch(&env, "DIND_DNS")?,
            mtu: switch(&env, "DIND_MTU")?,
            iptables: match env.get("DOCKER_IPTABLES_LEGACY") {
                None => IptablesWish::Auto,
                Some(value) if value.is_empty() => IptablesWish::Default,
                Some(_) => IptablesWish::Legacy,
            },
            lifetime: Lifetime::read(&env, identity)?,
            firewall: word(
                &env,
                "DIND_FIREWALL",
                FirewallWish::Auto,
                &[
                    ("auto", FirewallWish::Auto),
                    ("iptables", FirewallWish::Iptables),
                    ("nftables", FirewallWish::Nftables),
                ],
            )?,
            storage: word(
                &env,
                "DIND_STORAGE",
                StoragePolicy::Auto,
                &[
                    ("auto", StoragePolicy::Auto),
                    ("strict", StoragePolicy::Strict),
                ],
            )?,
            tls_untrusted: word(
                &env,
                "DIND_TLS_UNTRUSTED",
                Untrusted::Warn,
                &[("warn", Untrusted::Warn), ("refuse", Untrusted::Refuse)],
            )?,
            misspelt: misspelt.collect(),
            env,
            identity,
        })
    }

    /// The unix socket of the default command form, as `--host` writes it: DOCKER_HOST's (S3), or
    /// the standard one, for other users than root in their runtime directory (S4).
    #[must_use]
    pub fn default_unix_host(&self) -> String {
        match &self.docker_host {
            Some(host) => host.clone(),
            None if self.identity.uid == 0 => "unix:///var/run/docker.sock".into(),
            None => format!(
                "unix://{}",
                self.runtime_dir().join("docker.sock").display()
            ),
        }
    }

    /// `$XDG_RUNTIME_DIR`, or where it is by convention (S4).
    #[must_use]
    pub fn runtime_dir(&self) -> PathBuf {
        lifetime::runtime_dir(&self.env, self.identity.uid)
    }
}

/// A variable's text, when it holds something.
pub(super) fn text(env: &Environment, name: &str) -> Option<String> {
    env.non_empty(name)
        .map(|value| value.to_string_lossy().into_owned())
}

pub(super) fn bad(name: &'static str, value: impl Into<String>) -> BadSetting {
    BadSetting {
        name,
        value: value.into(),
    }
}

fn word<T: Copy>(
    env: &Environment,
    name: &'static str,
    default: T,
    words: &[(&str, T)],
) -> Result<T, BadSetting> {
    let Some(value) = text(env, name) else {
        return Ok(default);
    };
    let found = words.iter().find(|(word, _)| *word == value);
    found
        .map(|(_, meaning)| *meaning)
        .ok_or_else(|| bad(name, value))
}

fn switch(env: &Environment, name: &'static str) -> Result<Switch, BadSetting> {
    word(
        env,
        name,
        Switch::Auto,
        &[("auto", Switch::Auto), ("skip", Switch::Skip)],
    )
}

fn socket_mode(env: &Environment) -> Result<u32, BadSetting> {
    const NAME: &str = "DIND_SOCKET_MODE";
    let Some(value) = text(env, NAME) else {
        return Ok(0o660);
    };
    let digits = value.strip_prefix("0o").unwrap_or(&value);
    // The owner must keep read and write: we and our probes connect as owner.
    let mode = u32::from_str_radix(digits, 8)
        .ok()
        .filter(|m| *m <= 0o777 && m & 0o600 == 0o600);
    mode.ok_or_else(|| bad(NAME, value))
}

fn socket_paths(env: &Environment) -> Result<Vec<PathBuf>, BadSetting> {
    const NAME: &str = "DIND_SOCKET_PATHS";
    let Some(value) = text(env, NAME) else {
        return Ok(Vec::new());
    };
    let paths = value
        .split(',')
        .map(str::trim)
        .filter(|path| !path.is_empty());
    let paths: Vec<PathBuf> = paths
        .map(|path| PathBuf::from(path.strip_prefix("unix://").unwrap_or(path)))
        .collect();
    match paths.iter().find(|path| !path.is_absolute()) {
        Some(path) => Err(bad(NAME, path.display().to_string())),
        None => Ok(paths),
    }
}

fn memory_reserve(env: &Environment) -> Result<Option<u64>, BadSetting> {
    const NAME: &str = "DIND_MEMORY_RESERVE";
    let Some(value) = text(env, NAME) else {
        return Ok(None);
    };
    match size::bytes(&value) {
        Some(0) => Ok(None),
        Some(bytes) => Ok(Some(bytes)),
        None => Err(bad(NAME, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::said::ROOT;

    fn config(env: &[(&str, &str)]) -> Result<Config, BadSetting> {
        let env = env.iter().map(|(k, v)| (*k, *v)).collect();
        Config::new(CommandForm::Default, &[], env, ROOT)
    }

    #[test]
    fn only_a_unix_docker_host_is_ours() {
        let host = |value: &str| config(&[("DOCKER_HOST", value)]).unwrap().docker_host;
        assert_eq!(host("unix:///x.sock").as_deref(), Some("unix:///x.sock"));
        assert_eq!(host("tcp://docker:2376"), None);
    }

    #[test]
    fn bad_values_name_the_variable_and_what_it_takes() {
        for (name, value) in [
            ("DIND_SOCKETS", "both"),
            ("DIND_SOCKET_MODE", "0888"),
            ("DIND_SOCKET_MODE", "0060"),
            ("DIND_SOCKET_PATHS", "/a.sock,b.sock"),
            ("DIND_TCP", "yes"),
            ("DIND_PREFLIGHT", "ignore"),
            ("DIND_CGROUP", "no"),
            ("DIND_TMP", "1"),
            ("DIND_MEMORY_RESERVE", "some"),
            ("DIND_SYSCTL", "yes"),
            ("DIND_FIREWALL", "nft"),
            ("DIND_STORAGE", "overlay2"),
            ("DIND_STOP_TIMEOUT", "soon"),
        ] {
            let error = config(&[(name, value)]).expect_err(name);
            assert_eq!(error.name, name);
            assert!(error.why().starts_with(name), "{}", error.why());
            assert_eq!(error.exit_code(), 78);
        }
    }

    #[test]
    fn an_empty_setting_is_the_default() {
        let config = config(&[("DIND_SOCKETS", ""), ("DIND_SOCKET_PATHS", " , ")]).unwrap();
        assert_eq!(config.holder, SocketHolder::Us);
        assert!(config.socket_paths.is_empty());
        assert_eq!(config.socket_mode, 0o660);
    }

    #[test]
    fn tls_off_is_told_apart_from_tls_unset() {
        assert_eq!(config(&[]).unwrap().tls, TlsWish::Unset);
        assert_eq!(
            config(&[("DOCKER_TLS_CERTDIR", "")]).unwrap().tls,
            TlsWish::Off
        );
    }
}
