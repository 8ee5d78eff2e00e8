//! What the user wants, checked and typed. Knows nothing of the machine.

pub mod address;
pub mod bad;
pub mod daemon_args;
pub mod go_flags;
pub mod lifetime;
pub mod misspelt;
pub mod rootless;
pub mod setting;
pub mod settings;
pub mod size;
pub mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use self::bad::BadSettings;
use self::daemon_args::DaemonArgs;
use self::lifetime::Lifetime;
use self::misspelt::misspelt;
use crate::base::environment::Environment;
use crate::config::rootless::Options;
use crate::tls::Untrusted;

pub use self::values::{
    CommandForm, FirewallOption, GroupName, Identity, IptablesOption, Mode, Preflight, Run,
    SocketHolder, StoragePolicy, Switch, TcpPolicy, TlsOption,
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
    /// The unix socket named by DOCKER_HOST, exactly as written.
    pub docker_host: Option<String>,
    pub tls: TlsOption,
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
    pub iptables: IptablesOption,
    /// What ends the daemon, and how.
    pub lifetime: Lifetime,
    /// The namespaces of a rootless daemon, where it is one.
    pub rootless: Option<Options>,
    /// DIND_FIREWALL.
    pub firewall: FirewallOption,
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
        let rootless = identity.mode() == Mode::Rootless || settings::ROOTLESS.of(&env);
        let mut bad = BadSettings::of(&env, rootless);
        let misspelt = env.pairs().iter().filter_map(|(name, _)| {
            let name = name.to_str()?;
            Some((name.to_owned(), misspelt(name, &env)?))
        });
        let config = Self {
            form,
            daemon: DaemonArgs::parse(arguments),
            holder: settings::SOCKETS.of(&env),
            docker_host: settings::HOST.of(&env),
            tls: match settings::TLS_CERTDIR.of(&env) {
                None => TlsOption::Unset,
                Some(dir) if dir.as_os_str().is_empty() => TlsOption::Off,
                Some(dir) => TlsOption::Directory {
                    dir,
                    san: settings::TLS_SAN.of(&env),
                },
            },
            socket_group: settings::SOCKET_GID.of(&env),
            socket_mode: settings::SOCKET_MODE.of(&env),
            socket_paths: settings::SOCKET_PATHS.of(&env),
            tcp: settings::TCP.of(&env),
            preflight: settings::PREFLIGHT.of(&env),
            cgroup: settings::CGROUP.of(&env),
            memory_reserve: settings::MEMORY_RESERVE.of(&env),
            sysctl: settings::SYSCTL.of(&env),
            tmp: settings::TMP.of(&env),
            dns: settings::DNS.of(&env),
            mtu: settings::DAEMON_MTU.of(&env),
            iptables: settings::IPTABLES_LEGACY.of(&env),
            lifetime: Lifetime::read(&env, identity, &mut bad),
            rootless: rootless.then(|| Options::read(&env, &mut bad)),
            firewall: settings::FIREWALL.of(&env),
            storage: settings::STORAGE.of(&env),
            tls_untrusted: settings::TLS_UNTRUSTED.of(&env),
            misspelt: misspelt.collect(),
            env: env.clone(),
            identity,
            directory: PathBuf::from("/"),
        };
        bad.or(config)
    }

    /// The unix socket of the default command form, as `--host` writes it: DOCKER_HOST's, or
    /// the standard one, for other users than root in their runtime directory.
    #[must_use]
    pub fn default_unix_host(&self) -> String {
        match &self.docker_host {
            Some(host) => host.clone(),
            None if self.mode() == Mode::Rootful => "unix:///var/run/docker.sock".into(),
            None => format!(
                "unix://{}",
                self.runtime_dir().join("docker.sock").display()
            ),
        }
    }

    /// The TCP address of the default command form.
    #[must_use]
    pub fn default_tcp_host(&self) -> address::Address {
        let tls = matches!(self.tls, TlsOption::Directory { .. });
        address::wildcard(if tls { 2376 } else { 2375 })
    }

    /// As whom dockerd is started.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.identity.mode()
    }

    /// `$XDG_RUNTIME_DIR`, or where it is by convention.
    #[must_use]
    pub fn runtime_dir(&self) -> PathBuf {
        lifetime::runtime_dir(&self.env, self.identity.uid)
    }

    /// The socket that an unprivileged user can always make: in the runtime directory.
    #[must_use]
    pub fn own_socket(&self) -> PathBuf {
        self.runtime_dir().join("docker.sock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::explain::Explain as _;
    use crate::host::said::ROOT;

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
        // What only the machine can judge, and where every value means something.
        let free = [
            "DIND_SOCKET_GID",
            "DIND_ROOTLESS_USER",
            "DOCKER_DRIVER",
            "DOCKER_HOST",
            "DOCKER_IPTABLES_LEGACY",
            "DOCKER_TLS_CERTDIR",
            "DOCKER_TLS_SAN",
            "DOCKERD_ROOTLESS_ROOTLESSKIT_DISABLE_HOST_LOOPBACK",
        ];
        let rows = settings::ALL.iter().map(|row| row.about().name);
        let rows: Vec<_> = rows.filter(|name| !free.contains(name)).collect();
        let refused = |identity| {
            let env = rows.iter().map(|name| (*name, "garbage?")).collect();
            let error = Config::new(CommandForm::Default, &[], env, identity).unwrap_err();
            let mut named: Vec<_> = error.0.into_iter().map(|bad| bad.name).collect();
            named.sort();
            named
        };
        let mut expected = rows.clone();
        expected.sort_unstable();
        let user = Identity { uid: 1000, ..ROOT };
        assert_eq!(refused(user), expected, "all of them, at once");
        expected.retain(|name| !name.starts_with(settings::rootless::PREFIX));
        assert_eq!(
            refused(ROOT),
            expected,
            "those of a rootless daemon mean nothing"
        );
    }

    #[test]
    fn one_report_has_the_settings_of_a_rootless_daemon_and_of_the_log() {
        let env = [
            ("DIND_ROOTLESS", "1"),
            ("DIND_LOG_LEVEL", "verbose"),
            ("DIND_LOG_FORMAT", "xml"),
            ("DOCKERD_ROOTLESS_ROOTLESSKIT_MTU", "9"),
            ("DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS", "--net=host"),
        ];
        let error = config(&env).unwrap_err().to_string();
        for pair in [
            "4 settings are not",
            "LEVEL=\"verbose\"",
            "FORMAT=\"xml\"",
            "MTU=\"9\"",
            "--net=\"host\"",
        ] {
            assert!(error.contains(pair), "{error}");
        }
        let one = crate::config::bad::log(&env.into_iter().collect()).unwrap_err();
        assert_eq!(one.0.len(), 2, "what a client refuses");
        assert!(config(&env[..1]).unwrap().rootless.is_some());
        assert!(config(&[]).unwrap().rootless.is_none());
    }

    #[test]
    fn several_bad_settings_are_told_in_one_frame() {
        let error = config(&[
            ("DIND_LOG_LEVEL", "WARN"),
            ("DIND_LOG_FORMAT", "jsn"),
            ("DIND_ROOTLESS_SINGLE_ID", "maybe"),
        ]);
        expect_test::expect![[r#"
            error: 3 settings are not valid: DIND_ROOTLESS_SINGLE_ID="maybe", DIND_LOG_LEVEL="WARN", DIND_LOG_FORMAT="jsn"
              why    DIND_ROOTLESS_SINGLE_ID takes: 1, true, 0, false
                     DIND_LOG_LEVEL takes: error, warn, info, debug
                     DIND_LOG_FORMAT takes: text, json
              fix    change or remove DIND_ROOTLESS_SINGLE_ID; the default is: 0: subordinate ids are needed
                     write it as DIND_LOG_LEVEL=warn
                     change or remove DIND_LOG_FORMAT; the default is: text
        "#]]
        .assert_eq(&crate::base::explain::frame(&error.unwrap_err()));
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
        assert_eq!(config(&[]).unwrap().tls, TlsOption::Unset);
        assert_eq!(
            config(&[("DOCKER_TLS_CERTDIR", "")]).unwrap().tls,
            TlsOption::Off
        );
    }
}
