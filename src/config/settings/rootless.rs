//! The rows that only a rootless daemon reads. Most have a flag of rootlesskit's, which wins
//! (`rootless/request.rs`).

use std::path::PathBuf;

use super::{Setting, Takes};
use crate::config::go_flags::parse_bool;
use crate::config::rootless::request;
use crate::config::rootless::{Layer, NetDriver, PortDriver};
use crate::config::values::absolute;

/// What their names begin with.
pub const PREFIX: &str = "DOCKERD_ROOTLESS_ROOTLESSKIT_";

/// A security layer of slirp4netns.
const LAYER: Takes<Layer> = Takes::Words(&[
    ("auto", Layer::Auto),
    ("true", Layer::On),
    ("false", Layer::Off),
]);

pub(crate) static NET: Setting<Option<NetDriver>> = Setting {
    name: "DOCKERD_ROOTLESS_ROOTLESSKIT_NET",
    takes: Takes::Text("slirp4netns, pasta, none", request::net),
    default: ("slirp4netns, or pasta where only that is installed", None),
    help: "Network driver of rootless mode.",
};

pub(crate) static MTU: Setting<Option<u32>> = Setting {
    name: "DOCKERD_ROOTLESS_ROOTLESSKIT_MTU",
    takes: Takes::Text("68 to 65521", request::mtu),
    default: ("65520", None),
    help: "MTU of the tap device, and of dockerd's networks unless --mtu is given.",
};

pub(crate) static FLAGS: Setting<String> = Setting {
    name: "DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS",
    takes: Takes::Anything("flags of rootlesskit", |flags| {
        flags.to_string_lossy().into_owned()
    }),
    default: ("none", String::new()),
    help: "More options for the namespaces, such as --cidr, --ipv6, --publish; what cannot be honoured is refused by name.",
};

pub(crate) static PORT_DRIVER: Setting<Option<PortDriver>> = Setting {
    name: "DOCKERD_ROOTLESS_ROOTLESSKIT_PORT_DRIVER",
    takes: Takes::Text("builtin, implicit, none", request::port_driver),
    default: ("builtin", None),
    help: "Who serves published ports; implicit is pasta itself.",
};

pub(crate) static STATE_DIR: Setting<Option<PathBuf>> = Setting {
    name: "DOCKERD_ROOTLESS_ROOTLESSKIT_STATE_DIR",
    takes: Takes::Text("absolute path", |path| absolute(path).map(Some)),
    default: ("$XDG_RUNTIME_DIR/dockerd-rootless", None),
    help: "Where child_pid and api.sock are.",
};

pub(crate) static DISABLE_HOST_LOOPBACK: Setting<bool> = Setting {
    name: "DOCKERD_ROOTLESS_ROOTLESSKIT_DISABLE_HOST_LOOPBACK",
    takes: Takes::Text("false, or anything", |word| Some(word != "false")),
    default: ("true", true),
    help: "false: loopback of the outer container can be reached from inside, as 10.0.2.2.",
};

pub(crate) static SANDBOX: Setting<Layer> = Setting {
    name: "DOCKERD_ROOTLESS_ROOTLESSKIT_SLIRP4NETNS_SANDBOX",
    takes: LAYER,
    default: ("auto", Layer::Auto),
    help: "slirp4netns in a mount namespace of its own.",
};

pub(crate) static SECCOMP: Setting<Layer> = Setting {
    name: "DOCKERD_ROOTLESS_ROOTLESSKIT_SLIRP4NETNS_SECCOMP",
    takes: LAYER,
    default: ("auto", Layer::Auto),
    help: "slirp4netns under its own seccomp filter.",
};

pub(crate) static DETACH_NETNS: Setting<bool> = Setting {
    name: "DOCKERD_ROOTLESS_ROOTLESSKIT_DETACH_NETNS",
    takes: Takes::Text("true, 1, false, 0", parse_bool),
    default: ("false", false),
    help: "true: a warning, this version does not detach network namespaces.",
};
