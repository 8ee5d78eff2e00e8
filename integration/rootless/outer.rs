//! Outer containers of the rootless image.

use std::fs::{Permissions, metadata, set_permissions};
use std::os::unix::fs::PermissionsExt;

use crate::container::{Container, Create};
use crate::lab::Lab;

/// Docker's seccomp profile forbids user namespaces.
pub(crate) const SECCOMP: &[&str] = &["--security-opt", "seccomp=unconfined"];
/// Docker masks parts of /proc, and nested containers need one of their own.
pub(crate) const SYSTEMPATHS: &[&str] = &["--security-opt", "systempaths=unconfined"];
/// For the network.
pub(crate) const TUN: &[&str] = &["--device", "/dev/net/tun"];

/// Where the API is.
pub(crate) const SOCKET: &str = "/run/user/1000/docker.sock";

/// Whose engine the image has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Of bookworm.
    V20_10,
    /// Of trixie.
    V26_1,
    /// Of forky; the one of every test that does not say otherwise.
    V28,
}

impl Engine {
    /// Every one.
    pub(crate) const ALL: [Self; 3] = [Self::V20_10, Self::V26_1, Self::V28];

    /// The beginning of its version.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::V20_10 => "20.10.",
            Self::V26_1 => "26.1.",
            Self::V28 => "28.",
        }
    }

    /// The rootless image, as `integration/run` names it.
    fn image(self) -> String {
        let image = std::env::var("DIND_LAB_ROOTLESS_IMAGE").expect("DIND_LAB_ROOTLESS_IMAGE");
        match self {
            Self::V20_10 => format!("{image}-bookworm"),
            Self::V26_1 => format!("{image}-trixie"),
            Self::V28 => image,
        }
    }
}

/// The rootless image, without TLS; nothing is allowed yet.
pub(crate) fn bare(lab: &'static Lab) -> Create {
    bare_on(lab, Engine::V28)
}

fn bare_on(lab: &'static Lab, engine: Engine) -> Create {
    open_to_everybody("/dev/net/tun");
    Create::of(lab, &engine.image())
        .env("DOCKER_TLS_CERTDIR=")
        .env(&format!("DOCKER_HOST=unix://{SOCKET}"))
}

/// A privileged outer container.
pub(crate) fn privileged(lab: &'static Lab) -> Create {
    bare(lab).option("--privileged")
}

/// One without `--privileged`, with what it needs in its place.
pub(crate) fn unprivileged(lab: &'static Lab) -> Create {
    unprivileged_on(lab, Engine::V28)
}

/// The same with another engine.
pub(crate) fn unprivileged_on(lab: &'static Lab, engine: Engine) -> Create {
    bare_on(lab, engine).options([SECCOMP, SYSTEMPATHS, TUN].concat())
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
