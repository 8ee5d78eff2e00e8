//! THE table of settings: `--help`, the README and the checks all come from here.

use super::environment::Environment;

/// One variable that users may set.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The variable.
    pub name: &'static str,
    /// What it may hold, as a user reads it.
    pub values: &'static str,
    /// What holds when it is not set.
    pub default: &'static str,
    /// One line of documentation.
    pub doc: &'static str,
    /// Whether the official image knows it too.
    pub official: bool,
}

/// Every variable that we honour.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "DOCKER_TLS_CERTDIR",
        values: "directory, or empty",
        default: "unset (the image sets /certs)",
        doc: "Certificates are kept and made here and TCP speaks TLS on 2376; empty or unset: \
              plain TCP on 2375.",
        official: true,
    },
    Setting {
        name: "DOCKER_TLS_SAN",
        values: "list of DNS:name, IP:address (DNS.1:name, too), or bare names and addresses",
        default: "empty",
        doc: "More names for the server certificate; what cannot be one is left out with a warning \
              where others can.",
        official: true,
    },
    Setting {
        name: "DOCKER_HOST",
        values: "unix://PATH (anything else is the client's and ignored)",
        default: "unix:///var/run/docker.sock; rootless: $XDG_RUNTIME_DIR/docker.sock",
        doc: "Where the unix socket is, when no --host is given.",
        official: true,
    },
    Setting {
        name: "DOCKER_IPTABLES_LEGACY",
        values: "non-empty: legacy; set but empty: not legacy",
        default: "unset: decided by looking",
        doc: "Which iptables backend dockerd finds first in PATH.",
        official: true,
    },
    Setting {
        name: "DIND_SOCKETS",
        values: "held, dockerd",
        default: "held",
        doc: "held: we bind the API sockets at once and hand them to dockerd as fd://; dockerd: \
              dockerd binds them itself, with exactly the official arguments.",
        official: false,
    },
    Setting {
        name: "DIND_SOCKET_GID",
        values: "number or group name",
        default: "--group, daemon.json, group docker, own gid",
        doc: "Group of the unix sockets.",
        official: false,
    },
    Setting {
        name: "DIND_SOCKET_MODE",
        values: "octal number, 0600 to 0777",
        default: "0660",
        doc: "Mode of the unix sockets.",
        official: false,
    },
    Setting {
        name: "DIND_SOCKET_PATHS",
        values: "list of absolute paths, separated by commas",
        default: "none",
        doc: "More unix sockets on which the API is served.",
        official: false,
    },
    Setting {
        name: "DIND_TCP",
        values: "any, loopback, refuse",
        default: "any",
        doc: "Plain TCP that is not on loopback: served with a warning, narrowed to loopback, or \
              refused. TLS is not concerned.",
        official: false,
    },
    Setting {
        name: "DIND_PREFLIGHT",
        values: "refuse, warn",
        default: "refuse",
        doc: "warn: go on where we would refuse because dockerd cannot work here.",
        official: false,
    },
    Setting {
        name: "DIND_CGROUP",
        values: "auto, skip",
        default: "auto",
        doc: "skip: leave the cgroup tree alone; limits of nested containers may not work.",
        official: false,
    },
    Setting {
        name: "DIND_MEMORY_RESERVE",
        values: "size: 64M, 1g, or bytes",
        default: "none",
        doc: "Nested containers together get this much less memory than this container has, so \
              that one that eats too much does not take dockerd with it; on cgroup version 2 it \
              grows with what dockerd and its helpers need.",
        official: false,
    },
    Setting {
        name: "DIND_SYSCTL",
        values: "auto, skip",
        default: "auto",
        doc: "auto: raise fs.inotify.max_user_instances and max_user_watches of the node where \
              they are too low for nested clusters and we may; skip: never.",
        official: false,
    },
    Setting {
        name: "DIND_TMP",
        values: "auto, skip",
        default: "auto",
        doc: "auto: a tmpfs on /tmp when it is empty and not a mount point; skip: never.",
        official: false,
    },
    Setting {
        name: "DIND_MTU",
        values: "auto, skip",
        default: "auto",
        doc: "auto: dockerd's networks get the MTU of the container's own uplink; skip: dockerd's \
              default of 1500.",
        official: false,
    },
    Setting {
        name: "DIND_DNS",
        values: "auto, skip",
        default: "auto",
        doc: "auto: when every resolver is on loopback, names of nested containers on the default \
              bridge and of builds go through a forwarder of ours; skip: never.",
        official: false,
    },
    Setting {
        name: "DIND_ROOTLESS",
        values: "1, true, 0, false",
        default: "0: rootless when not started as root",
        doc: "1: when started as root, become the image's user and run dockerd rootless; \
              CAP_SETUID and CAP_SETGID are enough for that.",
        official: false,
    },
    Setting {
        name: "DIND_ROOTLESS_USER",
        values: "user name or number",
        default: "rootless, or 1000",
        doc: "Whom to become with DIND_ROOTLESS=1.",
        official: false,
    },
    Setting {
        name: "DIND_ROOTLESS_PORTS",
        values: "auto, tap, loopback",
        default: "auto: loopback; tap with a userland-proxy of yours or none, where there is no IPv6",
        doc: "Where dockerd maps published ports to: loopback can publish on IPv6 alone; tap is \
              IPv4 only, and keeps client addresses of TCP without docker-proxy.",
        official: false,
    },
    Setting {
        name: "DIND_ROOTLESS_SINGLE_ID",
        values: "1, true, 0, false",
        default: "0: subordinate ids are needed",
        doc: "1: map one id only in rootless mode; images with files of other users than root \
              cannot be unpacked.",
        official: false,
    },
    Setting {
        name: "DOCKERD_ROOTLESS_ROOTLESSKIT_NET",
        values: "slirp4netns, pasta, none",
        default: "slirp4netns, or pasta where only that is installed",
        doc: "Network driver of rootless mode.",
        official: true,
    },
    Setting {
        name: "DOCKERD_ROOTLESS_ROOTLESSKIT_MTU",
        values: "68 to 65521",
        default: "65520",
        doc: "MTU of the tap device, and of dockerd's networks unless --mtu is given.",
        official: true,
    },
    Setting {
        name: "DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS",
        values: "flags of rootlesskit",
        default: "none",
        doc: "More wishes for the namespaces, such as --cidr, --ipv6, --publish; what cannot be honoured is refused by name.",
        official: true,
    },
    Setting {
        name: "DOCKERD_ROOTLESS_ROOTLESSKIT_PORT_DRIVER",
        values: "builtin, implicit, none",
        default: "builtin",
        doc: "Who serves published ports; implicit is pasta itself.",
        official: false,
    },
    Setting {
        name: "DOCKERD_ROOTLESS_ROOTLESSKIT_STATE_DIR",
        values: "absolute path",
        default: "$XDG_RUNTIME_DIR/dockerd-rootless",
        doc: "Where child_pid and api.sock are.",
        official: false,
    },
    Setting {
        name: "DOCKERD_ROOTLESS_ROOTLESSKIT_DISABLE_HOST_LOOPBACK",
        values: "false, or anything",
        default: "true",
        doc: "false: loopback of the outer container can be reached from inside, as 10.0.2.2.",
        official: false,
    },
    Setting {
        name: "DOCKERD_ROOTLESS_ROOTLESSKIT_SLIRP4NETNS_SANDBOX",
        values: "auto, true, false",
        default: "auto",
        doc: "slirp4netns in a mount namespace of its own.",
        official: false,
    },
    Setting {
        name: "DOCKERD_ROOTLESS_ROOTLESSKIT_SLIRP4NETNS_SECCOMP",
        values: "auto, true, false",
        default: "auto",
        doc: "slirp4netns under its own seccomp filter.",
        official: false,
    },
    Setting {
        name: "DOCKERD_ROOTLESS_ROOTLESSKIT_DETACH_NETNS",
        values: "true, 1, false, 0",
        default: "false",
        doc: "true: a warning, this version does not detach network namespaces.",
        official: false,
    },
    Setting {
        name: "DOCKER_DRIVER",
        values: "a storage driver's name",
        default: "unset: decided by trying",
        doc: "Read by dockerd, too. --storage-driver wins over it; it wins over daemon.json; the \
              name may be that of either image store.",
        official: true,
    },
    Setting {
        name: "DIND_TLS_UNTRUSTED",
        values: "warn, refuse",
        default: "warn",
        doc: "What happens where somebody else may have made, or can use, the CA of the TLS \
              clients: it belongs to another user, its key is readable for others, or its folder \
              is open to them.",
        official: false,
    },
    Setting {
        name: "DIND_STORAGE",
        values: "auto, strict",
        default: "auto",
        doc: "strict: refuse to start where only a storage driver works that copies every layer \
              (vfs, native); auto: start with a warning.",
        official: false,
    },
    Setting {
        name: "DIND_FIREWALL",
        values: "auto, iptables, nftables",
        default: "auto",
        doc: "nftables: engine 29 or newer programs nftables by itself, without iptables; auto: \
              iptables, with the backend that works here.",
        official: false,
    },
    Setting {
        name: "DIND_STOP_TIMEOUT",
        values: "duration: 9s, 500ms, 2m, or seconds",
        default: "9s (28s inside Kubernetes)",
        doc: "How long an asked stop may take before dockerd is killed; in Kubernetes \
              terminationGracePeriodSeconds − 1.",
        official: false,
    },
    Setting {
        name: "DIND_DRAIN",
        values: "now, or a list of idle, file:PATH, max:DURATION",
        default: "now",
        doc: "What an asked stop waits for, dockerd serving as before: no running container or \
              build, or a file. Not part of DIND_STOP_TIMEOUT; a second TERM or INT ends the wait.",
        official: false,
    },
    Setting {
        name: "DIND_RESTART",
        values: "never, on-failure, on-failure:N",
        default: "never (N: 5)",
        doc: "on-failure: a dockerd that was ready and died is started again, N times in 10 \
              minutes; clients wait meanwhile.",
        official: false,
    },
    Setting {
        name: "DIND_READY_FILE",
        values: "absolute path",
        default: "/run/dind-init/ready; rootless: $XDG_RUNTIME_DIR/dind-init/ready",
        doc: "This file exists while the API answers.",
        official: false,
    },
    Setting {
        name: "DIND_TERMINATION_LOG",
        values: "absolute path",
        default: "/dev/termination-log",
        doc: "A file that exists gets what ended the daemon, why, and what helps: Kubernetes shows \
              it as the pod's termination message.",
        official: false,
    },
    Setting {
        name: "DIND_EXIT_WHEN",
        values: "list of file:PATH, process:NAME, idle:DURATION, parent",
        default: "none",
        doc: "Stop with exit code 0 when the file appears, the last process of that name or the \
              parent is gone, or no container ran and no client was connected for so long. parent \
              and process need a shared pid namespace.",
        official: false,
    },
    Setting {
        name: "DIND_LOG_LEVEL",
        values: "error, warn, info, debug",
        default: "info",
        doc: "What dind-init itself says; dockerd has --log-level.",
        official: false,
    },
    Setting {
        name: "DIND_LOG_FORMAT",
        values: "text, json",
        default: "text",
        doc: "Form of our log lines, and of the error that a start ends with.",
        official: false,
    },
];

/// Names that begin like ours, mean nothing to us, and are no mistake: the official image sets the
/// first; the others are what Kubernetes makes of a service, and `docker run --link` of a container,
/// that is called `dind` or `dind-…`.
#[must_use]
fn foreign(name: &str, env: &Environment) -> bool {
    name == "DIND_COMMIT" || is_of_service(name) || is_of_link(name, env)
}

/// `X_SERVICE_HOST`, `X_SERVICE_PORT`, `X_SERVICE_PORT_NAME`, and `X_PORT_2376_TCP` with its parts.
fn is_of_service(name: &str) -> bool {
    let numbered = name.split("_PORT_").skip(1).any(|rest| {
        let (number, protocol) = rest.split_once('_').unwrap_or_default();
        number.parse::<u16>().is_ok()
            && ["TCP", "UDP", "SCTP"]
                .iter()
                .any(|known| protocol.starts_with(known))
    });
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || numbered
}

/// `X_PORT` with a URL in it, and what a link adds to that: `X_NAME` and `X_ENV_…`.
fn is_of_link(name: &str, env: &Environment) -> bool {
    let is_url = |port: &str| {
        let url = env.get(port).and_then(std::ffi::OsStr::to_str);
        url.is_some_and(|url| url.contains("://"))
    };
    let owner = name
        .strip_suffix("_NAME")
        .or_else(|| name.split_once("_ENV_").map(|(owner, _)| owner));
    (name.ends_with("_PORT") && is_url(name))
        || owner.is_some_and(|owner| is_url(&format!("{owner}_PORT")))
}

/// The setting that an unknown variable of our prefix was probably meant to be.
#[must_use]
pub fn misspelt(name: &str, env: &Environment) -> Option<Option<&'static str>> {
    if !name.starts_with("DIND_") || SETTINGS.iter().any(|s| s.name == name) || foreign(name, env) {
        return None;
    }
    let nearest = SETTINGS
        .iter()
        .map(|s| (distance(name, s.name), s.name))
        .min();
    Some(
        nearest
            .filter(|(distance, _)| *distance <= 3)
            .map(|(_, name)| name),
    )
}

/// Edit distance of two short words.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let best = (diagonal + usize::from(x != y))
                .min(left + 1)
                .min(*cell + 1);
            diagonal = std::mem::replace(cell, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// The table as the README shows it.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from("| variable | values | default | meaning |\n|---|---|---|---|\n");
    for setting in SETTINGS {
        let known = if setting.official { " (official)" } else { "" };
        text.push_str(&format!(
            "| `{}`{known} | {} | {} | {} |\n",
            setting.name, setting.values, setting.default, setting.doc
        ));
    }
    text
}

/// The table as `--help` shows it.
#[must_use]
pub fn help() -> String {
    let mut text = String::from("Variables:\n");
    for s in SETTINGS {
        text.push_str(&format!(
            "  {}\n      {}\n      values: {}; default: {}\n",
            s.name, s.doc, s.values, s.default
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_found_and_foreign_names_are_not() {
        let env: Environment = [
            ("DIND_PORT", "tcp://10.0.0.1:2376"),
            ("DIND_ROOTLESS_PORT", "tap"),
            ("DIND_JOB_PORT", "tcp://10.0.0.2:2376"),
        ]
        .into_iter()
        .collect();
        let misspelt = |name| misspelt(name, &env);
        assert_eq!(misspelt("DIND_SOCKET"), Some(Some("DIND_SOCKETS")));
        assert_eq!(misspelt("DIND_SOKET_GID"), Some(Some("DIND_SOCKET_GID")));
        assert_eq!(misspelt("DIND_SOMETHING_ELSE"), Some(None));
        // No URL: somebody's mistake.
        assert_eq!(
            misspelt("DIND_ROOTLESS_PORT"),
            Some(Some("DIND_ROOTLESS_PORTS"))
        );
        assert_eq!(misspelt("DIND_SOCKETS_NAME"), Some(None));
        for name in [
            "DIND_COMMIT",
            "DIND_TCP",
            "PATH",
            // A service `dind`, one `dind-job`, and a link.
            "DIND_PORT",
            "DIND_PORT_2376_TCP",
            "DIND_SERVICE_HOST",
            "DIND_JOB_SERVICE_HOST",
            "DIND_JOB_SERVICE_PORT",
            "DIND_JOB_SERVICE_PORT_DOCKER",
            "DIND_JOB_PORT",
            "DIND_JOB_PORT_2376_TCP",
            "DIND_JOB_PORT_2376_TCP_PROTO",
            "DIND_JOB_PORT_2376_TCP_PORT",
            "DIND_JOB_PORT_2376_TCP_ADDR",
            "DIND_STORAGE_PORT_53_UDP_ADDR",
            "DIND_NAME",
            "DIND_ENV_DOCKER_VERSION",
        ] {
            assert_eq!(misspelt(name), None, "{name}");
        }
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "UPDATE_EXPECT=1 writes the README's table"
    )]
    fn the_readme_shows_this_table() {
        const MARKS: (&str, &str) = (
            "<!-- settings: generated from src/cli/settings.rs; a test compares -->\n",
            "<!-- /settings -->",
        );
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let (before, rest) = readme.split_once(MARKS.0).unwrap();
        let (table, after) = rest.split_once(MARKS.1).unwrap();
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            let text = [before, MARKS.0, &markdown(), MARKS.1, after].concat();
            std::fs::write(path, text).unwrap();
        } else {
            assert_eq!(table, markdown(), "run the test with UPDATE_EXPECT=1");
        }
    }

    #[test]
    fn names_are_unique_and_documented() {
        let mut names: Vec<_> = SETTINGS.iter().map(|s| s.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SETTINGS.len());
        assert!(
            SETTINGS
                .iter()
                .all(|s| s.doc.ends_with('.') && !s.values.is_empty())
        );
    }
}
