//! Which container a published port leads to. dockerd tells the API only where it has docker-proxy
//! listen; docker-proxy is told the rest, and our persona of it tells us
//! ([`crate::commands::docker_proxy`]). Pure.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::config::rootless::port::{Proto, Transport};

/// Where docker-proxy listens, and where it connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backend {
    /// What is carried: never SCTP.
    pub transport: Transport,
    /// Where docker-proxy listens.
    pub front: SocketAddr,
    /// The port of the container.
    pub container: SocketAddr,
}

impl Backend {
    /// A backend that can be one.
    ///
    /// # Errors
    /// What no docker-proxy would say.
    pub fn new(
        transport: Transport,
        front: SocketAddr,
        container: SocketAddr,
    ) -> Result<Self, String> {
        let [front, container] = [front, container].map(canonical);
        let ip = container.ip();
        if transport == Transport::Sctp {
            return Err("SCTP is not served".to_owned());
        }
        // Loopback is docker-proxy's own side, and would lead back to us.
        if ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || container.port() == 0 {
            return Err(format!("{container} is no container's"));
        }
        Ok(Self {
            transport,
            front,
            container,
        })
    }

    /// Reads the body of a request.
    ///
    /// # Errors
    /// No JSON of this kind, or what [`Self::new`] says.
    pub fn from_json(body: &[u8]) -> Result<Self, String> {
        let wire: Wire = serde_json::from_slice(body).map_err(|error| format!("json: {error}"))?;
        let proto: Proto = wire.proto.parse().map_err(|error| format!("{error}"))?;
        Self::new(proto.transport, wire.front, wire.container)
    }

    /// The body of a request.
    ///
    /// # Errors
    /// None that these types can cause.
    pub fn to_json(self) -> serde_json::Result<String> {
        serde_json::to_string(&Wire {
            proto: match self.transport {
                Transport::Sctp => "sctp",
                Transport::Tcp => "tcp",
                Transport::Udp => "udp",
            }
            .to_owned(),
            front: self.front,
            container: self.container,
        })
    }
}

/// IPv4 as IPv4, and nothing of IPv6 but address and port.
fn canonical(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = address.ip().to_canonical();
    SocketAddr::new(ip, address.port())
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    proto: String,
    front: SocketAddr,
    container: SocketAddr,
}

/// Where a port leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goal {
    target: SocketAddr,
    container: Option<SocketAddr>,
    clients: Clients,
}

/// Where a port's clients are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// In the child namespaces: an answer to their addresses would go past us.
    Inside,
    /// In the outer ones.
    Outside,
}

impl Goal {
    /// To the address that the API was told; which container is behind it is not known yet.
    #[must_use]
    pub fn new(target: SocketAddr, clients: Clients) -> Self {
        Self {
            target,
            container: None,
            clients,
        }
    }

    /// Takes what docker-proxy says; whether it is about this goal.
    pub fn learn(&mut self, backend: &Backend) -> bool {
        let ours = canonical(self.target) == backend.front;
        if ours {
            self.container = Some(backend.container);
        }
        ours
    }

    /// Where its clients are.
    #[must_use]
    pub fn clients(self) -> Clients {
        self.clients
    }

    /// The container, where it is known.
    #[must_use]
    pub fn container(self) -> Option<SocketAddr> {
        self.container
    }

    /// What is connected to: the container itself, where it is known.
    #[must_use]
    pub fn address(self) -> SocketAddr {
        self.container.unwrap_or(self.target)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn backend(proto: &str, front: &str, container: &str) -> Result<Backend, String> {
        let body = format!(r#"{{"proto":"{proto}","front":"{front}","container":"{container}"}}"#);
        Backend::from_json(body.as_bytes())
    }

    #[test]
    fn what_docker_proxy_says_is_read() {
        for (proto, front, container) in [
            ("tcp", "127.0.0.1:8080", "172.17.0.2:80"),
            ("udp", "[::1]:53", "172.17.0.2:53"),
            ("tcp", "[::1]:8080", "[fd00::2]:80"),
        ] {
            let read = backend(proto, front, container).unwrap();
            assert_eq!(read.front, front.parse().unwrap());
            assert_eq!(read.container, container.parse().unwrap());
            let json = read.to_json().unwrap();
            assert_eq!(Backend::from_json(json.as_bytes()), Ok(read));
        }
        let mapped = backend("tcp", "[::ffff:10.0.2.100]:80", "172.17.0.2:80").unwrap();
        assert_eq!(mapped.front, "10.0.2.100:80".parse().unwrap());
    }

    #[test]
    fn what_no_docker_proxy_would_say_is_refused() {
        for (proto, container) in [
            ("sctp", "172.17.0.2:80"),
            ("tcp", "127.0.0.1:80"),
            ("tcp", "[::1]:80"),
            ("tcp", "[::ffff:127.0.0.1]:80"),
            ("tcp", "0.0.0.0:80"),
            ("udp", "224.0.0.1:80"),
            ("tcp", "172.17.0.2:0"),
            ("tcp", "web:80"),
        ] {
            let read = backend(proto, "127.0.0.1:80", container);
            assert!(read.is_err(), "{proto} {container}");
        }
        assert!(Backend::from_json(b"").is_err());
    }

    #[test]
    fn a_goal_learns_what_is_about_itself() {
        let mut goal = Goal::new("127.0.0.1:8080".parse().unwrap(), Clients::Outside);
        let other = backend("tcp", "127.0.0.1:8081", "172.17.0.3:80").unwrap();
        assert!(!goal.learn(&other));
        assert_eq!(goal.address(), "127.0.0.1:8080".parse().unwrap());
        let ours = backend("tcp", "127.0.0.1:8080", "172.17.0.2:80").unwrap();
        assert!(goal.learn(&ours));
        assert_eq!(goal.address(), "172.17.0.2:80".parse().unwrap());
        assert_eq!(goal.container(), Some(goal.address()));
    }

    proptest! {
        #[test]
        fn no_body_panics(bytes: Vec<u8>) {
            let _ = Backend::from_json(&bytes);
        }
    }
}
