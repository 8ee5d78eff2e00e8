//! The flags of `rootlesskit`: of `DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS`, and of the `rootlesskit`
//! persona. What the values mean is decided in [`super::options`].

use crate::cli::go_flags::{Flag, Grammar, Kind, Package};

pub use crate::cli::go_flags::{BadFlag, Flags};

const VPNKIT: Kind = Kind::Unsupported("vpnkit is not supported: slirp4netns and pasta are");
const LXC: Kind = Kind::Unsupported("lxc-user-nic is not supported: slirp4netns and pasta are");

/// Every flag of rootlesskit 2 and 3.
pub const ROOTLESSKIT: Grammar = Grammar {
    package: Package::Flag,
    flags: &[
        Flag::new("cgroupns", Kind::Switch),
        Flag::new("cidr", Kind::Value),
        Flag::new("copy-up", Kind::List),
        Flag::new("copy-up-mode", Kind::Value),
        Flag::new("debug", Kind::Switch),
        Flag::new("detach-netns", Kind::Switch),
        Flag::new("disable-host-loopback", Kind::Switch),
        Flag::new("evacuate-cgroup2", Kind::Value),
        Flag::new("help", Kind::Switch).or('h'),
        Flag::new("ifname", Kind::Value),
        Flag::new("ipcns", Kind::Switch),
        Flag::new("ipv6", Kind::Switch),
        Flag::new("lxc-user-nic-binary", LXC),
        Flag::new("lxc-user-nic-bridge", LXC),
        Flag::new("mtu", Kind::Value),
        Flag::new("net", Kind::Value),
        Flag::new("pasta-binary", Kind::Value),
        Flag::new("pidns", Kind::Switch),
        Flag::new("port-driver", Kind::Value),
        Flag::new("print-semver", Kind::Value),
        Flag::new("propagation", Kind::Value),
        Flag::new("publish", Kind::List).or('p'),
        Flag::new("reaper", Kind::Value),
        Flag::new("slirp4netns-binary", Kind::Value),
        Flag::new("slirp4netns-sandbox", Kind::Value),
        Flag::new("slirp4netns-seccomp", Kind::Value),
        Flag::new("source-ip-transparent", Kind::Switch),
        Flag::new("state-dir", Kind::Value),
        Flag::new("subid-source", Kind::Value),
        Flag::new("utsns", Kind::Switch),
        Flag::new("version", Kind::Switch).or('v'),
        Flag::new("vpnkit-binary", VPNKIT),
    ],
};
