//! Where our daemon's own files may be, and whose they are then.

use std::io;
use std::path::PathBuf;

use nix::unistd::{Uid, setfsuid};

use crate::cli::environment::Environment;
use crate::files::kernel;
use crate::host::private;
use crate::rootless::{enter, places};

/// A directory in which the daemon of this container may keep its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The directory.
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
        let asked_for = enter::user(env).filter(|_| own == 0);
        for user in asked_for.into_iter().chain(user_of_init()) {
            let home = enter::home(user);
            let dir = env.non_empty("XDG_RUNTIME_DIR").map(PathBuf::from);
            let usual = PathBuf::from(format!("/run/user/{user}"));
            let fallback = home.map(|home| home.join(".docker/run"));
            for runtime in dir.into_iter().chain([usual]).chain(fallback) {
                add(runtime, user);
            }
        }
        all
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

/// Whom the daemon became, where PID 1 is not root's. Its directory in /proc may still be: the
/// kernel gives it to root when the process is not dumpable.
fn user_of_init() -> Option<u32> {
    let status = kernel::text("/proc/1/status").ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let effective = ids.split_whitespace().nth(1)?.parse().ok()?;
    (effective != 0).then_some(effective)
}
