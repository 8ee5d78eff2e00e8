//! An IPv4 network, as `address/length`.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A network; the host part of the address is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Net4 {
    address: u32,
    length: u32,
}

impl Net4 {
    /// The network of an address; a length above 32 counts as 32.
    #[must_use]
    pub fn new(address: Ipv4Addr, length: u32) -> Self {
        let length = length.min(32);
        Self {
            address: u32::from(address) & mask(length),
            length,
        }
    }

    /// Whether two networks share an address.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        let shorter = mask(self.length.min(other.length));
        self.address & shorter == other.address & shorter
    }

    /// Whether every address of another network is in this one.
    #[must_use]
    pub fn holds(self, other: Self) -> bool {
        self.length <= other.length && self.overlaps(other)
    }

    /// The address at an offset from the network's own.
    #[must_use]
    pub fn host(self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.address.wrapping_add(offset))
    }

    /// The mask of the prefix.
    #[must_use]
    pub fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from(mask(self.length))
    }

    /// The length of the prefix.
    #[must_use]
    pub fn length(self) -> u32 {
        self.length
    }
}

fn mask(length: u32) -> u32 {
    u32::MAX.checked_shl(32 - length).unwrap_or(0)
}

impl fmt::Display for Net4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host(0), self.length)
    }
}

/// A text that is not a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a network is written as 10.0.0.0/8")]
pub struct NotANetwork;

impl FromStr for Net4 {
    type Err = NotANetwork;
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, length) = text.split_once('/').ok_or(NotANetwork)?;
        let length: u32 = length.parse().map_err(|_| NotANetwork)?;
        let address: Ipv4Addr = address.parse().map_err(|_| NotANetwork)?;
        if length > 32 {
            Err(NotANetwork)
        } else {
            Ok(Self::new(address, length))
        }
    }
}

impl Serialize for Net4 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Net4 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_overlap_when_one_holds_the_other() {
        let net = |text: &str| text.parse::<Net4>().unwrap();
        assert!(net("172.17.0.0/16").overlaps(net("172.17.5.1/32")));
        assert!(net("0.0.0.0/0").overlaps(net("10.0.0.0/8")));
        assert!(!net("172.17.0.0/16").overlaps(net("172.18.0.0/16")));
        assert!(net("172.17.0.0/16").holds(net("172.17.5.0/24")));
        assert!(!net("172.17.5.0/24").holds(net("172.17.0.0/16")));
        assert_eq!(net("172.17.3.4/16").to_string(), "172.17.0.0/16");
        assert!("10.0.0.0/33".parse::<Net4>().is_err() && "x".parse::<Net4>().is_err());
    }
}
