//! Our own daemon as clients beside it name it.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::Duration;

use super::{Place, look};
use crate::base::environment::Environment;
use crate::files::{self, Kind};
use crate::supervise::status::Status;

/// A loop that turns answers within a millisecond; what was written last does as well.
const TIMEOUT: Duration = Duration::from_millis(200);

/// The `DOCKER_HOST` that means the daemon of this very container; `None` where there is none.
#[must_use]
pub fn host(env: &Environment) -> Option<OsString> {
    let known = look(&Place::all(env), TIMEOUT);
    let (status, place) = (known.status?, known.place?);
    // A status outlives a daemon that was killed.
    let is_socket = |path: &Path| {
        let kind = place.open(|| files::target(path));
        kind.is_ok_and(|kind| kind == Kind::Socket)
    };
    of(&status, is_socket)
}

/// The unix socket if it is there, else plain TCP, else TCP with TLS.
fn of(status: &Status, is_socket: impl Fn(&Path) -> bool) -> Option<OsString> {
    if let Some(path) = &status.socket {
        let unix = [b"unix://", path.as_os_str().as_encoded_bytes()].concat();
        return is_socket(path).then(|| OsString::from_vec(unix));
    }
    let tcp = status.endpoints.iter().filter_map(|endpoint| {
        let (address, security) = endpoint.strip_prefix("tcp://")?.split_once(' ')?;
        let address: SocketAddr = address.parse().ok()?;
        Some((address, security != "(plain HTTP)"))
    });
    let (address, _) = tcp.min_by_key(|(_, secure)| *secure)?;
    let ip = match address.ip() {
        // `::` is the dual-stack form of 0.0.0.0, too.
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    Some(format!("tcp://{}", SocketAddr::new(ip, address.port())).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_comes_first_and_tcp_is_reached_on_loopback() {
        let tls = "tcp://[::]:2376 (TLS with client certificates)";
        let plain = "tcp://0.0.0.0:2375 (plain HTTP)";
        for (socket, endpoints, want) in [
            (
                Some("/a.sock"),
                &["tcp://[::]:1 (plain HTTP)"][..],
                Some("unix:///a.sock"),
            ),
            (Some("/gone.sock"), &[], None),
            (None, &[tls, plain], Some("tcp://127.0.0.1:2375")),
            (None, &["fd://3 (x)", tls], Some("tcp://127.0.0.1:2376")),
            (
                None,
                &["tcp://10.0.0.1:9 (plain HTTP)"],
                Some("tcp://10.0.0.1:9"),
            ),
            (None, &[], None),
        ] {
            let status = Status {
                socket: socket.map(Into::into),
                endpoints: endpoints.iter().map(|text| (*text).to_owned()).collect(),
                ..Status::default()
            };
            let found = of(&status, |path| path == Path::new("/a.sock"));
            assert_eq!(found, want.map(OsString::from), "{socket:?} {endpoints:?}");
        }
    }
}
