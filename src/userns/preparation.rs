//! What root does for the user that it is about to become, while it may: the data root, the runtime
//! directory, the tun device and the standard socket. Decided like everything else, so that `plan`
//! tells it without doing it, and foresees what it will be good for.

use std::path::{Path, PathBuf};

use crate::apply::{self, StepFailed};
use crate::config::address::DEFAULT_UNIX;
use crate::files::{self, Dir, Kind};
use crate::host::Facts;
use crate::host::devices::Device;
use crate::host::process::has_full_id_map;
use crate::host::rootless::RootlessFacts;
use crate::host::storage::overlay::Writing;
use crate::plan::step::{Action, Step};
use crate::sys::probe::ProbeResult;
use crate::userns::enter::User;

/// The device of the network driver.
const TUN: &str = "/dev/net/tun";

/// What is there already, and what we may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PreparationFacts {
    /// The data root, where it exists.
    pub data_root: Option<RootDirectory>,
    /// The runtime directory, where it is missing and can be made.
    pub runtime: Option<PathBuf>,
    /// The tun device.
    pub tun: Tun,
    /// Whether a link to the user's socket can be put at the standard path.
    pub link: bool,
    /// `CAP_CHOWN`.
    pub may_chown: bool,
    /// `CAP_MKNOD`, outside of user namespaces: in one it is good for nothing.
    pub may_mknod: bool,
}

/// A directory that may become the user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootDirectory {
    /// Where it is.
    pub path: PathBuf,
    /// Its owner.
    pub owner: u32,
    /// Whether nothing is in it but what a file system has by itself.
    pub empty: bool,
}

/// The tun device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tun {
    /// It is not there.
    #[default]
    Missing,
    /// Everybody may use it, or nobody asks for it.
    Open,
    /// It is there, and root's alone.
    Closed,
    /// It is there and somebody else's.
    Foreign,
}

/// What is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preparation {
    /// The steps, all of them before any right is given up.
    pub steps: Vec<Step>,
}

/// Decides.
#[must_use]
pub fn plan(facts: &PreparationFacts, user: &User, runtime: &Path) -> Preparation {
    let mut preparation = Preparation::default();
    let (uid, gid) = (user.uid, user.gid);
    let mut give = |action, why: &str| preparation.steps.push(Step::may(action, why));
    if facts.link {
        let action = Action::Link {
            path: DEFAULT_UNIX.into(),
            target: socket(runtime),
        };
        give(action, "clients that know the standard path only");
    }
    let data_root = facts.data_root.as_ref();
    // What others have put there stays theirs.
    let data_root = data_root.filter(|dir| dir.owner == 0 && dir.empty && facts.may_chown);
    if let Some(dir) = data_root {
        let path = dir.path.clone();
        let why = "dockerd changes the mode of its data root, which only its owner may";
        give(Action::Give { path, uid, gid }, why);
    }
    if let Some(path) = facts.runtime.clone().filter(|_| facts.may_chown) {
        let action = Action::CreateFor {
            path,
            mode: 0o700,
            uid,
            gid,
        };
        give(action, "XDG_RUNTIME_DIR of the user");
    }
    let made = facts.tun == Tun::Missing && facts.may_mknod && facts.may_chown;
    if made {
        // Docker allows the device to every container, and gives it to none.
        let device = Device {
            path: TUN.into(),
            major: 10,
            minor: 200,
            mode: 0o600,
        };
        give(
            Action::MakeDevice { device },
            "the network driver speaks to it",
        );
    }
    if made || (facts.tun == Tun::Closed && facts.may_chown) {
        let path = TUN.into();
        let why = "the user's group uses it as its owner does";
        give(Action::OpenToGroup { path, gid }, why);
    }
    preparation
}

impl Preparation {
    /// Gives it all.
    ///
    /// # Errors
    /// None of these steps ends a start: what is missing then is refused with its reason later.
    pub fn give(&self) -> Result<(), StepFailed> {
        apply::steps(&self.steps)
    }

    /// Whether the user can write to a directory when it was given what it gets.
    #[must_use]
    pub fn open(&self, path: &Path) -> bool {
        self.steps.iter().any(|step| match &step.action {
            Action::Give { path: dir, .. } | Action::CreateFor { path: dir, .. } => {
                path.starts_with(dir)
            }
            _ => false,
        })
    }

    /// The facts as they will be when this was given; those of a probe that it makes void are not
    /// known.
    pub fn foresee(&self, facts: &mut Facts, uid: u32) {
        for step in &self.steps {
            match &step.action {
                Action::CreateFor { path: dir, .. } => {
                    for place in &mut facts.private {
                        place.private |= place.path.starts_with(dir);
                    }
                }
                Action::Give { path, .. } => {
                    let storage = facts.storage.as_mut();
                    let Some(storage) = storage.filter(|storage| storage.data_root == *path) else {
                        continue;
                    };
                    storage.data_root_uid = Some(uid);
                    if let ProbeResult::Known(probe) = &storage.root.probe
                        && matches!(probe.writing, Writing::Refused(_))
                    {
                        let why =
                            "the data root is not the user's yet: it is tried when it was given";
                        storage.root.probe = ProbeResult::Unknown(why.into());
                    }
                }
                _ => {}
            }
        }
    }

    /// The same for what a rootless daemon needs.
    pub fn foresee_rootless(&self, facts: &mut RootlessFacts) {
        let tun = |step: &Step| matches!(step.action, Action::OpenToGroup { .. });
        if let ProbeResult::Known(probe) = &mut facts.probe
            && self.steps.iter().any(tun)
        {
            probe.tap = None;
        }
    }
}

impl PreparationFacts {
    /// Looks, as root. Only a daemon has a data root and an API.
    #[must_use]
    pub fn read(runtime: &Path, daemon: Option<&Path>) -> Self {
        use caps::{CapSet, Capability, has_cap};
        let may = |capability| has_cap(None, CapSet::Effective, capability).unwrap_or(false);
        let missing = files::stat(runtime).is_err() && files::can_be_written(runtime);
        Self {
            // What cannot be opened is refused with its reason later.
            data_root: daemon.and_then(|root| RootDirectory::read(root).ok()),
            runtime: missing.then(|| runtime.to_owned()),
            tun: Tun::read(),
            link: daemon.is_some() && link_fits(Path::new(DEFAULT_UNIX), &socket(runtime)),
            may_chown: may(Capability::CAP_CHOWN),
            may_mknod: may(Capability::CAP_MKNOD) && has_full_id_map(),
        }
    }
}

impl RootDirectory {
    fn read(path: &Path) -> std::io::Result<Self> {
        let dir = Dir::open(path)?;
        Ok(Self {
            path: path.to_owned(),
            owner: dir.stat()?.st_uid,
            empty: dir.names()?.iter().all(|name| name == "lost+found"),
        })
    }
}

impl Tun {
    #[expect(
        clippy::disallowed_methods,
        reason = "a device, of which only the mode is looked at"
    )]
    fn read() -> Self {
        match rustix::fs::stat(TUN) {
            Err(_) => Self::Missing,
            Ok(stat) if stat.st_mode & 0o006 == 0o006 => Self::Open,
            Ok(stat) if stat.st_uid == 0 => Self::Closed,
            Ok(_) => Self::Foreign,
        }
    }
}

/// The API's usual socket in a runtime directory.
fn socket(runtime: &Path) -> PathBuf {
    runtime.join("docker.sock")
}

/// Whether nothing is at the path, or a link that leads nowhere: the image's, or that of an earlier
/// start. Anything else is not ours, and one that is right already stays.
fn link_fits(path: &Path, target: &Path) -> bool {
    let missing = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    let above = path.parent().unwrap_or_else(|| Path::new("/"));
    let fits = match files::stat(path) {
        Ok(Kind::Link) if files::link_target(path).is_ok_and(|found| found == target) => false,
        Ok(Kind::Link) => files::target(path).is_err_and(|error| missing(&error)),
        Ok(_) => false,
        Err(error) => missing(&error),
    };
    fits && files::can_be_written(above)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: &str = "/home/u/.local/share/docker";

    fn user() -> User {
        User {
            name: "u".into(),
            uid: 1000,
            gid: 1001,
            home: "/home/u".into(),
        }
    }

    fn facts() -> PreparationFacts {
        PreparationFacts {
            data_root: Some(RootDirectory {
                path: DATA.into(),
                owner: 0,
                empty: true,
            }),
            may_chown: true,
            tun: Tun::Open,
            ..PreparationFacts::default()
        }
    }

    fn words(facts: &PreparationFacts) -> Vec<String> {
        let preparation = plan(facts, &user(), Path::new("/run/user/1000"));
        let words = preparation.steps.iter().map(|step| step.action.to_string());
        words.collect()
    }

    #[test]
    fn an_empty_data_root_of_roots_is_given() {
        assert_eq!(words(&facts()), [format!("chown  {DATA} to 1000:1001")]);
        let dir = |owner, empty| {
            let path = DATA.into();
            Some(RootDirectory { path, owner, empty })
        };
        for data_root in [dir(7, true), dir(0, false), None] {
            let facts = PreparationFacts {
                data_root,
                ..facts()
            };
            assert!(words(&facts).is_empty(), "{facts:?}");
        }
    }

    #[test]
    fn nothing_is_promised_that_we_may_not_give() {
        let all = PreparationFacts {
            runtime: Some("/run/user/1000".into()),
            tun: Tun::Missing,
            link: true,
            may_mknod: true,
            ..facts()
        };
        assert_eq!(
            words(&all),
            [
                "link   /var/run/docker.sock to /run/user/1000/docker.sock".to_owned(),
                format!("chown  {DATA} to 1000:1001"),
                "mkdir  /run/user/1000 for 1000:1001 (mode 0700)".to_owned(),
                "mknod  /dev/net/tun c 10 200 (mode 0600)".to_owned(),
                "chmod  /dev/net/tun for group 1001".to_owned(),
            ]
        );
        let none = PreparationFacts {
            may_chown: false,
            ..all.clone()
        };
        assert_eq!(words(&none).len(), 1);
        let preparation = plan(&none, &user(), Path::new("/run/user/1000"));
        assert!(!preparation.open(Path::new(DATA)));
        // In a user namespace the device can be neither made nor given.
        let inside = PreparationFacts {
            may_mknod: false,
            ..all
        };
        assert_eq!(words(&inside).len(), 3);
        let foreign = PreparationFacts {
            tun: Tun::Foreign,
            ..facts()
        };
        assert_eq!(words(&foreign).len(), 1);
    }

    #[test]
    fn what_is_given_can_be_written() {
        let preparation = plan(&facts(), &user(), Path::new("/run/user/1000"));
        assert!(preparation.open(Path::new(DATA)) && !preparation.open(Path::new("/home/u")));
        let made = PreparationFacts {
            runtime: Some("/run/user/1000".into()),
            ..facts()
        };
        let preparation = plan(&made, &user(), Path::new("/run/user/1000"));
        assert!(preparation.open(Path::new("/run/user/1000/dind-init")));
    }

    /// A machine that was met, on which the data root is root's.
    #[test]
    fn what_will_be_given_is_foreseen_and_nothing_else() {
        let text = include_str!("../../tests/fixtures/hosts/docker-unprivileged.json");
        let mut met: Facts = serde_json::from_str(text).unwrap();
        let storage = met.storage.as_mut().unwrap();
        storage.data_root_uid = Some(0);
        let data_root = storage.data_root.clone();
        let with = |path: PathBuf| {
            let data_root = Some(RootDirectory {
                path,
                owner: 0,
                empty: true,
            });
            let facts = PreparationFacts {
                data_root,
                ..facts()
            };
            let mut foreseen = met.clone();
            plan(&facts, &user(), Path::new("/r")).foresee(&mut foreseen, 1000);
            foreseen.storage.unwrap().data_root_uid
        };
        assert_eq!(with(data_root), Some(1000));
        assert_eq!(with("/elsewhere".into()), Some(0));
    }
}
