//! Images that the chosen driver will not show.

use super::StoragePlan;
use crate::host::engine::{EngineFacts, Generation};
use crate::host::storage::StorageFacts;
use crate::host::storage::content::{DriverContent, Store};

/// One line for each other driver that has images, when the driver is another than last time, or
/// when it is the first time that we see this data root.
pub(super) fn warnings(
    plan: &StoragePlan,
    facts: &StorageFacts,
    engine: &EngineFacts,
) -> Vec<String> {
    let marker = facts.content.marker.as_ref();
    let unchanged = |driver: &str, store: Option<Store>| {
        driver == plan.driver && (store == plan.store || store.is_none() || plan.store.is_none())
    };
    if marker.is_some_and(|marker| unchanged(&marker.driver, marker.store)) {
        return Vec::new();
    }
    let others = facts.content.drivers.iter().filter(|content| {
        !unchanged(&content.driver, Some(content.store)) && content.images != Some(0)
    });
    let last = marker.map(|marker| format!("; {} was used last", marker.driver));
    others
        .map(|content| {
            format!(
                "{} is used for {}: {} of the {} {} are hidden{}; {} to see them again",
                plan.driver,
                facts.data_root.display(),
                images(content),
                content.store.name(),
                content.driver,
                last.as_deref().unwrap_or_default(),
                way_back(content, engine),
            )
        })
        .collect()
}

fn images(content: &DriverContent) -> String {
    let Some(count) = content.images else {
        return "the images".into();
    };
    let more = if count > content.some.len() {
        ", …"
    } else {
        ""
    };
    format!("{count} images ({}{more})", content.some.join(", "))
}

fn way_back(content: &DriverContent, engine: &EngineFacts) -> String {
    match (content.store, engine.generation) {
        (Store::Containerd, Generation::From29) => format!(
            "start with DOCKER_DRIVER={} and without graph drivers' data",
            content.driver
        ),
        (Store::Containerd, _) => {
            "set \"features\": {\"containerd-snapshotter\": true} in daemon.json".into()
        }
        (Store::Graphdriver, _) => format!("start with --storage-driver={}", content.driver),
    }
}
