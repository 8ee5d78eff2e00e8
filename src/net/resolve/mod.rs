//! Names to addresses, without the C library.
//!
//! The binary is static, and `getaddrinfo` of a static glibc loads the host's NSS modules: not in
//! other people's images. What containers need of it is here: IP literals, `/etc/hosts`, and DNS
//! with the search list. Only client commands use it, never PID 1.

pub mod dns;
pub mod hosts;
mod query;
pub mod resolv_conf;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use self::resolv_conf::ResolvConf;
use super::deadline::Deadline;
use crate::base::explain::{Advice, Explain, exit, samples};
use crate::files;

/// Where names are looked up; a test names its own files and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    /// `/etc/hosts`.
    pub hosts: PathBuf,
    /// `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    /// 53.
    pub dns_port: u16,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            hosts: "/etc/hosts".into(),
            resolv_conf: "/etc/resolv.conf".into(),
            dns_port: 53,
        }
    }
}

/// Why a name has no address. None of these is for ever: services come and go.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Reading or sending failed, or the wait ended.
    #[error("could not resolve {host}")]
    Io {
        /// The name.
        host: String,
        source: io::Error,
    },
    /// The servers answered that there is no such name.
    #[error("no address for {host}")]
    NoSuchName {
        /// The name.
        host: String,
        /// The names asked for.
        tried: Vec<String>,
        /// The servers asked.
        servers: Vec<IpAddr>,
    },
    /// No server gave a usable answer.
    #[error("no nameserver answered for {host}")]
    NoServer {
        /// The name.
        host: String,
        /// The servers asked.
        servers: Vec<IpAddr>,
        /// What the last of them said instead, if anything.
        last: Option<String>,
    },
}

fn list(servers: &[IpAddr]) -> String {
    let texts: Vec<_> = servers.iter().map(IpAddr::to_string).collect();
    texts.join(", ")
}

impl Explain for ResolveError {
    fn advice(&self) -> Advice {
        const NETWORK: &str = "check the network of this container: docker run --dns, Kubernetes \
             dnsPolicy, a NetworkPolicy that forbids port 53; or use the IP address";
        match self {
            Self::Io { .. } => Advice::new(
                "the name is neither an IP address nor in /etc/hosts",
                NETWORK,
            ),
            Self::NoSuchName { tried, servers, .. } => Advice::new(
                format!(
                    "neither /etc/hosts nor nameserver {} knows {}",
                    list(servers),
                    tried.join(", ")
                ),
                "the name is that of the daemon's container in the same network: compose: its \
                 service name; docker run: --network and --name or --network-alias; GitLab: the \
                 service's alias; in one Kubernetes pod there is no name, use tcp://127.0.0.1",
            ),
            Self::NoServer { servers, last, .. } => Advice::new(
                format!(
                    "asked {} (from /etc/resolv.conf); {}",
                    list(servers),
                    last.as_deref().unwrap_or("nothing came back")
                ),
                NETWORK,
            ),
        }
        .with_code(exit::STEP_FAILED)
    }
}

samples! { ResolveError {
    Io { host: "docker".into(), source: errno(libc::ENETUNREACH) },
    NoSuchName {
        host: "docker".into(),
        tried: vec!["docker.example.com".into(), "docker".into()],
        servers: vec![[127, 0, 0, 11].into()],
    },
    NoServer { host: "docker".into(), servers: vec![[127, 0, 0, 11].into()], last: None },
} }

impl Resolver {
    /// The addresses of a host, IPv4 first: a container often has an IPv6 address that leads
    /// nowhere, hardly ever the other way round.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub fn resolve(
        &self,
        host: &str,
        port: u16,
        deadline: &mut Deadline<'_>,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        let mut addresses = self.addresses(host, deadline)?;
        addresses.sort_by_key(IpAddr::is_ipv6);
        Ok(addresses
            .into_iter()
            .map(|address| SocketAddr::new(address, port))
            .collect())
    }

    fn addresses(
        &self,
        host: &str,
        deadline: &mut Deadline<'_>,
    ) -> Result<Vec<IpAddr>, ResolveError> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        // A missing file is an empty one, as for the C library.
        let local = hosts::lookup(
            &files::read(&self.hosts, files::MOST).unwrap_or_default(),
            host,
        );
        if !local.is_empty() {
            return Ok(local);
        }
        let bare = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if bare == "localhost" || bare.ends_with(".localhost") {
            // RFC 6761: never asked for.
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let conf =
            ResolvConf::parse(&files::read(&self.resolv_conf, files::MOST).unwrap_or_default());
        query::addresses(host, &conf, self.dns_port, deadline)
    }
}
