//! dockerd's command line and environment.

use std::ffi::OsString;
use std::path::Path;

use serde::Serialize;

use super::listen::ListenPlan;
use super::tls_mode::{TLS_FILES, TLS_KEYS, adds_tls};
use crate::base::environment::Environment;
use crate::config::{CommandForm, Config, SocketHolder, TlsOption};
use crate::host::daemon_json::DaemonFile;

/// A flag that we add because of what the machine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AddedFlag {
    /// The flag, without dashes.
    pub name: &'static str,
    pub value: String,
    pub why: String,
}

impl AddedFlag {
    /// What is said where dockerd gets exactly the official arguments.
    #[must_use]
    pub fn left_out(&self) -> String {
        let Self { name, value, why } = self;
        format!("DIND_SOCKETS=dockerd: --{name}={value} is left out, which is needed: {why}")
    }
}

/// Whether the user has decided about a setting of dockerd's: by flag, or by key of the file.
/// `keys` are the names of the setting in the file, which for lists differ from the flag's.
#[must_use]
pub fn user_set(config: &Config, file: &DaemonFile, flag: &str, keys: &[&str]) -> bool {
    config.daemon.has(flag)
        || keys
            .iter()
            .chain([&flag])
            .any(|key| file.get(key).is_some())
}

/// A setting of dockerd's that has the same name as flag and as key of the file.
#[must_use]
pub fn user_text<'a>(config: &'a Config, file: &'a DaemonFile, name: &str) -> Option<&'a str> {
    config.daemon.value(name).or_else(|| file.text(name))
}

/// dockerd's arguments, with argv\[0\]. The user's come last.
#[must_use]
pub fn argv(
    config: &Config,
    file: &DaemonFile,
    listen: &ListenPlan,
    added: &[AddedFlag],
) -> Vec<OsString> {
    let mut argv: Vec<OsString> = vec!["dockerd".into()];
    let held = !listen.sockets.is_empty();
    if held {
        argv.push("--host=fd://".into());
    }
    let hosts = if held || listen.by_script {
        listen.left_to_dockerd.clone()
    } else {
        official_hosts(config, file)
    };
    argv.extend(hosts.iter().map(|host| format!("--host={host}").into()));
    argv.extend(tls_flags(config, file, listen));
    argv.extend(
        added
            .iter()
            .map(|flag| format!("--{}={}", flag.name, flag.value).into()),
    );
    argv.extend(if held || listen.by_script {
        config.daemon.without("host")
    } else {
        config.daemon.words()
    });
    argv
}

/// The hosts that are added when dockerd binds by itself: the official arguments to the letter, except
/// where the file has `hosts`.
fn official_hosts(config: &Config, file: &DaemonFile) -> Vec<String> {
    if file.get("hosts").is_some() {
        return Vec::new();
    }
    let mut hosts = Vec::new();
    if config.form == CommandForm::Default {
        hosts.push(config.default_unix_host());
        hosts.push(config.default_tcp_host().to_string());
    }
    let paths = config.socket_paths.iter();
    hosts.extend(paths.map(|path| format!("unix://{}", path.display())));
    hosts
}

/// `--tlsverify` and its files, without those that daemon.json has; or `--tls=false`,
/// which spares dockerd's 16 seconds of sleep, where TLS was turned off on purpose.
fn tls_flags(config: &Config, file: &DaemonFile, listen: &ListenPlan) -> Vec<OsString> {
    let mut flags: Vec<OsString> = Vec::new();
    match &config.tls {
        TlsOption::Directory { dir, .. } if adds_tls(config) => {
            if file.get("tlsverify").is_none() {
                flags.push("--tlsverify".into());
            }
            for (name, path) in TLS_FILES {
                if file.get(name).is_none() {
                    flags.push(format!("--{name}").into());
                    flags.push(dir.join(path).into());
                }
            }
        }
        TlsOption::Off
            if (config.holder == SocketHolder::Dockerd || listen.by_script)
                && config.form == CommandForm::Default
                && TLS_KEYS
                    .iter()
                    .all(|key| !config.daemon.has(key) && file.get(key).is_none()) =>
        {
            flags.push("--tls=false".into());
        }
        TlsOption::Unset | TlsOption::Off | TlsOption::Directory { .. } => {}
    }
    flags
}

/// dockerd's environment: ours, unchanged but for what the statements ask for. `first` is a
/// directory that comes first in its PATH.
#[must_use]
pub fn environment(config: &Config, first: Option<&Path>, notify: &Path) -> Environment {
    let mut env = config.env.clone().without_service_manager();
    if let Some(dir) = first {
        let mut path = dir.as_os_str().to_owned();
        if let Some(old) = config.env.get("PATH") {
            path.push(":");
            path.push(old);
        }
        env = env.with("PATH", path);
    }
    env.with("NOTIFY_SOCKET", notify)
}

/// Flags that daemon.json sets, too: dockerd refuses every such pair (moby
/// `findConfigurationConflicts`), so they are told before it starts.
#[must_use]
pub fn conflicts(config: &Config, file: &DaemonFile) -> Vec<String> {
    let flags: Vec<&str> = config
        .daemon
        .flags()
        .map(|flag| flag.name.as_str())
        .collect();
    file.keys()
        .filter(|key| flags.contains(key))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::listen::ListenFacts;
    use crate::host::said::{config_in, file};
    use crate::plan::listen;

    /// The command line, one word after the other, for a form, its words, variables and a file.
    fn line(form: CommandForm, words: &[&str], env: &[(&str, &str)], json: &str) -> String {
        let config = config_in(form, words, env);
        let facts = ListenFacts {
            ipv6: true,
            ..ListenFacts::default()
        };
        let listen = listen::plan(&config, &file(json), &facts).unwrap();
        let argv = argv(&config, &file(json), &listen, &[]);
        argv.iter()
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    const CERTS: (&str, &str) = ("DOCKER_TLS_CERTDIR", "/certs");
    const OFF: (&str, &str) = ("DOCKER_TLS_CERTDIR", "");
    const BY_DOCKERD: (&str, &str) = ("DIND_SOCKETS", "dockerd");

    #[test]
    fn the_official_argv_is_kept_to_the_letter_when_dockerd_binds() {
        use CommandForm::{Default, Explicit};
        for (form, words, env, json, expected) in [
            (
                Default,
                &["--debug"][..],
                &[BY_DOCKERD][..],
                "",
                "dockerd --host=unix:///var/run/docker.sock --host=tcp://0.0.0.0:2375 --debug",
            ),
            (
                Default,
                &[],
                &[BY_DOCKERD, CERTS],
                "",
                "dockerd --host=unix:///var/run/docker.sock --host=tcp://0.0.0.0:2376 --tlsverify \
              --tlscacert /certs/server/ca.pem --tlscert /certs/server/cert.pem \
              --tlskey /certs/server/key.pem",
            ),
            (
                Default,
                &[],
                &[BY_DOCKERD, OFF],
                "",
                "dockerd --host=unix:///var/run/docker.sock --host=tcp://0.0.0.0:2375 --tls=false",
            ),
            (
                Default,
                &["--tlsverify=false"],
                &[BY_DOCKERD, OFF],
                "",
                "dockerd --host=unix:///var/run/docker.sock --host=tcp://0.0.0.0:2375 \
              --tlsverify=false",
            ),
            (
                Default,
                &[],
                &[BY_DOCKERD, ("DOCKER_HOST", "unix:///x.sock")],
                "",
                "dockerd --host=unix:///x.sock --host=tcp://0.0.0.0:2375",
            ),
            (
                Default,
                &[],
                &[BY_DOCKERD, ("DOCKER_HOST", "tcp://docker:2375")],
                "",
                "dockerd --host=unix:///var/run/docker.sock --host=tcp://0.0.0.0:2375",
            ),
            (
                Explicit,
                &["-H", "unix:///y", "-D"],
                &[BY_DOCKERD, CERTS],
                "",
                "dockerd -H unix:///y -D",
            ),
            (
                Default,
                &[],
                &[BY_DOCKERD],
                r#"{"hosts":["unix:///z"]}"#,
                "dockerd",
            ),
        ] {
            assert_eq!(line(form, words, env, json), expected, "{words:?} {env:?}");
        }
    }

    #[test]
    fn our_sockets_are_handed_over_and_every_host_of_the_users_is_taken_over() {
        use CommandForm::{Default, Explicit};
        for (form, words, env, json, expected) in [
            (Default, &[][..], &[][..], "", "dockerd --host=fd://"),
            (
                Default,
                &["-Htcp://0.0.0.0:2375", "--mtu", "1400"],
                &[],
                "",
                "dockerd --host=fd:// --mtu 1400",
            ),
            (
                Default,
                &[],
                &[CERTS],
                "",
                "dockerd --host=fd:// --tlsverify --tlscacert /certs/server/ca.pem \
              --tlscert /certs/server/cert.pem --tlskey /certs/server/key.pem",
            ),
            (
                Default,
                &[],
                &[CERTS],
                r#"{"tlsverify":true,"tlskey":"/k"}"#,
                "dockerd --host=fd:// --tlscacert /certs/server/ca.pem \
              --tlscert /certs/server/cert.pem",
            ),
            (Explicit, &[], &[CERTS], "", "dockerd --host=fd://"),
            (
                Explicit,
                &["--host", "unix:///y", "--host=tcp://name:1"],
                &[],
                "",
                "dockerd --host=fd:// --host=tcp://name:1",
            ),
            (
                Default,
                &["--debug"],
                &[OFF],
                r#"{"hosts":["unix:///z"]}"#,
                "dockerd --debug",
            ),
        ] {
            assert_eq!(line(form, words, env, json), expected, "{words:?} {env:?}");
        }
    }

    #[test]
    fn a_flag_that_the_file_sets_too_is_a_conflict() {
        let config = config_in(CommandForm::Explicit, &["--debug", "--mtu=1400"], &[]);
        assert_eq!(
            conflicts(&config, &file(r#"{"mtu":1,"runtimes":{}}"#)),
            ["mtu"]
        );
    }

    #[test]
    fn dockerds_environment_is_ours_but_for_what_is_meant_for_us() {
        let env = [
            ("NOTIFY_SOCKET", "/outer"),
            ("PATH", "/bin"),
            ("DOCKER_DRIVER", "overlay2"),
        ];
        let config = config_in(CommandForm::Default, &[], &env);
        let words = environment(&config, Some(Path::new("/legacy")), Path::new("/run/n")).words();
        assert_eq!(
            words,
            [
                "PATH=/legacy:/bin",
                "DOCKER_DRIVER=overlay2",
                "NOTIFY_SOCKET=/run/n",
            ]
        );
    }
}
