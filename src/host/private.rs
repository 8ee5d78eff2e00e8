//! Where the program's own directory can be: what root executes (links to iptables) and what is
//! taken for truth (the status socket) must not be where a neighbour could replace it. On a `/run`
//! that is a shared volume it could.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::rootless::places;
use crate::config::{Config, Mode};
use crate::files;

/// Where root's own directory may be, the usual place first: `/var/lib` where `/run` is shared,
/// and the container's own `/dev` where the root file system is read-only as well.
pub const OF_ROOT: [&str; 3] = ["/run/dind-init", "/var/lib/dind-init", "/dev/dind-init"];

/// A place for the program's own directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivatePlace {
    /// The directory.
    pub path: PathBuf,
    /// Whether nobody else can change or replace it.
    pub private: bool,
}

/// Looks at each place.
#[must_use]
pub fn read(config: &Config) -> Vec<PrivatePlace> {
    let look = |path: PathBuf| PrivatePlace {
        private: files::can_be_private(&path),
        path,
    };
    candidates(config).into_iter().map(look).collect()
}

/// The places of this configuration, the usual one first.
#[must_use]
pub fn candidates(config: &Config) -> Vec<PathBuf> {
    if config.mode() == Mode::Rootful {
        return OF_ROOT.map(PathBuf::from).to_vec();
    }
    let home = config.env.non_empty("HOME").map(PathBuf::from);
    let home = home.map(|home| places::own(&home.join(".docker/run")));
    [places::own(&config.runtime_dir())]
        .into_iter()
        .chain(home)
        .collect()
}
