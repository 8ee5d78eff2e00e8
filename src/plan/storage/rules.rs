//! dockerd's own rules for stores and drivers, as its source has them, and what the probes say
//! about each driver.

use crate::config::Config;
use crate::config::settings;
use crate::host::daemon_json::DaemonFile;
use crate::host::engine::{EngineFacts, Generation};
use crate::host::storage::content::Store;
use crate::host::storage::overlay::OverlayProbe;
use crate::host::storage::{RootFacts, StorageFacts};
use crate::plan::keyed;
use crate::sys::probe::ProbeResult;

use super::words;

/// Whether something works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// A probe says yes, or nothing is needed.
    Works,
    /// A probe says no, and this is why.
    Fails(String),
    /// There was no probe, or it did not end.
    Unknown(String),
}

/// The driver that the user chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// Its name, as written.
    pub(super) name: String,
    /// Where, with the value.
    pub(super) source: String,
    /// Choices in places that count less.
    pub(super) losers: Vec<String>,
    /// What dockerd would take by itself: for it the variable counts most.
    pub(super) dockerds_own: Option<String>,
}

impl Request {
    /// Flag over variable over file.
    pub(super) fn of(config: &Config, file: &DaemonFile) -> Option<Self> {
        let text = |value: Option<&str>| value.filter(|v| !v.is_empty()).map(str::to_owned);
        let flag = text(config.daemon.value("storage-driver"));
        let variable = settings::DRIVER.of(&config.env);
        let key = text(file.text("storage-driver"));
        let mut places = [
            (flag.clone(), "--storage-driver="),
            (variable.clone(), "DOCKER_DRIVER="),
            (key.clone(), "daemon.json: storage-driver="),
        ]
        .into_iter()
        .filter_map(|(value, place)| value.map(|value| (format!("{place}{value}"), value)));
        let (source, name) = places.next()?;
        let losers = places
            .filter(|(_, value)| *value != name)
            .map(|(place, _)| place)
            .collect();
        Some(Self {
            name,
            source,
            losers,
            dockerds_own: variable.or(flag).or(key),
        })
    }
}

/// `containerd-snapshotter`, as a feature of the file or the flag.
pub(super) fn feature(config: &Config, file: &DaemonFile) -> Option<bool> {
    const NAME: &str = "containerd-snapshotter";
    let flags = config.daemon.values("feature");
    let flag = flags
        .iter()
        .rev()
        .find_map(|value| match value.split_once('=') {
            None if *value == NAME => Some(true),
            Some((NAME, value)) => {
                Some(!["0", "f", "F", "false", "FALSE", "False"].contains(&value))
            }
            _ => None,
        });
    flag.or_else(|| file.get("features")?.get(NAME)?.as_bool())
}

/// The size that the user wants for every container, as an option of overlay2's.
pub(super) fn default_size(config: &Config, file: &DaemonFile) -> Option<String> {
    keyed::STORAGE.get(config, file, &["overlay2.size"])
}

/// Graph drivers of this engine that count as prior ones.
fn registered(engine: &EngineFacts, driver: &str) -> bool {
    match driver {
        "overlay2" | "fuse-overlayfs" | "btrfs" | "zfs" => true,
        "aufs" => engine.major().is_some_and(|major| major < 24),
        "overlay" | "devicemapper" => engine.major().is_some_and(|major| major < 25),
        _ => false,
    }
}

/// Drivers that the data root was filled with, in the engine's own eyes.
pub(super) fn prior<'a>(facts: &'a StorageFacts, engine: &EngineFacts) -> Vec<&'a str> {
    let prior = facts.content.prior().into_iter();
    prior.filter(|driver| registered(engine, driver)).collect()
}

/// Which store dockerd will use: `determineImageStoreChoice` of engine 29, and the feature of
/// engines before it. Nothing where it depends on an engine that could not be told.
pub(super) fn store(
    config: &Config,
    file: &DaemonFile,
    facts: &StorageFacts,
    engine: &EngineFacts,
    request: Option<&Request>,
) -> Option<Store> {
    let graph = |name: &str| name == "vfs" || registered(engine, name);
    let explicit = feature(config, file).map(|on| match on {
        true => Store::Containerd,
        false => Store::Graphdriver,
    });
    if explicit.is_some() {
        return explicit;
    }
    // In either generation a data root with a graph driver's data keeps that store.
    let stays = !prior(facts, engine).is_empty();
    match engine.generation {
        Generation::Before29 => Some(Store::Graphdriver),
        _ if stays || request.is_some_and(|request| graph(&request.name)) => {
            Some(Store::Graphdriver)
        }
        Generation::From29 => Some(Store::Containerd),
        Generation::Unknown => None,
    }
}

/// The name in the given store of a driver that may be named after the other one.
pub(super) fn translate(name: &str, store: Option<Store>) -> &str {
    match (store, name) {
        (Some(Store::Graphdriver), "overlayfs") => "overlay2",
        (Some(Store::Graphdriver), "native") => "vfs",
        (Some(Store::Containerd), "overlay2") => "overlayfs",
        (Some(Store::Containerd), "vfs") => "native",
        (_, name) => name,
    }
}

/// The directory that a store's driver works in.
pub(super) fn root_of(facts: &StorageFacts, store: Option<Store>) -> &RootFacts {
    let snapshots = facts.snapshots.as_ref();
    snapshots
        .filter(|_| store == Some(Store::Containerd))
        .unwrap_or(&facts.root)
}

/// Whether a driver copies every layer whole.
pub(super) fn copies(driver: &str) -> bool {
    ["vfs", "native"].contains(&driver)
}

/// What the probe says about the kernel's overlay.
pub(super) fn overlay(root: &RootFacts) -> Answer {
    match &root.probe {
        ProbeResult::Unknown(why) => Answer::Unknown(why.clone()),
        ProbeResult::Known(probe) => match &probe.overlay {
            Some(overlay) => outcome(overlay),
            None => Answer::Unknown("nothing can be written there".into()),
        },
    }
}

fn outcome(probe: &OverlayProbe) -> Answer {
    if probe.works() {
        Answer::Works
    } else {
        Answer::Fails(words::missing(probe))
    }
}

/// What the probes say about a driver.
pub(super) fn able(driver: &str, facts: &StorageFacts, root: &RootFacts) -> Answer {
    match driver {
        "overlay2" | "overlayfs" => overlay(root),
        "fuse-overlayfs" => fuse_overlayfs(facts, root),
        "btrfs" | "zfs" if root.fs_type != driver => {
            Answer::Fails(format!("that is not a {driver} file system"))
        }
        "btrfs" | "zfs" | "vfs" | "native" => Answer::Works,
        _ => Answer::Unknown("it is no driver that dind-init knows".into()),
    }
}

fn fuse_overlayfs(facts: &StorageFacts, root: &RootFacts) -> Answer {
    if facts.fuse_overlayfs.is_none() {
        return Answer::Fails("fuse-overlayfs is not in PATH".into());
    }
    if let Some(why) = &facts.no_dev_fuse {
        return Answer::Fails(format!("/dev/fuse: {why}"));
    }
    match &root.fuse_overlayfs {
        None => Answer::Unknown("it was not tried".into()),
        Some(ProbeResult::Unknown(why)) => Answer::Unknown(why.clone()),
        Some(ProbeResult::Known(probe)) => outcome(probe),
    }
}
