//! A question to the bind service. Pure.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::str::FromStr;

use crate::config::rootless::port::{Family, PortSpec, Proto, Transport};

/// How far an IPv4 wildcard reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// IPv6 clients, too, where the outer namespace has IPv6.
    AlsoV6,
    /// What the protocol's name says.
    AsNamed,
}

/// Which socket is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Protocol and family; never SCTP.
    pub proto: Proto,
    /// The address, as the user gave it; none is every address.
    pub ip: Option<IpAddr>,
    pub port: NonZeroU16,
    /// How far an IPv4 wildcard reaches.
    pub reach: Reach,
}

/// The message is not one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a question of the port driver")]
pub struct MalformedAsk;

impl Ask {
    /// The outer side of a port. Nobody forwards SCTP.
    #[must_use]
    pub fn of(spec: &PortSpec, reach: Reach) -> Option<Self> {
        (spec.proto.transport != Transport::Sctp).then(|| Self {
            proto: spec.proto,
            ip: spec.parent_ip.as_ref().map(|address| address.ip()),
            port: spec.parent_port,
            reach,
        })
    }

    /// Whether the address can have this family at all.
    #[must_use]
    pub fn family_fits(&self) -> bool {
        match (self.proto.family, self.ip) {
            (Family::V4, Some(ip)) => ip.is_ipv4(),
            (Family::V6, Some(ip)) => ip.is_ipv6(),
            _ => true,
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.proto)?;
        match self.ip {
            Some(ip) => write!(f, "{ip}")?,
            None => f.write_str("*")?,
        }
        let reach = match self.reach {
            Reach::AlsoV6 => "also-v6",
            Reach::AsNamed => "as-named",
        };
        write!(f, " {} {reach}", self.port)
    }
}

impl FromStr for Ask {
    type Err = MalformedAsk;

    fn from_str(text: &str) -> Result<Self, MalformedAsk> {
        let words: Vec<&str> = text.split(' ').collect();
        let [proto, ip, port, reach] = *words.as_slice() else {
            return Err(MalformedAsk);
        };
        let proto: Proto = proto.parse().map_err(|_| MalformedAsk)?;
        if proto.transport == Transport::Sctp {
            return Err(MalformedAsk);
        }
        Ok(Self {
            proto,
            ip: match ip {
                "*" => None,
                ip => Some(ip.parse().map_err(|_| MalformedAsk)?),
            },
            port: port.parse().map_err(|_| MalformedAsk)?,
            reach: match reach {
                "also-v6" => Reach::AlsoV6,
                "as-named" => Reach::AsNamed,
                _ => return Err(MalformedAsk),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn questions_are_lines() {
        for (spec, reach, line) in [
            (
                "0.0.0.0:8080:80/tcp4",
                Reach::AlsoV6,
                "tcp4 0.0.0.0 8080 also-v6",
            ),
            (":53:53/udp", Reach::AsNamed, "udp * 53 as-named"),
            ("[::1]:80:80/tcp6", Reach::AsNamed, "tcp6 ::1 80 as-named"),
        ] {
            let ask = Ask::of(&spec.parse().unwrap(), reach).unwrap();
            assert_eq!(ask.to_string(), line);
            assert_eq!(line.parse(), Ok(ask));
        }
        assert_eq!(Ask::of(&":1:1/sctp".parse().unwrap(), Reach::AsNamed), None);
    }

    #[test]
    fn anything_else_is_refused() {
        for line in [
            "",
            "sctp * 1 as-named",
            "tcp * 0 as-named",
            "tcp * 65536 as-named",
            "tcp 1.2.3 1 as-named",
            "tcp * 1",
            "tcp * 1 as-named ",
            "unix * 1 as-named",
        ] {
            assert_eq!(line.parse::<Ask>(), Err(MalformedAsk), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "[tcpud46*:. 0-9a-z-]{0,40}") {
            if let Ok(ask) = line.parse::<Ask>() {
                prop_assert_eq!(ask.to_string().parse(), Ok(ask));
            }
        }
    }
}
