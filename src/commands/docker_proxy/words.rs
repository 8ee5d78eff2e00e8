//! docker-proxy's command line. Pure.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};

use crate::config::go_flags::{Grammar, Kind, Package};
use crate::config::rootless::port::Proto;
use crate::ports::backend::Backend;

/// A dockerd from 28 on says so where it has bound the socket itself.
const PASSED: &str = "use-listen-fd";

const FLAGS: Grammar = Grammar {
    package: Package::Flag,
    flags: &[
        ("container-ip", None, Kind::Value),
        ("container-port", None, Kind::Value),
        ("host-ip", None, Kind::Value),
        ("host-port", None, Kind::Value),
        ("proto", None, Kind::Value),
        (PASSED, None, Kind::Switch),
    ],
};

/// What dockerd wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) proto: String,
    pub(super) host_ip: String,
    pub(super) host_port: String,
    pub(super) container_ip: String,
    pub(super) container_port: String,
}

impl Request {
    /// Reads docker-proxy's flags.
    pub(super) fn parse(words: &[OsString]) -> Result<Self, String> {
        // docker-proxy's own texts have one dash.
        let one_dash = |bad: String| match bad.strip_prefix("--") {
            Some(rest) => format!("-{rest}"),
            None => bad,
        };
        let read = FLAGS.read(words);
        let (flags, rest) = read.map_err(|bad| one_dash(bad.to_string()))?;
        if let Some(word) = rest.first() {
            return Err(format!("{} is no flag", word.to_string_lossy()));
        }
        let value = |name| flags.value(name).unwrap_or_default().to_owned();
        Ok(Self {
            proto: flags.value("proto").unwrap_or("tcp").to_owned(),
            host_ip: value("host-ip"),
            host_port: value("host-port"),
            container_ip: value("container-ip"),
            container_port: value("container-port"),
        })
    }

    /// The container behind a docker-proxy that listens at `front`.
    pub(super) fn backend(&self, front: SocketAddr) -> Result<Backend, String> {
        let proto: Proto = self.proto.parse().map_err(|error| format!("{error}"))?;
        let container = address("container", &self.container_ip, &self.container_port)?;
        Backend::new(proto.transport, front, container)
    }

    /// The same, where docker-proxy listens on what dockerd calls its host's address.
    pub(super) fn backend_of_host(&self) -> Result<Backend, String> {
        self.backend(address("host", &self.host_ip, &self.host_port)?)
    }
}

/// Whether dockerd has bound the socket, and so published the port itself.
pub(super) fn passes_socket(words: &[OsString]) -> bool {
    let is = |word: &OsString| word.to_str().and_then(name) == Some(PASSED);
    words.iter().any(is)
}

fn name(word: &str) -> Option<&str> {
    word.strip_prefix("--").or_else(|| word.strip_prefix('-'))
}

fn address(side: &str, ip: &str, port: &str) -> Result<SocketAddr, String> {
    let ip: IpAddr = ip
        .parse()
        .map_err(|_| format!("-{side}-ip {ip:?} is no address"))?;
    let port: u16 = port
        .parse()
        .map_err(|_| format!("-{side}-port {port:?} is no port"))?;
    Ok(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn a_dockerd_that_binds_itself_is_told_apart() {
        let modern = "-proto udp -host-ip ::1 -host-port 53 -container-ip 172.17.0.2 \
                      -container-port 5353 -use-listen-fd";
        assert!(passes_socket(&words(modern)));
        let backend = Request::parse(&words(modern)).unwrap().backend_of_host();
        let backend = backend.unwrap();
        assert_eq!(backend.front, "[::1]:53".parse().unwrap());
        assert_eq!(backend.container, "172.17.0.2:5353".parse().unwrap());
        assert!(!passes_socket(&words("-proto tcp -host-ip use-listen-fd")));
        assert!(!passes_socket(&[]));
    }

    #[test]
    fn what_names_no_container_is_said() {
        for (text, error) in [
            ("-host-ip x", "-container-ip \"\" is no address"),
            (
                "-container-ip 172.17.0.2 -container-port 80 -host-ip x",
                "-host-ip \"x\" is no address",
            ),
            (
                "-proto sctp -container-ip 172.17.0.2 -container-port 80 -host-ip ::1 -host-port 1",
                "SCTP is not served",
            ),
        ] {
            let request = Request::parse(&words(text)).unwrap();
            let front = request.backend_of_host();
            let found = match request.backend("127.0.0.1:1".parse().unwrap()) {
                Err(error) => error,
                Ok(_) => front.unwrap_err(),
            };
            assert_eq!(found, error, "{text}");
        }
    }
}
