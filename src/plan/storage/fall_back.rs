//! What is used where overlay does not work.

use super::refusal::StorageRefusal;
use super::rules::{self, Answer};
use super::{StoragePlan, words};
use crate::config::{Config, StoragePolicy};
use crate::host::storage::content::Store;
use crate::host::storage::{RootFacts, StorageFacts};

/// Overlay does not work below an empty data root.
pub(super) fn graph_driver(
    config: &Config,
    facts: &StorageFacts,
    store: Option<Store>,
    because: &str,
) -> StoragePlan {
    let root = &facts.root;
    let because = &match rules::able("fuse-overlayfs", facts, root) {
        Answer::Works => return fuse(facts, store, because),
        // Whoever gives the program and its device means it to be used.
        Answer::Fails(why) | Answer::Unknown(why) if root.fuse_overlayfs.is_some() => {
            format!("{because}; nor does fuse-overlayfs: {why}")
        }
        Answer::Fails(_) | Answer::Unknown(_) => because.to_owned(),
    };
    if ["btrfs", "zfs"].contains(&root.fs_type.as_str()) {
        let why = format!("dockerd's own choice on {}", root.fs_type);
        return StoragePlan::new(&root.fs_type, store, why);
    }
    // Said to dockerd, too: it would take fuse-overlayfs when only the program is there, and no
    // container would start.
    copying("vfs", config, root, store, because).flagged()
}

pub(super) fn fuse(facts: &StorageFacts, store: Option<Store>, because: &str) -> StoragePlan {
    let root = &facts.root;
    let why = format!("overlay does not work on {}: {because}", words::place(root));
    let line = format!(
        "{why}; fuse-overlayfs works and is used, but costs speed; {}",
        words::volume(&root.path)
    );
    StoragePlan::new("fuse-overlayfs", store, why)
        .flagged()
        .warned(line)
}

pub(super) fn copying(
    driver: &str,
    config: &Config,
    root: &RootFacts,
    store: Option<Store>,
    because: &str,
) -> StoragePlan {
    let why = format!("overlay does not work on {}: {because}", words::place(root));
    let plan = StoragePlan::new(driver, store, why.clone());
    match config.storage {
        StoragePolicy::Auto => plan.warned(words::slow(driver, root, &why)),
        StoragePolicy::Strict => plan.refused(StorageRefusal::TooSlow {
            driver: driver.to_owned(),
            path: root.path.clone(),
            why,
        }),
    }
}
