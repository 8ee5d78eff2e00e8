//! What `GET /v1/info` tells: dockerd decides by it which addresses it maps ports to.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Serialize;

use crate::config::rootless::ChildSide;
use crate::config::rootless::port::PortSpec;

/// Version of the REST API: 1.1.2 added `ipv6` to the network driver.
const API_VERSION: &str = "1.1.2";

/// Everything.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Info {
    api_version: &'static str,
    version: String,
    state_dir: PathBuf,
    #[serde(rename = "childPID")]
    child_pid: u32,
    network_driver: NetworkDriver,
    #[serde(skip_serializing_if = "Option::is_none")]
    port_driver: Option<PortDriver>,
}

/// The network driver; dockerd cannot do without (`fillRootlessVersion` in moby's
/// `daemon/info_unix.go`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkDriver {
    /// `slirp4netns`, `pasta` and so on. For `slirp4netns` dockerd asks that program for its
    /// version.
    pub driver: String,
    /// Name servers in the child namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<IpAddr>,
    /// Address of the tap device.
    #[serde(rename = "childIP", skip_serializing_if = "Option::is_none")]
    pub child_ip: Option<IpAddr>,
    /// Whether that address may change.
    #[serde(rename = "dynamicChildIP", skip_serializing_if = "is_false")]
    pub dynamic_child_ip: bool,
    /// Whether the child namespace reaches IPv6 addresses outside.
    #[serde(skip_serializing_if = "is_false")]
    pub ipv6: bool,
}

/// The port driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct PortDriver {
    driver: &'static str,
    protos: &'static [&'static str],
    #[serde(rename = "disallowLoopbackChildIP", skip_serializing_if = "is_false")]
    disallow_loopback_child_ip: bool,
}

impl Info {
    /// What the API shall tell. Without a [`ChildSide`] there is no port driver, and `/v1/ports`
    /// answers 400.
    #[must_use]
    pub fn new(
        state_dir: PathBuf,
        child_pid: u32,
        network_driver: NetworkDriver,
        child_side: Option<ChildSide>,
    ) -> Self {
        Self {
            api_version: API_VERSION,
            version: format!("{}+dind-init", env!("CARGO_PKG_VERSION")),
            state_dir,
            child_pid,
            network_driver,
            port_driver: child_side.map(PortDriver::new),
        }
    }

    /// The address of the tap device.
    pub(in crate::ports) fn tap(&self) -> Option<IpAddr> {
        self.network_driver.child_ip
    }

    #[must_use]
    pub fn has_port_driver(&self) -> bool {
        self.port_driver.is_some()
    }

    /// Whether an IPv4 wildcard listener takes IPv6 clients, too: where dockerd cannot publish
    /// `[::]`, its 0.0.0.0 has to do.
    pub(in crate::ports) fn also_v6(&self, spec: &PortSpec) -> bool {
        let tap = self
            .port_driver
            .as_ref()
            .is_some_and(|driver| driver.disallow_loopback_child_ip);
        tap && spec
            .parent_ip
            .as_ref()
            .is_none_or(|a| a.ip().is_unspecified())
    }
}

impl PortDriver {
    fn new(side: ChildSide) -> Self {
        Self {
            driver: "builtin",
            protos: match side {
                ChildSide::Loopback => &["tcp", "tcp4", "tcp6", "udp", "udp4", "udp6"],
                ChildSide::Tap => &["tcp", "tcp4", "udp", "udp4"],
            },
            disallow_loopback_child_ip: side == ChildSide::Tap,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !value
}
