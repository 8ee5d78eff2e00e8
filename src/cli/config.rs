//! What the user wants, checked and typed. Knows nothing of the machine.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::bad::{self, BadSettings, Reader};
use super::daemon_args::DaemonArgs;
use super::environment::Environment;
use super::lifetime::{self, Lifetime};
use super::settings;
use super::size;
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
    pub identity: Identity,
    /// Our working directory, which is dockerd's: relative socket paths are below it.
    pub directory: PathBuf,
    /// Variables that look like a mistyped setting of ours, with what was probably meant.
    pub misspelt: Vec<(String, Option<&'static str>)>,
}

impl Config {
    /// Types and checks everything that the user said.
    ///
    /// # Errors
    /// Every variable with a value that is not allowed.
    pub fn new(
        form: CommandForm,
        arguments: &[OsString],
        env: Environment,
        identity: Identity,
    ) -> Result<Self, BadSettings> {
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
        let misspelt = env.pairs().iter().filter_map(|(name, _)| {
            let name = name.to_str()?;
            Some((name.to_owned(), settings::misspelt(name, &env)?))
        });
        let mut read = Reader::new(&env);
        judged_elsewhere(&mut read);
        let config = Self {
            form,
            daemon: DaemonArgs::parse(arguments),
            holder: read.word(
                "DIND_SOCKETS",
                SocketHolder::Us,
                &[
                    ("held", SocketHolder::Us),
                    ("dockerd", SocketHolder::Dockerd),
                ],
            ),
            docker_host: docker_host.map(str::to_owned),
            tls,
            socket_group: text(&env, "DIND_SOCKET_GID").map(|group| GroupName::parse(&group)),
            socket_mode: read
                .setting("DIND_SOCKET_MODE", socket_mode)
                .unwrap_or(0o660),
            socket_paths: read
                .setting("DIND_SOCKET_PATHS", socket_paths)
                .unwrap_or_default(),
            tcp: read.word(
                "DIND_TCP",
                TcpPolicy::Any,
                &[
                    ("any", TcpPolicy::Any),
                    ("loopback", TcpPolicy::Loopback),
                    ("refuse", TcpPolicy::Refuse),
                ],
            ),
            preflight: read.word(
                "DIND_PREFLIGHT",
                Preflight::Refuse,
                &[("refuse", Preflight::Refuse), ("warn", Preflight::Warn)],
            ),
            cgroup: switch(&mut read, "DIND_CGROUP"),
            memory_reserve: read
                .setting("DIND_MEMORY_RESERVE", size::bytes)
                .filter(|bytes| *bytes > 0),
            sysctl: switch(&mut read, "DIND_SYSCTL"),
            tmp: switch(&mut read, "DIND_TMP"),
            dns: switch(&mut read, "DIND_DNS"),
            mtu: switch(&mut read, "DIND_MTU"),
            iptables: match env.get("DOCKER_IPTABLES_LEGACY") {
                None => IptablesWish::Auto,
                Some(value) if value.is_empty() => IptablesWish::Default,
                Some(_) => IptablesWish::Legacy,
            },
            lifetime: Lifetime::read(&mut read, &env, identity),
            firewall: read.word(
                "DIND_FIREWALL",
                FirewallWish::Auto,
                &[
                    ("auto", FirewallWish::Auto),
                    ("iptables", FirewallWish::Iptables),
                    ("nftables", FirewallWish::Nftables),
                ],
            ),
            storage: read.word(
                "DIND_STORAGE",
                StoragePolicy::Auto,
                &[
                    ("auto", StoragePolicy::Auto),
                    ("strict", StoragePolicy::Strict),
                ],
            ),
            tls_untrusted: read.word(
                "DIND_TLS_UNTRUSTED",
                Untrusted::Warn,
                &[("warn", Untrusted::Warn), ("refuse", Untrusted::Refuse)],
            ),
            misspelt: misspelt.collect(),
            env: env.clone(),
            identity,
            directory: PathBuf::from("/"),
        };
        read.finish()?;
        Ok(config)
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

/// Settings whose meaning is decided at other times: the log's before anything else (log.rs), those
/// of a rootless daemon in rootless/. What they may hold is judged here, with all the others.
fn judged_elsewhere(read: &mut Reader<'_>) {
    read.setting("DIND_LOG_LEVEL", crate::log::level);
    read.setting("DIND_LOG_FORMAT", crate::log::form);
    read.setting("DIND_ROOTLESS", bad::switch);
    read.setting("DIND_ROOTLESS_SINGLE_ID", bad::switch);
    let ports = ["auto", "tap", "loopback"].map(|word| (word, ()));
    read.word("DIND_ROOTLESS_PORTS", (), &ports);
}

/// A variable's text, when it holds something.
pub(super) fn text(env: &Environment, name: &str) -> Option<String> {
    env.non_empty(name)
        .map(|value| value.to_string_lossy().into_owned())
}

fn switch(read: &mut Reader<'_>, name: &'static str) -> Switch {
    let words = [("auto", Switch::Auto), ("skip", Switch::Skip)];
    read.word(name, Switch::Auto, &words)
}

fn socket_mode(value: &str) -> Option<u32> {
    let digits = value.strip_prefix("0o").unwrap_or(value);
    // The owner must keep read and write: we and our probes connect as owner.
    let mode = u32::from_str_radix(digits, 8).ok();
    mode.filter(|m| *m <= 0o777 && m & 0o600 == 0o600)
}

fn socket_paths(value: &str) -> Option<Vec<PathBuf>> {
    let paths = value
        .split(',')
        .map(str::trim)
        .filter(|path| !path.is_empty());
    let paths: Vec<PathBuf> = paths
        .map(|path| PathBuf::from(path.strip_prefix("unix://").unwrap_or(path)))
        .collect();
    paths.iter().all(|path| path.is_absolute()).then_some(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::said::ROOT;
    use crate::explain::Explain as _;

    fn config(env: &[(&str, &str)]) -> Result<Config, BadSettings> {
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
            assert_eq!(error.0.len(), 1);
            assert_eq!(error.0[0].name, name);
            assert!(error.why().starts_with(name), "{}", error.why());
            assert_eq!(error.exit_code(), 78);
        }
    }

    #[test]
    fn every_setting_refuses_what_it_does_not_understand() {
        // Names, which only the machine can judge.
        let free = ["DIND_SOCKET_GID", "DIND_ROOTLESS_USER"];
        let ours = settings::SETTINGS.iter().map(|row| row.name);
        let ours: Vec<_> = ours
            .filter(|name| name.starts_with("DIND_") && !free.contains(name))
            .collect();
        let all: Vec<_> = ours.iter().map(|name| (*name, "garbage?")).collect();
        let mut named: Vec<_> = config(&all).unwrap_err().0;
        named.sort_by_key(|bad| bad.name);
        let mut expected = ours.clone();
        expected.sort_unstable();
        let named: Vec<_> = named.iter().map(|bad| bad.name).collect();
        assert_eq!(named, expected, "all of them, at once");
    }

    #[test]
    fn several_bad_settings_are_told_in_one_frame() {
        let error = config(&[
            ("DIND_LOG_LEVEL", "WARN"),
            ("DIND_LOG_FORMAT", "jsn"),
            ("DIND_ROOTLESS_SINGLE_ID", "maybe"),
        ]);
        expect_test::expect![[r#"
            error: 3 settings are not valid: DIND_LOG_LEVEL="WARN", DIND_LOG_FORMAT="jsn", DIND_ROOTLESS_SINGLE_ID="maybe"
              why    DIND_LOG_LEVEL takes: error, warn, info, debug
                     DIND_LOG_FORMAT takes: text, json
                     DIND_ROOTLESS_SINGLE_ID takes: 1, true, 0, false
              fix    write it as DIND_LOG_LEVEL=warn
                     change or remove DIND_LOG_FORMAT; the default is: text
                     change or remove DIND_ROOTLESS_SINGLE_ID; the default is: 0: subordinate ids are needed
        "#]]
        .assert_eq(&crate::explain::frame(&error.unwrap_err()));
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
