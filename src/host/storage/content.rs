//! What a data root holds already: image stores, drivers, and our marker.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Roots;
use super::bridges::{self, Bridge};
use crate::base::printable::line;
use crate::config::Config;
use crate::files;
use crate::host::daemon_json::DaemonFile;

/// The file that says which driver and store was used last.
pub const MARKER: &str = ".dind-init.json";

/// Graph drivers of every engine that we know.
const GRAPH_DRIVERS: [&str; 8] = [
    "overlay2",
    "fuse-overlayfs",
    "btrfs",
    "zfs",
    "vfs",
    "overlay",
    "aufs",
    "devicemapper",
];

/// One of dockerd's two image stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Store {
    /// Docker's own, with graph drivers.
    Graphdriver,
    /// containerd's, with snapshotters.
    Containerd,
}

impl Store {
    /// As it is called in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Graphdriver => "graph driver",
            Self::Containerd => "containerd snapshotter",
        }
    }
}

/// Images that a driver has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverContent {
    pub store: Store,
    /// Its name.
    pub driver: String,
    /// How many images have a name, where that could be read; containerd does not tell how many
    /// it has.
    pub images: Option<usize>,
    /// Names of some of them.
    pub some: Vec<String>,
}

/// Which driver was used last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Its store, where that was known.
    pub store: Option<Store>,
    /// Its name.
    pub driver: String,
    /// The version of dind-init that wrote this.
    #[serde(default)]
    pub dind_init: String,
    /// When this driver was first used here.
    #[serde(default)]
    pub first_seen: String,
}

impl Marker {
    /// Reads the text of a marker file.
    ///
    /// # Errors
    /// It is not one; why.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        // The reader quotes what it did not expect.
        serde_json::from_slice(json)
            .map_err(|error| line(&error.to_string()).at_most(200).to_string())
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Drivers with something in their directories, in dockerd's order.
    pub drivers: Vec<DriverContent>,
    /// Our marker of an earlier start.
    pub marker: Option<Marker>,
    /// Networks of an earlier dockerd.
    #[serde(default)]
    pub bridges: Vec<Bridge>,
    /// What is there and could not be understood, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unclear: Vec<String>,
}

impl Content {
    /// Reads directories, names of images and the marker.
    #[must_use]
    pub fn read(roots: &Roots, config: &Config, file: &DaemonFile) -> Self {
        let remapped = [
            config.daemon.value("userns-remap"),
            file.text("userns-remap"),
        ];
        let remapped = remapped
            .into_iter()
            .flatten()
            .any(|value| !value.is_empty());
        let data = remapped
            .then(|| remapped_root(&roots.data))
            .flatten()
            .unwrap_or_else(|| roots.data.clone());
        let mut drivers: Vec<_> = GRAPH_DRIVERS
            .iter()
            .filter_map(|name| graph_driver(&data, name))
            .collect();
        drivers.extend(snapshotters(&roots.containerd));
        let mut unclear = Vec::new();
        let path = roots.data.join(MARKER);
        let marker = match short_file(&path).map(|bytes| bytes.map(|it| Marker::parse(&it))) {
            Ok(None) => None,
            Ok(Some(Ok(marker))) => Some(marker),
            Ok(Some(Err(why))) | Err(why) => {
                let path = path.display();
                unclear.push(format!(
                    "{path}: which storage driver was used last is not known: {why}"
                ));
                None
            }
        };
        let remembered = bridges::read(&data);
        unclear.extend(remembered.unclear);
        Self {
            drivers,
            marker,
            bridges: remembered.bridges,
            unclear,
        }
    }

    /// Graph drivers that dockerd finds in use: it passes over vfs (`scanPriorDrivers`).
    #[must_use]
    pub fn prior(&self) -> Vec<&str> {
        let prior = |content: &&DriverContent| {
            content.store == Store::Graphdriver && content.driver != "vfs"
        };
        let names = self.drivers.iter().filter(prior);
        names.map(|content| content.driver.as_str()).collect()
    }

    /// Whether containerd's store holds anything.
    #[must_use]
    pub fn has_containerd_images(&self) -> bool {
        self.drivers
            .iter()
            .any(|content| content.store == Store::Containerd)
    }
}

/// With user namespaces everything is in a directory that is named after the first ids.
fn remapped_root(data: &Path) -> Option<PathBuf> {
    let ids = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.split_once('.'))
            .is_some_and(|(uid, gid)| uid.parse::<u32>().is_ok() && gid.parse::<u32>().is_ok())
    };
    let mut found = files::entries(data).unwrap_or_default();
    found.retain(ids);
    match &found[..] {
        [one] => Some(one.clone()),
        _ => None,
    }
}

fn graph_driver(data: &Path, name: &str) -> Option<DriverContent> {
    has_entries(&data.join(name)).then(|| {
        let path = data.join("image").join(name).join("repositories.json");
        let names = match short_file(&path) {
            Ok(Some(json)) => image_names(&json),
            Ok(None) => Some(Vec::new()),
            Err(_) => None,
        };
        DriverContent {
            store: Store::Graphdriver,
            driver: name.to_owned(),
            images: names.as_ref().map(Vec::len),
            some: names.into_iter().flatten().take(3).collect(),
        }
    })
}

/// Snapshotters with snapshots. containerd makes a directory for each of its plugins, used or
/// not; only a used one has entries below `snapshots`.
fn snapshotters(root: &Path) -> Vec<DriverContent> {
    let entries = files::entries(root).unwrap_or_default();
    let mut found: Vec<_> = entries
        .iter()
        .filter_map(|entry| {
            let name = entry.file_name()?.to_str()?;
            let driver = name
                .strip_prefix("io.containerd.snapshotter.v1.")?
                .to_owned();
            has_entries(&entry.join("snapshots")).then_some(DriverContent {
                store: Store::Containerd,
                driver,
                images: None,
                some: Vec::new(),
            })
        })
        .collect();
    found.sort_unstable_by(|a, b| a.driver.cmp(&b.driver));
    found
}

fn has_entries(dir: &Path) -> bool {
    files::is_empty(dir).is_ok_and(|empty| !empty)
}

/// A file of a size that is worth reading for a message; nothing where there is none.
fn short_file(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match files::read(path, files::MOST) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// The `name:tag` references of a repositories.json; digests are no names. Nothing where it is no
/// such file, or only the beginning of one.
#[must_use]
pub fn image_names(json: &[u8]) -> Option<Vec<String>> {
    let json: Value = serde_json::from_slice(json).ok()?;
    let repositories = json.get("Repositories").and_then(Value::as_object);
    let references = repositories.into_iter().flat_map(|map| map.values());
    let names = references
        .filter_map(Value::as_object)
        .flat_map(|map| map.keys());
    Some(names.filter(|name| !name.contains('@')).cloned().collect())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use super::*;
    use crate::host::said;

    fn read(root: &Path, json: &str) -> Content {
        let roots = Roots {
            data: root.to_owned(),
            containerd: root.join("containerd/daemon"),
        };
        Content::read(&roots, &said::config(&[], &[]), &said::file(json))
    }

    fn make(root: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    const REPOSITORIES: &str = r#"{"Repositories":{"busybox":{"busybox:latest":"sha256:1",
        "busybox@sha256:9":"sha256:1"},"a/b":{"a/b:2":"sha256:2"}}}"#;

    #[test]
    fn drivers_in_use_and_their_images_are_found() {
        let dir = tempfile::tempdir().unwrap();
        make(
            dir.path(),
            &[
                ("overlay2/l/X", ""),
                ("vfs/dir/1/x", ""),
                ("image/overlay2/repositories.json", REPOSITORIES),
                (
                    "containerd/daemon/io.containerd.snapshotter.v1.overlayfs/metadata.db",
                    "",
                ),
                (
                    "containerd/daemon/io.containerd.snapshotter.v1.native/snapshots/1/x",
                    "",
                ),
                (MARKER, r#"{"store":"graphdriver","driver":"vfs"}"#),
            ],
        );
        std::fs::create_dir(dir.path().join("btrfs")).unwrap();
        let content = read(dir.path(), "{}");
        let found: Vec<_> = content
            .drivers
            .iter()
            .map(|d| (d.driver.as_str(), d.images))
            .collect();
        assert_eq!(
            found,
            [("overlay2", Some(2)), ("vfs", Some(0)), ("native", None)]
        );
        assert_eq!(content.drivers[0].some, ["a/b:2", "busybox:latest"]);
        assert_eq!(content.prior(), ["overlay2"], "vfs does not count");
        assert!(content.has_containerd_images());
        assert_eq!(content.marker.unwrap().driver, "vfs");
    }

    #[test]
    fn an_empty_root_is_nothing_and_what_is_broken_is_said() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path(), "{}"), Content::default());
        assert_eq!(read(&dir.path().join("absent"), "{}"), Content::default());
        make(
            dir.path(),
            &[
                (MARKER, "{"),
                ("network/files/local-kv.db/x", ""),
                ("overlay2/l/X", ""),
                ("image/overlay2/repositories.json", "{\"Repositories\":"),
            ],
        );
        let content = read(dir.path(), "{}");
        assert_eq!(content.drivers[0].images, None, "not 0");
        let [marker, networks] = &content.unclear[..] else {
            panic!("{:?}", content.unclear)
        };
        assert!(
            marker.contains(MARKER) && marker.contains("EOF"),
            "{marker}"
        );
        assert!(
            networks.ends_with("is a directory, not a file"),
            "{networks}"
        );
    }

    #[test]
    fn a_file_that_is_not_read_is_not_taken_for_a_missing_one() {
        let dir = tempfile::tempdir().unwrap();
        let large = vec![b' '; usize::try_from(files::MOST).unwrap() + 1];
        let large = String::from_utf8(large).unwrap();
        make(
            dir.path(),
            &[
                (MARKER, &large),
                ("overlay2/l/X", ""),
                ("image/overlay2/repositories.json", &large),
            ],
        );
        let content = read(dir.path(), "{}");
        assert_eq!(content.drivers[0].images, None, "not 0");
        assert!(content.marker.is_none());
        let [marker] = &content.unclear[..] else {
            panic!("{:?}", content.unclear)
        };
        assert!(marker.contains("is larger than"), "{marker}");
    }

    #[test]
    fn with_user_namespaces_the_content_is_one_directory_deeper() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), &[("165536.165536/overlay2/l/X", "")]);
        assert!(read(dir.path(), "{}").prior().is_empty());
        assert_eq!(
            read(dir.path(), r#"{"userns-remap":"default"}"#).prior(),
            ["overlay2"]
        );
    }
}
