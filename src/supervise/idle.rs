//! Whether anybody uses the daemon: API clients, as the kernel lists their connections.

use crate::files::kernel;
/// Where the API is served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Served {
    /// Paths of unix sockets.
    pub paths: Vec<String>,
    /// TCP ports.
    pub ports: Vec<u16>,
}

impl Served {
    /// Connections of clients, accepted or waiting.
    #[must_use]
    pub fn clients(&self) -> usize {
        let read = |name: &str| kernel::read(format!("/proc/net/{name}")).unwrap_or_default();
        let text = |name: &str| String::from_utf8_lossy(&read(name)).into_owned();
        let mut count = unix_clients(&text("unix"), &self.paths);
        if !self.ports.is_empty() {
            count += tcp_clients(&text("tcp"), &self.ports);
            count += tcp_clients(&text("tcp6"), &self.ports);
        }
        count
    }
}

/// `/proc/net/unix`: the server's end of a connection carries the listener's path; the listener
/// itself has the flag `__SO_ACCEPTCON`.
fn unix_clients(text: &str, paths: &[String]) -> usize {
    const ACCEPTS: u32 = 0x1_0000;
    let connection = |line: &&str| {
        let mut fields = line.split_ascii_whitespace();
        let flags = fields.nth(3).and_then(|f| u32::from_str_radix(f, 16).ok());
        let path = fields.nth(3);
        flags.is_some_and(|flags| flags & ACCEPTS == 0)
            && path.is_some_and(|path| paths.iter().any(|ours| ours == path))
    };
    text.lines().filter(connection).count()
}

/// `/proc/net/tcp`: established connections to one of our ports.
fn tcp_clients(text: &str, ports: &[u16]) -> usize {
    const ESTABLISHED: &str = "01";
    let connection = |line: &&str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = fields.next().and_then(|local| local.rsplit_once(':'));
        let port = local.and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
        fields.nth(1) == Some(ESTABLISHED) && port.is_some_and(|port| ports.contains(&port))
    };
    text.lines().filter(connection).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connections_to_our_sockets_count() {
        let unix = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 11 /run/docker.sock\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 12 /run/docker.sock\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 13 /run/other.sock\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 14\n";
        assert_eq!(unix_clients(unix, &["/run/docker.sock".into()]), 1);
        let tcp = "  sl  local_address rem_address   st tx_queue\n\
            0: 00000000:0948 00000000:0000 0A 0\n\
            1: 0100007F:0948 0100007F:C350 01 0\n\
            2: 0100007F:C350 0100007F:0948 01 0\n\
            3: 0100007F:0948 0100007F:C351 06 0\n";
        assert_eq!(tcp_clients(tcp, &[2376]), 1);
    }
}
