//! The bridge networks that a dockerd remembers in its data root.
//!
//! dockerd makes them again as they were, docker0 as well, whatever the network outside is by
//! then; and a `--bip` that overlaps one of the others ends its start. They are in a bolt database
//! (`network/files/local-kv.db`) as JSON, one value each (libnetwork `drivers/bridge`,
//! `networkConfiguration.MarshalJSON`). The values are looked for without the database's own
//! structure, so that some may be found that are not in force any more: whoever asks keeps clear
//! of a network for nothing then.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::net4::Net4;
use crate::files;

/// A hundred times what a few dozen networks take.
const LIMIT: u64 = 8 * 1024 * 1024;
/// Twenty times what dockerd writes for one network.
const VALUE: usize = 16 * 1024;
/// More networks than one dockerd is used with.
const MOST: usize = 1024;

/// A bridge network with IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Bridge {
    pub network: Net4,
    /// Whether it is docker0, or what takes its place.
    pub default: bool,
}

/// What a database remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remembered {
    /// The networks that were found, in order.
    pub bridges: Vec<Bridge>,
    /// Why there may be others.
    pub unclear: Option<String>,
}

/// Reads those below a data root; none where there is no file.
#[must_use]
pub fn read(data_root: &Path) -> Remembered {
    let path = data_root.join("network/files/local-kv.db");
    let mut bytes = Vec::new();
    let read = files::open(&path).and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes));
    let mut found = match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Remembered::default(),
        Err(error) => Remembered {
            unclear: Some(error.to_string()),
            ..Remembered::default()
        },
        Ok(size) if size as u64 > LIMIT => Remembered {
            unclear: Some(format!("it is larger than {} MiB", LIMIT >> 20)),
            ..find(&bytes)
        },
        Ok(_) => find(&bytes),
    };
    found.unclear = found.unclear.map(|why| {
        let path = path.display();
        format!("{path}: which networks an earlier dockerd remembers is not known: {why}")
    });
    found
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

impl Value {
    fn bridge(&self) -> Option<Bridge> {
        let (address, length) = self.address.split_once('/')?;
        let address: Ipv4Addr = address.parse().ok()?;
        Some(Bridge {
            network: Net4::new(address, length.parse().ok()?),
            default: self.default,
        })
    }
}

/// Finds the values in the bytes of a database.
#[must_use]
pub fn find(bytes: &[u8]) -> Remembered {
    scan(bytes).0
}

/// What is found, and how many bytes were handed to the reader of values.
///
/// A stranger can have written the file. Only values within values are read more than once, which
/// dockerd has none of: the work is bounded by the size of the file.
fn scan(bytes: &[u8]) -> (Remembered, usize) {
    let mut found = BTreeSet::new();
    let mut unclear = None;
    let mut handed = 0;
    let mut rest = bytes;
    while let Some(start) = position(rest) {
        if handed > 2 * bytes.len() {
            unclear = Some("its values lie within each other");
            break;
        }
        if found.len() > MOST {
            unclear = Some("there are too many");
            break;
        }
        let begun = rest.get(start..).unwrap_or_default();
        let (value, read) = value(begun);
        handed += read;
        found.extend(value.iter().filter_map(Value::bridge));
        // A value that is whole holds no other; behind a broken one the next may begin anywhere.
        let past = value.map_or(BEGINNING.len(), |_| read);
        rest = begun.get(past..).unwrap_or_default();
    }
    let remembered = Remembered {
        bridges: found.into_iter().take(MOST).collect(),
        unclear: unclear.map(str::to_owned),
    };
    (remembered, handed)
}

fn position(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(BEGINNING.len())
        .position(|window| window == BEGINNING)
}

/// The value at the beginning, if it is one, and how many bytes were looked at.
fn value(bytes: &[u8]) -> (Option<Value>, usize) {
    let mut left = bytes.get(..VALUE).unwrap_or(bytes);
    let all = left.len();
    let value = serde_json::Deserializer::from_reader(&mut left)
        .into_iter()
        .next()
        .and_then(Result::ok);
    (value, all - left.len())
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
            Remembered {
                bridges: vec![
                    bridge("172.17.0.0/16", true),
                    bridge("172.18.0.0/16", false)
                ],
                unclear: None,
            }
        );
        assert_eq!(read(Path::new("/nowhere")), Remembered::default());
        let unclear = read(Path::new("/dev/null")).unclear.unwrap();
        assert!(unclear.starts_with("/dev/null/network/"), "{unclear}");
    }

    #[test]
    fn a_hostile_database_is_read_about_as_often_as_an_honest_one() {
        const SIZE: usize = 1 << 20;
        let last = br#"{"AddressIPv4":"10.0.0.1/8"}"#;
        for part in [
            r#"{"AddressIPv4":""#,
            r#"{"AddressIPv4":"","x":"#,
            r#"{"AddressIPv4":"","x":["#,
            r#"{"AddressIPv4":"","x":[[[[["",""#,
            "{\"AddressIPv4\":\"\",\"x\":                                       ",
            r#"{"AddressIPv4":"","x":[{"y":1},2,"3",4],"z":"#,
            r#"{"AddressIPv4":"10.0.0.1/99"}"#,
        ] {
            let mut bytes = part.repeat(SIZE / part.len()).into_bytes();
            bytes.extend(last);
            let (remembered, handed) = scan(&bytes);
            let most = 2 * bytes.len() + VALUE;
            assert!(handed <= most, "{part}: {handed} bytes");
            // What is behind it is found, or it is said that it may not have been.
            let last = "10.0.0.0/8".parse().unwrap();
            let mut found = remembered.bridges.iter();
            let found = found.any(|bridge| bridge.network == last);
            assert!(found || remembered.unclear.is_some(), "{part}");
        }
        let text = |index: usize| {
            format!(
                "{{\"AddressIPv4\":\"10.{}.{}.0/24\"}}",
                index / 256,
                index % 256
            )
        };
        let many: String = (0..MOST + 5).map(text).collect();
        let many = find(many.as_bytes());
        assert_eq!(many.bridges.len(), MOST);
        assert_eq!(many.unclear.unwrap(), "there are too many");
    }

    #[test]
    fn the_value_behind_one_that_was_cut_off_is_found() {
        let cut = br#"{"AddressIPv4":"172.20.0.1/16","Bri{"AddressIPv4":"10.0.0.1/8"}"#;
        assert_eq!(find(cut).bridges.len(), 1);
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
            prop_assert!(!find(&bytes).bridges.is_empty());
        }
    }
}
