//! Where our daemon's own files may be, and whose they are then.

use std::io;
use std::path::PathBuf;

use nix::unistd::{Uid, setfsuid};

use crate::base::environment::Environment;
use crate::client::lookout;
use crate::config::rootless::places;
use crate::files;
use crate::host::private;
use crate::supervise::status::STATUS_FILE;
use crate::userns::enter::{self, User};

/// A directory in which the daemon of this container may keep its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub dir: PathBuf,
    /// Whose daemon that would be.
    pub owner: u32,
}

impl Place {
    /// Every place, whoever asks: root's, our own, and those of the user that the daemon runs as.
    #[must_use]
    pub fn all(env: &Environment) -> Vec<Self> {
        let own = rustix::process::geteuid().as_raw();
        let of_root = |dir: &str| Self {
            dir: dir.into(),
            owner: 0,
        };
        let mut all: Vec<_> = private::OF_ROOT.into_iter().map(of_root).collect();
        let mut add = |runtime: PathBuf, owner: u32| {
            let dir = places::own(&runtime);
            let place = Self { dir, owner };
            if !all.contains(&place) {
                all.push(place);
            }
        };
        if let Ok(places) = enter::places(env.clone()) {
            add(places.runtime, own);
        }
        let set = env.non_empty("XDG_RUNTIME_DIR").map(PathBuf::from);
        for user in [lookout::user_of_settings(env), lookout::user_of_init()] {
            let Some(User { uid, home, .. }) = user else {
                continue;
            };
            let usual = PathBuf::from(format!("/run/user/{uid}"));
            let fallback = home.join(".docker/run");
            for runtime in set.clone().into_iter().chain([usual, fallback]) {
                add(runtime, uid);
            }
        }
        all
    }

    /// Whether a daemon wrote its status there.
    #[must_use]
    pub fn has_status(&self) -> bool {
        self.open(|| files::target(&self.dir.join(STATUS_FILE)))
            .is_ok()
    }

    /// Whether somebody may speak for the daemon of this place.
    pub(super) fn trusts(&self, uid: u32) -> bool {
        uid == 0 || uid == self.owner || uid == rustix::process::geteuid().as_raw()
    }

    /// Does something with what is in there: as ourselves or, where root may not enter (it has no
    /// `CAP_DAC_OVERRIDE` in many pods), with the owner's rights.
    ///
    /// # Errors
    /// Those of what is done.
    pub fn open<T>(&self, mut what: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        match what() {
            Err(error)
                if error.kind() == io::ErrorKind::PermissionDenied
                    && self.owner != 0
                    && rustix::process::geteuid().is_root() =>
            {
                self.as_owner(what)
            }
            result => result,
        }
    }

    /// Does something with the owner's rights on files, where root may take them.
    pub fn as_owner<T>(&self, mut what: impl FnMut() -> T) -> T {
        let _owner = AsOwner(setfsuid(Uid::from_raw(self.owner)));
        what()
    }
}

/// The owner's rights on files; ours come back with its end. Without `CAP_SETUID` nothing changes.
struct AsOwner(Uid);

impl Drop for AsOwner {
    fn drop(&mut self) {
        setfsuid(self.0);
    }
}
