//! Outer containers of the rootless image.

use std::fs::{Permissions, metadata, set_permissions};
use std::os::unix::fs::PermissionsExt;

use crate::container::{Container, Create};
use crate::lab::Lab;

/// What an outer container without `--privileged` needs.
pub(crate) const UNPRIVILEGED: [&str; 6] = [
    "--security-opt",
    "seccomp=unconfined",
    "--security-opt",
    "systempaths=unconfined",
    "--device",
    "/dev/net/tun",
];

/// Where the API is.
pub(crate) const SOCKET: &str = "/run/user/1000/docker.sock";

/// The rootless image, without TLS; nothing is allowed yet.
pub(crate) fn bare(lab: &'static Lab) -> Create {
    let image = std::env::var("DIND_LAB_ROOTLESS_IMAGE").expect("DIND_LAB_ROOTLESS_IMAGE");
    open_to_everybody("/dev/net/tun");
    Create::of(lab, &image)
        .env("DOCKER_TLS_CERTDIR=")
        .env(&format!("DOCKER_HOST=unix://{SOCKET}"))
}

/// A privileged outer container.
pub(crate) fn privileged(lab: &'static Lab) -> Create {
    bare(lab).option("--privileged")
}

/// An unprivileged one.
pub(crate) fn unprivileged(lab: &'static Lab) -> Create {
    bare(lab).options(UNPRIVILEGED)
}

/// Everybody may open /dev/net/tun and /dev/fuse where udev has made them; on a machine without udev
/// we do what it does.
pub(crate) fn open_to_everybody(path: &str) {
    let mode = metadata(path).map(|meta| meta.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o006 != 0o006) {
        set_permissions(path, Permissions::from_mode(0o666)).expect("a device for everybody");
    }
}

/// What a shell script prints in the namespaces of dockerd, as their root.
#[track_caller]
pub(crate) fn inside(container: &Container, script: &str) -> String {
    let script = script.replace('\'', "'\\''");
    container.sh(&format!(
        "exec nsenter --preserve-credentials -U -m -n \
         -t $(cat /run/user/1000/dockerd-rootless/child_pid) sh -ec '{script}'"
    ))
}
