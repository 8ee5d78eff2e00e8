//! The bridge networks that a dockerd remembers in its data root.
//!
//! dockerd makes them again as they were, docker0 as well, whatever the network outside is by
//! then; and a `--bip` that overlaps one of the others ends its start. They are in a bolt database
//! (`network/files/local-kv.db`) as JSON, one value each (libnetwork `drivers/bridge`,
//! `networkConfiguration.MarshalJSON`). The values are looked for without the database's own
//! structure, so that some may be found that are not in force any more: whoever asks keeps clear
//! of a network for nothing then.

use std::net::Ipv4Addr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files;
use crate::host::net4::Net4;

/// A hundred times what a few dozen networks take.
const LIMIT: u64 = 8 * 1024 * 1024;

/// A bridge network with IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Bridge {
    /// Its network.
    pub network: Net4,
    /// Whether it is docker0, or what takes its place.
    pub default: bool,
}

/// Reads those below a data root; none where there is no file, or none that we may read.
#[must_use]
pub fn read(data_root: &Path) -> Vec<Bridge> {
    let file = data_root.join("network/files/local-kv.db");
    files::read(&file, LIMIT).map_or_else(|_| Vec::new(), |bytes| find(&bytes))
}

/// The value's beginning: Go writes the fields of a map in the order of their names.
const BEGINNING: &[u8] = br#"{"AddressIPv4":""#;

#[derive(Deserialize)]
struct Value {
    #[serde(rename = "AddressIPv4")]
    address: String,
    #[serde(rename = "DefaultBridge", default)]
    default: bool,
}

fn find(bytes: &[u8]) -> Vec<Bridge> {
    let mut found: Vec<Bridge> = bytes
        .windows(BEGINNING.len())
        .enumerate()
        .filter(|(_, window)| *window == BEGINNING)
        .filter_map(|(start, _)| {
            let values = serde_json::Deserializer::from_slice(bytes.get(start..)?);
            let value: Value = values.into_iter().next()?.ok()?;
            let (address, length) = value.address.split_once('/')?;
            let address: Ipv4Addr = address.parse().ok()?;
            Some(Bridge {
                network: Net4::new(address, length.parse().ok()?),
                default: value.default,
            })
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Two values of engine 28.5 between other bytes of its database, one of 20.10, and one that
    /// is cut off.
    const FILE: &[u8] = b"\x00\x02docker/network/v1.0/bridge/1b5b/\
        {\"AddressIPv4\":\"172.17.0.1/16\",\"BridgeIfaceCreator\":1,\"BridgeName\":\"docker0\",\
        \"DefaultBindingIP\":\"0.0.0.0\",\"DefaultBridge\":true,\"DefaultGatewayIPv4\":\"\\u003cnil\\u003e\",\
        \"GwModeIPv4\":\"\",\"ID\":\"1b5b\",\"Mtu\":1400,\"TrustedHostInterfaces\":\"\"}docker/network/v1.0/\
        {\"AddressIPv4\":\"172.18.0.1/16\",\"AddressIPv6\":\"fd00:1::1/64\",\"BridgeName\":\"mybr\",\
        \"DefaultBridge\":false,\"ID\":\"b8d1\"}\x00\xff\
        {\"AddressIPv4\":\"172.18.0.1/16\",\"BridgeName\":\"br-681e45e1a34e\",\"DefaultBridge\":false}\
        {\"AddressIPv4\":\"\\u003cnil\\u003e\",\"BridgeName\":\"six\",\"DefaultBridge\":false}\
        {\"AddressIPv4\":\"172.20.0.1/16\",\"Bri";

    #[test]
    fn remembered_networks_are_found_in_the_database() {
        let bridge = |network: &str, default| Bridge {
            network: network.parse().unwrap(),
            default,
        };
        assert_eq!(
            find(FILE),
            [
                bridge("172.17.0.0/16", true),
                bridge("172.18.0.0/16", false)
            ]
        );
        assert!(read(Path::new("/nowhere")).is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            before: Vec<u8>,
            after: Vec<u8>,
            length in any::<u32>(),
        ) {
            let mut bytes = before;
            bytes.extend(BEGINNING);
            bytes.extend(format!("10.0.0.1/{length}\"}}").as_bytes());
            bytes.extend(after);
            prop_assert!(!find(&bytes).is_empty());
        }
    }
}
