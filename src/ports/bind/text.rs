//! Why a socket cannot be had, in the words of Go's net package and of rootlesskit: dockerd shows
//! them, and people search for them. Pure.

use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;

use super::ask::Ask;
use crate::config::rootless::port::Transport;

/// The address has no form in the protocol's family.
pub(super) fn unsuitable(ask: &Ask) -> String {
    let ip = ask.ip.map(|ip| ip.to_string()).unwrap_or_default();
    let text = format!("address {ip}: no suitable address found");
    match ask.proto.transport {
        Transport::Tcp => format!("listen {}: {text}", ask.proto),
        // rootlesskit resolves the address of a datagram socket before it listens.
        Transport::Sctp | Transport::Udp => text,
    }
}

/// The kernel said no. `unprivileged_from` is `net.ipv4.ip_unprivileged_port_start` of the outer
/// namespace.
pub(super) fn refused(ask: &Ask, error: &io::Error, unprivileged_from: Option<u16>) -> String {
    let address = match ask.ip {
        Some(ip) => SocketAddr::new(ip, ask.port.get()).to_string(),
        None => format!(":{}", ask.port),
    };
    let text = format!(
        "listen {} {address}: {}: {}",
        ask.proto,
        call(error),
        words(error)
    );
    let port = ask.port.get();
    match (errno(error), unprivileged_from) {
        (Some(Errno::ACCESS | Errno::PERM), Some(start)) if port < start => format!(
            "cannot expose privileged port {port}, you can run the outer container with \
             --sysctl net.ipv4.ip_unprivileged_port_start=0 (currently {start}), or give \
             CAP_NET_BIND_SERVICE to dind-init, or choose a larger port number (>= {start}): {text}"
        ),
        _ => text,
    }
}

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw_os_error)
}

/// The system call that most likely failed.
fn call(error: &io::Error) -> &'static str {
    match errno(error) {
        Some(Errno::AFNOSUPPORT | Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
            "socket"
        }
        _ => "bind",
    }
}

/// Go's words for an errno.
fn words(error: &io::Error) -> String {
    let words = match errno(error) {
        Some(Errno::ACCESS) => "permission denied",
        Some(Errno::ADDRINUSE) => "address already in use",
        Some(Errno::ADDRNOTAVAIL) => "cannot assign requested address",
        Some(Errno::AFNOSUPPORT) => "address family not supported by protocol",
        Some(Errno::INVAL) => "invalid argument",
        Some(Errno::MFILE) => "too many open files",
        Some(Errno::NFILE) => "too many open files in system",
        Some(Errno::NOBUFS) => "no buffer space available",
        Some(Errno::NODEV) => "no such device",
        Some(Errno::PERM) => "operation not permitted",
        _ => return error.to_string(),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::ask::Reach;
    use super::*;

    fn ask(spec: &str) -> Ask {
        Ask::of(&spec.parse().unwrap(), Reach::AsNamed).unwrap()
    }

    fn text(spec: &str, errno: Errno) -> String {
        refused(&ask(spec), &errno.into(), Some(1024))
    }

    #[test]
    fn texts_are_those_of_rootlesskit() {
        for (spec, errno, want) in [
            (
                "0.0.0.0:8090:80/tcp4",
                Errno::ADDRINUSE,
                "listen tcp4 0.0.0.0:8090: bind: address already in use",
            ),
            (
                ":18090:80/tcp",
                Errno::ADDRINUSE,
                "listen tcp :18090: bind: address already in use",
            ),
            (
                "[2001:db8::9]:18091:80/udp6",
                Errno::ADDRNOTAVAIL,
                "listen udp6 [2001:db8::9]:18091: bind: cannot assign requested address",
            ),
            (
                "[::1]:18091:80/tcp6",
                Errno::AFNOSUPPORT,
                "listen tcp6 [::1]:18091: socket: address family not supported by protocol",
            ),
        ] {
            assert_eq!(text(spec, errno), want);
        }
        for (spec, want) in [
            (
                "[::1]:1:80/tcp4",
                "listen tcp4: address ::1: no suitable address found",
            ),
            ("[::1]:1:80/udp4", "address ::1: no suitable address found"),
            (
                "127.0.0.1:1:80/tcp6",
                "listen tcp6: address 127.0.0.1: no suitable address found",
            ),
        ] {
            assert!(!ask(spec).family_fits());
            assert_eq!(unsuitable(&ask(spec)), want);
        }
    }

    #[test]
    fn a_privileged_port_comes_with_its_remedies() {
        let got = text("0.0.0.0:80:80/tcp4", Errno::ACCESS);
        assert_eq!(
            got,
            "cannot expose privileged port 80, you can run the outer container with --sysctl \
             net.ipv4.ip_unprivileged_port_start=0 (currently 1024), or give CAP_NET_BIND_SERVICE \
             to dind-init, or choose a larger port number (>= 1024): listen tcp4 0.0.0.0:80: bind: \
             permission denied"
        );
        assert_eq!(
            text("0.0.0.0:8080:80/tcp4", Errno::ACCESS),
            "listen tcp4 0.0.0.0:8080: bind: permission denied"
        );
    }
}
