//! What a client must set to reach the API that we serve.

use super::listen::{ListenPlan, PlannedSocket};
use super::tls_mode::TcpSecurity;
use crate::cli::config::{Config, TlsWish};

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
        (Some((address, TcpSecurity::Verified)), TlsWish::Directory { dir, .. }) => format!(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::said;
    use crate::host::listen::ListenFacts;
    use crate::plan::listen;

    fn of(env: &[(&str, &str)]) -> String {
        let config = said::config(&[], env);
        let file = said::file("");
        let facts = ListenFacts {
            ipv6: true,
            ..ListenFacts::default()
        };
        variables(&config, &listen::plan(&config, &file, &facts).unwrap())
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
