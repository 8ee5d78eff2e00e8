//! THE table of settings. A row is the whole of one: what is read, checked, refused, shown by
//! `--help` and by the README comes from here.

use std::path::PathBuf;
use std::time::Duration;

use tracing::Level;

use super::lifetime::{self, Drain, ExitWhen, RestartPolicy};
use super::values::{
    self, FirewallOption, GroupName, IptablesOption, Preflight, SocketHolder, StoragePolicy,
    Switch, TcpPolicy, absolute,
};
use crate::config::rootless::ChildSide;
use crate::log::{self, Form};
use crate::tls::Untrusted;

pub use super::setting::{Row, Setting, Takes};

pub mod rootless;
pub mod text;

/// A step that can be switched off.
const SWITCH: Takes<Switch> = Takes::Words(&[("auto", Switch::Auto), ("skip", Switch::Skip)]);

/// Every variable that we honour, in the order in which they are shown.
pub static ALL: &[&dyn Row] = &[
    &TLS_CERTDIR,
    &TLS_SAN,
    &HOST,
    &IPTABLES_LEGACY,
    &SOCKETS,
    &SOCKET_GID,
    &SOCKET_MODE,
    &SOCKET_PATHS,
    &TCP,
    &PREFLIGHT,
    &CGROUP,
    &MEMORY_RESERVE,
    &SYSCTL,
    &TMP,
    &DAEMON_MTU,
    &DNS,
    &ROOTLESS,
    &ROOTLESS_USER,
    &ROOTLESS_PORTS,
    &ROOTLESS_SINGLE_ID,
    &rootless::NET,
    &rootless::MTU,
    &rootless::FLAGS,
    &rootless::PORT_DRIVER,
    &rootless::STATE_DIR,
    &rootless::DISABLE_HOST_LOOPBACK,
    &rootless::SANDBOX,
    &rootless::SECCOMP,
    &rootless::DETACH_NETNS,
    &DRIVER,
    &TLS_UNTRUSTED,
    &STORAGE,
    &FIREWALL,
    &STOP_TIMEOUT,
    &DRAIN,
    &RESTART,
    &READY_FILE,
    &TERMINATION_LOG,
    &EXIT_WHEN,
    &LOG_LEVEL,
    &LOG_FORMAT,
];

pub(crate) static TLS_CERTDIR: Setting<Option<PathBuf>> = Setting {
    name: "DOCKER_TLS_CERTDIR",
    takes: Takes::Anything("directory, or empty", |dir| Some(dir.into())),
    default: ("unset (the image sets /certs)", None),
    help: "Certificates are kept and made here and TCP speaks TLS on 2376; empty or unset: \
              plain TCP on 2375.",
};

pub(crate) static TLS_SAN: Setting<String> = Setting {
    name: "DOCKER_TLS_SAN",
    takes: Takes::Anything(
        "list of DNS:name, IP:address (DNS.1:name, too), or bare names and addresses",
        |san| san.to_string_lossy().into_owned(),
    ),
    default: ("empty", String::new()),
    help: "More names for the server certificate; what cannot be one is left out with a warning \
              where others can.",
};

pub(crate) static HOST: Setting<Option<String>> = Setting {
    name: "DOCKER_HOST",
    takes: Takes::Anything(
        "unix://PATH (anything else is the client's and ignored)",
        values::unix_host,
    ),
    default: (
        "unix:///var/run/docker.sock; rootless: $XDG_RUNTIME_DIR/docker.sock",
        None,
    ),
    help: "Where the unix socket is, when no --host is given.",
};

pub(crate) static IPTABLES_LEGACY: Setting<IptablesOption> = Setting {
    name: "DOCKER_IPTABLES_LEGACY",
    takes: Takes::Anything(
        "non-empty: legacy; set but empty: not legacy",
        IptablesOption::of,
    ),
    default: ("unset: decided by looking", IptablesOption::Auto),
    help: "Which iptables backend dockerd finds first in PATH.",
};

pub(crate) static SOCKETS: Setting<SocketHolder> = Setting {
    name: "DIND_SOCKETS",
    takes: Takes::Words(&[
        ("held", SocketHolder::Us),
        ("dockerd", SocketHolder::Dockerd),
    ]),
    default: ("held", SocketHolder::Us),
    help: "held: dind-init binds the API sockets at once and hands them to dockerd as fd://; dockerd: \
              dockerd binds them itself, with exactly the official arguments.",
};

pub(crate) static SOCKET_GID: Setting<Option<GroupName>> = Setting {
    name: "DIND_SOCKET_GID",
    takes: Takes::Text("number or group name", values::group),
    default: ("--group, daemon.json, group docker, own gid", None),
    help: "Group of the unix sockets.",
};

pub(crate) static SOCKET_MODE: Setting<u32> = Setting {
    name: "DIND_SOCKET_MODE",
    takes: Takes::Text("octal number, 0600 to 0777", values::socket_mode),
    default: ("0660", 0o660),
    help: "Mode of the unix sockets.",
};

pub(crate) static SOCKET_PATHS: Setting<Vec<PathBuf>> = Setting {
    name: "DIND_SOCKET_PATHS",
    takes: Takes::Text(
        "list of absolute paths, separated by commas",
        values::socket_paths,
    ),
    default: ("none", Vec::new()),
    help: "More unix sockets on which the API is served.",
};

pub(crate) static TCP: Setting<TcpPolicy> = Setting {
    name: "DIND_TCP",
    takes: Takes::Words(&[
        ("any", TcpPolicy::Any),
        ("loopback", TcpPolicy::Loopback),
        ("refuse", TcpPolicy::Refuse),
    ]),
    default: ("any", TcpPolicy::Any),
    help: "Plain TCP that is not on loopback: served with a warning, narrowed to loopback, or \
              refused. TLS is not concerned.",
};

pub(crate) static PREFLIGHT: Setting<Preflight> = Setting {
    name: "DIND_PREFLIGHT",
    takes: Takes::Words(&[("refuse", Preflight::Refuse), ("warn", Preflight::Warn)]),
    default: ("refuse", Preflight::Refuse),
    help: "warn: go on where dind-init would refuse because dockerd cannot work here.",
};

pub(crate) static CGROUP: Setting<Switch> = Setting {
    name: "DIND_CGROUP",
    takes: SWITCH,
    default: ("auto", Switch::Auto),
    help: "skip: leave the cgroup tree alone; limits of nested containers may not work.",
};

pub(crate) static MEMORY_RESERVE: Setting<Option<u64>> = Setting {
    name: "DIND_MEMORY_RESERVE",
    takes: Takes::Text("size: 64M, 1g, or bytes", values::reserve),
    default: ("none", None),
    help: "Nested containers together get this much less memory than this container has, so \
              that one that eats too much does not take dockerd with it; on cgroup version 2 it \
              grows with what dockerd and its helpers need.",
};

pub(crate) static SYSCTL: Setting<Switch> = Setting {
    name: "DIND_SYSCTL",
    takes: SWITCH,
    default: ("auto", Switch::Auto),
    help: "auto: raise fs.inotify.max_user_instances and max_user_watches of the node where \
              they are too low for nested clusters and that is allowed; skip: never.",
};

pub(crate) static TMP: Setting<Switch> = Setting {
    name: "DIND_TMP",
    takes: SWITCH,
    default: ("auto", Switch::Auto),
    help: "auto: a tmpfs on /tmp when it is empty and not a mount point; skip: never.",
};

pub(crate) static DAEMON_MTU: Setting<Switch> = Setting {
    name: "DIND_MTU",
    takes: SWITCH,
    default: ("auto", Switch::Auto),
    help: "auto: dockerd's networks get the MTU of the container's own uplink; skip: dockerd's \
              default of 1500.",
};

pub(crate) static DNS: Setting<Switch> = Setting {
    name: "DIND_DNS",
    takes: SWITCH,
    default: ("auto", Switch::Auto),
    help: "auto: when every resolver is on loopback, names of nested containers on the default \
              bridge and of builds go through dind-init's forwarder; skip: never.",
};

pub(crate) static ROOTLESS: Setting<bool> = Setting {
    name: "DIND_ROOTLESS",
    takes: Takes::Text("1, true, 0, false", values::boolean),
    default: ("0: rootless when not started as root", false),
    help: "1: when started as root, become the image's user and run dockerd rootless; \
              CAP_SETUID and CAP_SETGID are enough for that.",
};

pub(crate) static ROOTLESS_USER: Setting<Option<String>> = Setting {
    name: "DIND_ROOTLESS_USER",
    takes: Takes::Text("user name or number", |name| Some(Some(name.into()))),
    default: ("rootless, or 1000", None),
    help: "Whom to become with DIND_ROOTLESS=1.",
};

pub(crate) static ROOTLESS_PORTS: Setting<Option<ChildSide>> = Setting {
    name: "DIND_ROOTLESS_PORTS",
    takes: Takes::Words(&[
        ("auto", None),
        ("tap", Some(ChildSide::Tap)),
        ("loopback", Some(ChildSide::Loopback)),
    ]),
    default: (
        "auto: loopback; tap with a userland-proxy of yours or none, where there is no IPv6",
        None,
    ),
    help: "Where dockerd maps published ports to: loopback can publish on IPv6 alone; tap is \
              IPv4 only, and keeps client addresses of TCP without docker-proxy.",
};

pub(crate) static ROOTLESS_SINGLE_ID: Setting<bool> = Setting {
    name: "DIND_ROOTLESS_SINGLE_ID",
    takes: Takes::Text("1, true, 0, false", values::boolean),
    default: ("0: subordinate ids are needed", false),
    help: "1: map one id only in rootless mode; images with files of other users than root \
              cannot be unpacked.",
};

pub(crate) static DRIVER: Setting<Option<String>> = Setting {
    name: "DOCKER_DRIVER",
    takes: Takes::Text("a storage driver's name", |name| Some(Some(name.into()))),
    default: ("unset: decided by trying", None),
    help: "Read by dockerd, too. --storage-driver wins over it; it wins over daemon.json; the \
              name may be that of either image store.",
};

pub(crate) static TLS_UNTRUSTED: Setting<Untrusted> = Setting {
    name: "DIND_TLS_UNTRUSTED",
    takes: Takes::Words(&[("warn", Untrusted::Warn), ("refuse", Untrusted::Refuse)]),
    default: ("warn", Untrusted::Warn),
    help: "What happens where somebody else may have made, or can use, the CA of the TLS \
              clients: it belongs to another user, its key is readable for others, or its folder \
              is open to them.",
};

pub(crate) static STORAGE: Setting<StoragePolicy> = Setting {
    name: "DIND_STORAGE",
    takes: Takes::Words(&[
        ("auto", StoragePolicy::Auto),
        ("strict", StoragePolicy::Strict),
    ]),
    default: ("auto", StoragePolicy::Auto),
    help: "strict: refuse to start where only a storage driver works that copies every layer \
              (vfs, native); auto: start with a warning.",
};

pub(crate) static FIREWALL: Setting<FirewallOption> = Setting {
    name: "DIND_FIREWALL",
    takes: Takes::Words(&[
        ("auto", FirewallOption::Auto),
        ("iptables", FirewallOption::Iptables),
        ("nftables", FirewallOption::Nftables),
    ]),
    default: ("auto", FirewallOption::Auto),
    help: "nftables: engine 29 or newer programs nftables by itself, without iptables; auto: \
              iptables, with the backend that works here.",
};

pub(crate) static STOP_TIMEOUT: Setting<Option<Duration>> = Setting {
    name: "DIND_STOP_TIMEOUT",
    takes: Takes::Text("duration: 9s, 500ms, 2m, or seconds", |time| {
        lifetime::duration(time).map(Some)
    }),
    default: ("9s (28s inside Kubernetes)", None),
    help: "How long an asked stop may take before dockerd is killed; in Kubernetes \
              terminationGracePeriodSeconds − 1.",
};

pub(crate) static DRAIN: Setting<Option<Drain>> = Setting {
    name: "DIND_DRAIN",
    takes: Takes::Text(
        "now, or a list of idle, file:PATH, max:DURATION",
        lifetime::drain,
    ),
    default: ("now", None),
    help: "What an asked stop waits for, dockerd serving as before: no running container or \
              build, or a file. Not part of DIND_STOP_TIMEOUT; a second TERM or INT ends the wait.",
};

pub(crate) static RESTART: Setting<RestartPolicy> = Setting {
    name: "DIND_RESTART",
    takes: Takes::Text("never, on-failure, on-failure:N", lifetime::restart),
    default: ("never (N: 5)", RestartPolicy::Never),
    help: "on-failure: a dockerd that was ready and died is started again, N times in 10 \
              minutes; clients wait meanwhile.",
};

pub(crate) static READY_FILE: Setting<Option<PathBuf>> = Setting {
    name: "DIND_READY_FILE",
    takes: Takes::Text("absolute path", |path| absolute(path).map(Some)),
    default: (
        "/run/dind-init/ready; rootless: $XDG_RUNTIME_DIR/dind-init/ready",
        None,
    ),
    help: "This file exists while the API answers.",
};

pub(crate) static TERMINATION_LOG: Setting<Option<PathBuf>> = Setting {
    name: "DIND_TERMINATION_LOG",
    takes: Takes::Text("absolute path", |path| absolute(path).map(Some)),
    default: ("/dev/termination-log", None),
    help: "A file that exists gets what ended the daemon, why, and what helps: Kubernetes shows \
              it as the pod's termination message.",
};

pub(crate) static EXIT_WHEN: Setting<Vec<ExitWhen>> = Setting {
    name: "DIND_EXIT_WHEN",
    takes: Takes::Text(
        "list of file:PATH, process:NAME, idle:DURATION, parent",
        lifetime::exit_when,
    ),
    default: ("none", Vec::new()),
    help: "Stop with exit code 0 when the file appears, the last process of that name or the \
              parent is gone, or no container ran and no client was connected for so long. parent \
              and process need a shared pid namespace.",
};

pub(crate) static LOG_LEVEL: Setting<Level> = Setting {
    name: "DIND_LOG_LEVEL",
    takes: Takes::Text("error, warn, info, debug", log::level),
    default: ("info", Level::INFO),
    help: "What dind-init itself says; dockerd has --log-level.",
};

pub(crate) static LOG_FORMAT: Setting<Form> = Setting {
    name: "DIND_LOG_FORMAT",
    takes: Takes::Words(&[("text", Form::Text), ("json", Form::Json)]),
    default: ("text", Form::Text),
    help: "Form of dind-init's log lines, and of the error that a start ends with.",
};
