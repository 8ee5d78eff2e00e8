//! The flags of `rootlesskit`: of `DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS`, and of the `rootlesskit`
//! persona. What the values mean is decided in [`crate::config::rootless`].

use crate::config::go_flags::Kind::{self, List, Switch, Value};
use crate::config::go_flags::{Grammar, Package};

pub use crate::config::go_flags::{BadFlag, Flags};

const VPNKIT: Kind = Kind::Unsupported("vpnkit is not supported: slirp4netns and pasta are");
const LXC: Kind = Kind::Unsupported("lxc-user-nic is not supported: slirp4netns and pasta are");

/// Every flag of rootlesskit 2 and 3.
pub const ROOTLESSKIT: Grammar = Grammar {
    package: Package::Flag,
    flags: &[
        ("cgroupns", None, Switch),
        ("cidr", None, Value),
        ("copy-up", None, List),
        ("copy-up-mode", None, Value),
        ("debug", None, Switch),
        ("detach-netns", None, Switch),
        ("disable-host-loopback", None, Switch),
        ("evacuate-cgroup2", None, Value),
        ("help", Some('h'), Switch),
        ("ifname", None, Value),
        ("ipcns", None, Switch),
        ("ipv6", None, Switch),
        ("lxc-user-nic-binary", None, LXC),
        ("lxc-user-nic-bridge", None, LXC),
        ("mtu", None, Value),
        ("net", None, Value),
        ("pasta-binary", None, Value),
        ("pidns", None, Switch),
        ("port-driver", None, Value),
        ("print-semver", None, Value),
        ("propagation", None, Value),
        ("publish", Some('p'), List),
        ("reaper", None, Value),
        ("slirp4netns-binary", None, Value),
        ("slirp4netns-sandbox", None, Value),
        ("slirp4netns-seccomp", None, Value),
        ("source-ip-transparent", None, Switch),
        ("state-dir", None, Value),
        ("subid-source", None, Value),
        ("utsns", None, Switch),
        ("version", Some('v'), Switch),
        ("vpnkit-binary", None, VPNKIT),
    ],
};
