//! Device files that nested work needs.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files;

/// A device file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Where it belongs.
    pub path: String,
    /// Its numbers (kernel `devices.txt`).
    pub major: u32,
    /// See `major`.
    pub minor: u32,
    /// Its mode, as udev makes it.
    pub mode: u32,
}

/// Those of the wanted devices that are missing.
#[must_use]
pub fn missing() -> Vec<Device> {
    let device = |path: &str, major, minor, mode| Device {
        path: path.into(),
        major,
        minor,
        mode,
    };
    let wanted = [
        device("/dev/fuse", 10, 229, 0o666),    // fuse-overlayfs
        device("/dev/kmsg", 1, 11, 0o644),      // kubelet
        device("/dev/net/tun", 10, 200, 0o666), // slirp4netns, VPNs
    ];
    wanted
        .into_iter()
        .filter(|device| !files::exists(Path::new(&device.path)))
        .collect()
}
