//! Our own files in a data root, and the names of images: any container that ever had the volume
//! can have written them.

use dind_init::host::storage::content::{Marker, image_names};
use dind_init::host::storage::owner::Owner;

use super::shape;

/// A marker, a lock file, or a repositories.json.
pub fn check(bytes: &[u8]) {
    match Marker::parse(bytes) {
        Ok(marker) => shape::again(&marker),
        Err(why) => shape::said(&why, 2200),
    }
    let owner = Owner::parse(&String::from_utf8_lossy(bytes));
    assert_eq!(Owner::parse(&owner.text()), owner);
    shape::said(&owner.to_string(), 1200);
    for name in image_names(bytes).into_iter().flatten() {
        assert!(
            !name.contains('@') && name.len() <= 3 * bytes.len(),
            "{name:?}"
        );
    }
}
