//! The scan of a data root's database, which any container that ever had the volume can have
//! written.

use dind_init::host::storage::bridges::find;

use super::shape;

const HONEST: &[u8] = br#"{"AddressIPv4":"198.51.100.1/24","DefaultBridge":true}"#;

/// The bytes of a `local-kv.db`.
pub fn check(bytes: &[u8]) {
    let found = find(bytes);
    assert!(found.bridges.is_sorted() && found.bridges.len() <= 1 + bytes.len() / 24);
    shape::again(&found.bridges);
    if let Some(why) = &found.unclear {
        shape::said(why, 100);
    }
    // A network is found wherever it stands, or it is said that some may be missing.
    for with in [[HONEST, bytes].concat(), [bytes, HONEST].concat()] {
        let with = find(&with);
        let honest = |network: &str| network == "198.51.100.0/24";
        let seen = with.bridges.iter();
        let seen = seen.map(|bridge| bridge.network.to_string());
        assert!(with.unclear.is_some() || seen.filter(|it| honest(it)).count() > 0);
        for bridge in &found.bridges {
            assert!(with.unclear.is_some() || with.bridges.contains(bridge));
        }
    }
}
