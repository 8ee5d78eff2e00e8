//! Which storage driver dockerd gets. The user's choice wins and is checked against the probe;
//! where overlay works dockerd's own default is left alone; the slow drivers that copy every
//! layer are never taken in silence.

mod fall_back;
mod hidden;
pub mod refusal;
mod rules;
mod words;

use std::fmt;

use serde::Serialize;

use super::dockerd::AddedFlag;
use super::step::{Action, Step};
use crate::config::{Config, StoragePolicy};
use crate::host::daemon_json::DaemonFile;
use crate::host::engine::{EngineFacts, Generation};
use crate::host::storage::content::{MARKER, Marker, Store};
use crate::host::storage::overlay::Writing;
use crate::host::storage::owner::{self, LockState};
use crate::host::storage::{RootFacts, StorageFacts};
use crate::sys::probe::ProbeResult;
use refusal::StorageRefusal;
use rules::{Answer, Request};

/// What is decided about storage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StoragePlan {
    /// The driver that dockerd will use.
    pub driver: String,
    /// Its store, where the engine could be told.
    pub store: Option<Store>,
    pub why: String,
    /// Whether that is certain: where nothing could be tried, dockerd may take another one.
    pub certain: bool,
    /// Flags for dockerd.
    #[serde(skip)]
    pub flags: Vec<AddedFlag>,
    /// `DOCKER_DRIVER` for dockerd, where it differs from ours: dockerd lets it win over
    /// everything else.
    pub driver_variable: Option<String>,
    /// What the user should know.
    #[serde(skip)]
    pub warnings: Vec<String>,
    /// Why dockerd certainly cannot work, or may not by the user's own rule.
    #[serde(skip)]
    pub refusal: Option<StorageRefusal>,
    /// The lock and the marker.
    #[serde(skip)]
    pub steps: Vec<Step>,
}

impl StoragePlan {
    fn new(driver: &str, store: Option<Store>, why: impl Into<String>) -> Self {
        Self {
            driver: driver.to_owned(),
            store,
            why: why.into(),
            certain: true,
            ..Self::default()
        }
    }

    fn flagged(mut self) -> Self {
        self.flags.push(AddedFlag {
            name: "storage-driver",
            value: self.driver.clone(),
            why: self.why.clone(),
        });
        self
    }

    /// The driver that dockerd takes where it works, which could not be tried. `strict` names it:
    /// dockerd does not start then, where it would fall back to one that copies every layer.
    fn guess(config: &Config, driver: &str, store: Option<Store>, why: &str) -> Self {
        let plan = Self::new(driver, store, "it could not be tried")
            .warned(format!("whether overlay works is not known: {why}"));
        match (config.storage, store) {
            (StoragePolicy::Strict, Some(_)) => plan.flagged(),
            _ => Self {
                certain: false,
                ..plan
            },
        }
    }

    fn warned(mut self, warning: String) -> Self {
        self.warnings.push(warning);
        self
    }

    fn refused(mut self, refusal: StorageRefusal) -> Self {
        self.refusal.get_or_insert(refusal);
        self
    }
}

impl fmt::Display for StoragePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.certain {
            true => write!(f, "storage: {}", self.driver)?,
            false => write!(
                f,
                "storage: dockerd's own choice, {} if it works",
                self.driver
            )?,
        }
        if let Some(store) = self.store {
            write!(f, " ({})", store.name())?;
        }
        write!(f, ": {}", self.why)
    }
}

/// Whether the decision depends on which engine it is, and so on asking dockerd itself where that
/// could not be read.
#[must_use]
pub fn depends_on_engine(config: &Config, file: &DaemonFile, facts: &StorageFacts) -> bool {
    let overlay = |root: &RootFacts| rules::overlay(root) == Answer::Works;
    Request::of(config, file).is_some()
        || !overlay(&facts.root)
        || !facts.snapshots.as_ref().is_none_or(overlay)
}

#[must_use]
pub fn plan(
    config: &Config,
    file: &DaemonFile,
    facts: &StorageFacts,
    engine: &EngineFacts,
) -> StoragePlan {
    let request = Request::of(config, file);
    let store = rules::store(config, file, facts, engine, request.as_ref());
    let mut plan = match (&request, store) {
        (Some(request), _) => requested(config, facts, store, request),
        (None, Some(Store::Containerd)) => snapshotter(config, file, facts, engine),
        (None, _) => graph_driver(config, facts, engine, store),
    };
    let root = facts
        .snapshots
        .as_ref()
        .filter(|_| plan.store == Some(Store::Containerd));
    for root in [Some(&facts.root), root].into_iter().flatten() {
        plan = about_root(plan, root);
    }
    if let Some(size) = rules::default_size(config, file)
        && plan.driver == "overlay2"
        && !facts.root.project_quota
    {
        let place = words::place(&facts.root);
        plan = plan.refused(StorageRefusal::NoQuota { size, place });
    }
    plan.warnings.extend(hidden::warnings(&plan, facts, engine));
    plan.warnings.extend(facts.content.unclear.iter().cloned());
    plan.steps = steps(&plan, facts);
    plan
}

/// The user has chosen.
fn requested(
    config: &Config,
    facts: &StorageFacts,
    store: Option<Store>,
    request: &Request,
) -> StoragePlan {
    let driver = rules::translate(&request.name, store);
    let mut plan = StoragePlan::new(driver, store, format!("{} says so", request.source));
    if driver != request.name {
        let name = store.map_or("", Store::name);
        plan = plan.warned(format!(
            "{}: {} is the other image store's name; the {name} is called {driver}, and is used",
            request.source, request.name
        ));
    }
    for loser in &request.losers {
        plan = plan.warned(format!("{} wins over {loser}", request.source));
    }
    if request.dockerds_own.as_deref() != Some(driver) {
        plan.driver_variable = Some(driver.to_owned());
    }
    let root = rules::root_of(facts, store);
    if rules::copies(driver) {
        plan = plan.warned(words::slow(driver, root, &request.source));
        if config.storage == StoragePolicy::Strict {
            let source = &request.source;
            plan = plan.warned(format!("DIND_STORAGE=strict is overruled by {source}"));
        }
    }
    match rules::able(driver, facts, root) {
        Answer::Works => plan,
        Answer::Unknown(why) => plan.warned(format!("whether {driver} works is not known: {why}")),
        Answer::Fails(why) => plan.refused(StorageRefusal::Impossible {
            choice: request.source.clone(),
            driver: driver.to_owned(),
            place: words::place(root),
            path: root.path.clone(),
            why,
        }),
    }
}

/// Nobody has chosen, and dockerd will use its own store, or we cannot tell.
fn graph_driver(
    config: &Config,
    facts: &StorageFacts,
    engine: &EngineFacts,
    store: Option<Store>,
) -> StoragePlan {
    let root = &facts.root;
    match rules::prior(facts, engine).as_slice() {
        [] => match rules::overlay(root) {
            Answer::Works => {
                let why = format!("overlay works on {}", words::place(root));
                StoragePlan::new("overlay2", store, why)
            }
            Answer::Unknown(why) => StoragePlan::guess(config, "overlay2", store, &why),
            Answer::Fails(why) => fall_back::graph_driver(config, facts, store, &why),
        },
        [driver] => prior(facts, store, driver),
        several @ [first, ..] => {
            let marker = facts.content.marker.as_ref();
            match marker.filter(|marker| several.contains(&marker.driver.as_str())) {
                Some(marker) => {
                    let why = "of those that the data root was filled with it was used last";
                    StoragePlan::new(&marker.driver, store, why).flagged()
                }
                None => StoragePlan::new(first, store, "undecided").refused(
                    StorageRefusal::SeveralPrior {
                        path: facts.data_root.clone(),
                        drivers: several.iter().map(|&name| name.to_owned()).collect(),
                    },
                ),
            }
        }
    }
}

/// dockerd goes on with the driver that the data root was filled with, or does not start.
fn prior(facts: &StorageFacts, store: Option<Store>, driver: &str) -> StoragePlan {
    let root = &facts.root;
    let plan = StoragePlan::new(driver, store, "the data root was filled with it");
    match rules::able(driver, facts, root) {
        Answer::Works => plan,
        Answer::Unknown(why) => plan.warned(format!("whether {driver} works is not known: {why}")),
        Answer::Fails(why) => plan.refused(StorageRefusal::PriorImpossible {
            driver: driver.to_owned(),
            place: words::place(root),
            path: facts.data_root.clone(),
            why,
        }),
    }
}

/// Nobody has chosen a driver, and dockerd will use containerd's store.
fn snapshotter(
    config: &Config,
    file: &DaemonFile,
    facts: &StorageFacts,
    engine: &EngineFacts,
) -> StoragePlan {
    let store = Some(Store::Containerd);
    let root = rules::root_of(facts, store);
    let because = match rules::overlay(root) {
        Answer::Works => {
            let why = format!("overlay works on {}", words::place(root));
            return StoragePlan::new("overlayfs", store, why);
        }
        Answer::Unknown(why) => {
            return StoragePlan::guess(config, "overlayfs", store, &why);
        }
        Answer::Fails(why) => why,
    };
    // Naming a graph driver makes engine 29 use its other store, which must not hide anything.
    let may_switch = engine.generation == Generation::From29
        && rules::feature(config, file).is_none()
        && !facts.content.has_containerd_images();
    let graph = Some(Store::Graphdriver);
    if may_switch && rules::overlay(&facts.root) == Answer::Works {
        let why = format!(
            "overlay does not work on {}, where containerd's images would be ({because}), but does \
             on {}",
            words::place(root),
            words::place(&facts.root)
        );
        let line = format!(
            "{why}: the graph driver overlay2 is used; {}",
            words::volume(&root.path)
        );
        return StoragePlan::new("overlay2", graph, why)
            .flagged()
            .warned(line);
    }
    if may_switch && rules::able("fuse-overlayfs", facts, &facts.root) == Answer::Works {
        return fall_back::fuse(facts, graph, &because);
    }
    // Said to dockerd, too: engines before 29 would go on with overlayfs, and no container would
    // start.
    fall_back::copying("native", config, root, store, &because).flagged()
}

/// What is said of a root whatever the driver.
fn about_root(plan: StoragePlan, root: &RootFacts) -> StoragePlan {
    let ProbeResult::Known(probe) = &root.probe else {
        return plan;
    };
    let path = root.path.clone();
    let place = words::place(root);
    let mut plan = match &probe.writing {
        Writing::Works => plan,
        Writing::ReadOnly => plan.refused(StorageRefusal::ReadOnly { path, place }),
        Writing::Refused(why) => plan.refused(StorageRefusal::NotWritable {
            path,
            place,
            why: why.clone(),
        }),
        // With images to prune, too: dockerd makes directories before anything can be pruned.
        Writing::Full => plan.refused(StorageRefusal::Full { path, place }),
    };
    if probe.writing == Writing::Works {
        plan.warnings.extend(words::little_space(root));
    }
    plan.warnings.extend(words::unusual(root));
    plan
}

/// The lock comes first of all steps: it is what protects the others from a second DinD.
fn steps(plan: &StoragePlan, facts: &StorageFacts) -> Vec<Step> {
    let writable = facts
        .root
        .probe
        .known()
        .is_none_or(|probe| probe.writing == Writing::Works);
    if !writable {
        return Vec::new();
    }
    let lock = Action::LockDataRoot {
        path: owner::lock_file(&facts.data_root),
        owner: facts.owner.clone(),
    };
    let why = match &facts.lock {
        LockState::Free => "two daemons on one data root destroy it".to_owned(),
        LockState::Held(owner) => format!("in use by {owner}: it is waited for a little"),
    };
    let mut steps = vec![Step::must(lock, why)];
    let same = |marker: &Marker| marker.driver == plan.driver && marker.store == plan.store;
    if plan.certain && !facts.content.marker.as_ref().is_some_and(same) {
        let marker = Action::RecordStorage {
            path: facts.data_root.join(MARKER),
            marker: Marker {
                store: plan.store,
                driver: plan.driver.clone(),
                dind_init: env!("CARGO_PKG_VERSION").into(),
                first_seen: String::new(),
            },
        };
        // Warn: it only serves to tell of a change of drivers.
        steps.push(Step::may(marker, "a change of drivers hides images"));
    }
    steps
}

#[cfg(test)]
mod tests;
