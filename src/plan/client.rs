//! What a client must set to reach the API that we serve.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::listen::{ListenPlan, PlannedSocket};
use super::tls_mode::{TcpSecurity, adds_tls};
use crate::config::{Config, TlsOption};
use crate::endpoint::{Address, Endpoint, Security, TlsFiles};

/// The variables, as one copies them into the client's container; `docker` is the name that every
/// certificate of ours carries, and that the official recipes give the service. Without TCP it is
/// the unix socket.
#[must_use]
pub fn variables(config: &Config, listen: &ListenPlan) -> String {
    let exposed = listen.sockets.iter().find_map(|socket| match socket {
        PlannedSocket::Tcp {
            address, security, ..
        } if !address.ip().is_loopback() => Some((address, *security)),
        PlannedSocket::Tcp { .. }
        | PlannedSocket::Unix { .. }
        | PlannedSocket::Inherited { .. } => None,
    });
    match (exposed, &config.tls) {
        (Some((address, TcpSecurity::Verified)), TlsOption::Directory { dir, .. }) => format!(
            "DOCKER_HOST=tcp://docker:{} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={}",
            address.port(),
            dir.join("client").display()
        ),
        (Some((address, _)), _) => format!("DOCKER_HOST=tcp://docker:{}", address.port()),
        (None, _) => match listen.first_unix() {
            Some(path) => format!("DOCKER_HOST=unix://{}", path.display()),
            None => String::new(),
        },
    }
}

/// Where a client in this very container reaches our daemon: the unix socket, else TCP on
/// loopback. `None` where only dockerd knows (a socket from outside, certificates that only the
/// user knows how to match).
#[must_use]
pub fn own(config: &Config, listen: &ListenPlan) -> Option<Endpoint> {
    if let Some(path) = listen.first_unix() {
        return Some(Endpoint::direct(Address::Unix(path), Security::Plain));
    }
    listen.sockets.iter().find_map(|socket| match socket {
        PlannedSocket::Tcp {
            address, security, ..
        } => {
            let security = match (security, &config.tls) {
                (TcpSecurity::Plain, _) => Security::Plain,
                (_, TlsOption::Directory { dir, .. }) if adds_tls(config) => {
                    Security::Tls(TlsFiles::in_directory(&dir.join("client")))
                }
                _ => return None,
            };
            Some(Endpoint::direct(loopback(address), security))
        }
        PlannedSocket::Unix { .. } | PlannedSocket::Inherited { .. } => None,
    })
}

/// The address to connect to for one that is listened on.
fn loopback(address: &SocketAddr) -> Address {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        // `::` may be the dual-stack form of 0.0.0.0, and some machines have no ::1.
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    Address::Tcp {
        host: host.to_string(),
        port: address.port(),
        prefix: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::listen::ListenFacts;
    use crate::host::said;
    use crate::plan::listen;

    fn planned(words: &[&str], env: &[(&str, &str)]) -> (Config, ListenPlan) {
        let config = said::config(words, env);
        let facts = ListenFacts {
            ipv6: true,
            ..ListenFacts::default()
        };
        let listen = listen::plan(&config, &said::file(""), &facts).unwrap();
        (config, listen)
    }

    fn of(env: &[(&str, &str)]) -> String {
        let (config, listen) = planned(&[], env);
        variables(&config, &listen)
    }

    /// What our own command gets, whatever the environment says about clients elsewhere.
    #[test]
    fn our_own_command_means_our_daemon() {
        let gitlab = [
            ("DOCKER_HOST", "tcp://docker:2376"),
            ("DOCKER_TLS_CERTDIR", "/certs"),
            ("DOCKER_TLS_VERIFY", "1"),
            ("DOCKER_CERT_PATH", "/certs/client"),
        ];
        let unix = ("DOCKER_HOST", "unix:///s");
        for (env, want) in [
            (&[][..], "unix:///var/run/docker.sock"),
            (&gitlab[..], "unix:///var/run/docker.sock"),
            (&[unix], "unix:///s"),
            (
                &[("DIND_SOCKETS", "dockerd")],
                "unix:///var/run/docker.sock",
            ),
        ] {
            let (config, listen) = planned(&[], env);
            let own = own(&config, &listen).unwrap();
            assert_eq!(own.to_string(), want, "{env:?}");
        }
        let form = crate::config::CommandForm::Explicit;
        for (host, want) in [
            ("tcp://0.0.0.0:2375", "tcp://127.0.0.1:2375"),
            ("tcp://[::]:2375", "tcp://127.0.0.1:2375"),
            ("tcp://127.0.0.2:2399", "tcp://127.0.0.2:2399"),
        ] {
            let config = said::config_in(form, &["-H", host], &[]);
            let facts = ListenFacts {
                ipv6: true,
                ..ListenFacts::default()
            };
            let listen = listen::plan(&config, &said::file(""), &facts).unwrap();
            assert_eq!(own(&config, &listen).unwrap().to_string(), want);
        }
    }

    #[test]
    fn clients_get_tcp_where_it_is_exposed_and_the_unix_socket_elsewhere() {
        assert_eq!(
            of(&[("DOCKER_TLS_CERTDIR", "/certs")]),
            "DOCKER_HOST=tcp://docker:2376 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=/certs/client"
        );
        assert_eq!(of(&[]), "DOCKER_HOST=tcp://docker:2375");
        assert_eq!(
            of(&[("DIND_TCP", "loopback")]),
            "DOCKER_HOST=unix:///var/run/docker.sock"
        );
        assert_eq!(
            of(&[("DIND_SOCKETS", "dockerd")]),
            "DOCKER_HOST=unix:///var/run/docker.sock"
        );
    }
}
