//! The way into rootless mode: who we will be, and where things are. Started as root with
//! `DIND_ROOTLESS=1` the process becomes the image's user first, and keeps only the right to
//! write id maps.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::base::environment::Environment;
use crate::base::explain::{Failure, exit};
use crate::config::Run;
use crate::config::lifetime;
use crate::config::rootless::places::{self, NotWritable, Places};
use crate::config::settings;
use crate::config::{CommandForm, Config, Identity, Mode};
use crate::files;
use crate::host::daemon_json::DaemonFile;
use crate::host::listen::parse_groups;
use crate::host::storage::Roots;
use crate::sys::userns;
use crate::userns::cgroup::{self, DelegatedCgroup};
use crate::userns::error::LaunchError;
use crate::userns::preparation::{self, Preparation, PreparationFacts};

/// Whether root asked for a rootless daemon.
#[must_use]
pub fn wanted(env: &Environment) -> bool {
    settings::ROOTLESS.of(env)
}

/// Becomes the user of the image, if we are root and that was asked for.
///
/// # Errors
/// There is no such user, or the kernel refuses.
pub fn become_user(env: Environment) -> Result<Environment, Failure> {
    let Some(user) = future_user(&env)? else {
        return Ok(env);
    };
    user.preparation(&env, None).give()?;
    Ok(user.become_it(env)?)
}

/// What comes of the way in.
#[derive(Debug, Default)]
pub struct Entry {
    /// The environment of who we are now.
    pub env: Environment,
    /// The part of our cgroup, for a rootless daemon.
    pub part: Option<DelegatedCgroup>,
    /// What root gives to the user, where we are that root.
    pub preparation: Preparation,
}

/// The same for a daemon. What needs the rights that are given up comes first: a part of our
/// cgroup is made for the daemon, where that is possible.
///
/// # Errors
/// As [`become_user`], a bad setting, or a step that failed.
pub fn daemon(
    form: CommandForm,
    arguments: &[OsString],
    env: Environment,
    run: Run,
) -> Result<Entry, Failure> {
    let identity = Identity::own();
    let user = future_user(&env)?;
    let (identity, its_env) = match &user {
        Some(user) => {
            let (uid, gid) = (user.uid, user.gid);
            let identity = Identity {
                uid,
                gid,
                ..identity
            };
            (identity, user.environment(env.clone()))
        }
        None if identity.mode() == Mode::Rootful => {
            return Ok(Entry {
                env,
                ..Entry::default()
            });
        }
        None => (identity, env.clone()),
    };
    // Bad settings are errors before anything is changed.
    let config = Config::new(form, arguments, its_env, identity)?;
    let prints = config.daemon.only_prints();
    let part = (!prints).then(|| cgroup::decide(config.cgroup, (identity.uid, identity.gid)));
    let part = match run {
        Run::Dry => part,
        Run::Live => part.map(DelegatedCgroup::make).transpose()?,
    };
    let Some(user) = user else {
        return Ok(Entry {
            env,
            part,
            preparation: Preparation::default(),
        });
    };
    let preparation = if prints {
        Preparation::default()
    } else {
        user.preparation(&env, Some(&data_root(&config)))
    };
    if run == Run::Live {
        preparation.give()?;
    }
    let env = user.become_it(env)?;
    Ok(Entry {
        env,
        part,
        preparation,
    })
}

/// Whom we are to become, if we are root and that was asked for.
///
/// # Errors
/// There is no such user.
pub fn future_user(env: &Environment) -> Result<Option<User>, LaunchError> {
    if !rustix::process::geteuid().is_root() || !wanted(env) {
        return Ok(None);
    }
    let text = |path: &str| files::text(Path::new(path)).unwrap_or_default();
    let passwd = text("/etc/passwd");
    let asked = settings::ROOTLESS_USER.of(env);
    let user = find_user(&passwd, asked.as_deref()).ok_or_else(|| {
        let name = asked.as_deref().unwrap_or("rootless");
        LaunchError::plain(format!("there is no user {name} in /etc/passwd"))
            .with_help(
                "DIND_ROOTLESS=1 as root makes dind-init become an ordinary user",
                "add the user to the image, or name another one: DIND_ROOTLESS_USER=NAME or UID",
            )
            .with_code(exit::REFUSED)
    })?;
    Ok(Some(user))
}

impl User {
    /// Where the runtime directory will be, if it can be made.
    pub(crate) fn runtime_dir(&self, env: &Environment) -> PathBuf {
        lifetime::runtime_dir(env, self.uid)
    }

    fn become_it(self, env: Environment) -> Result<Environment, LaunchError> {
        let groups = self.groups();
        // The user may not be allowed to open root's standard error once more.
        crate::log::never_wait();
        userns::become_user(self.uid, self.gid, &groups).map_err(|error| {
            LaunchError::new(format!("could not become user {}", self.name), &error)
                .with_help(
                    "changing to another user needs CAP_SETUID and CAP_SETGID",
                    "start the container with --cap-add SETUID --cap-add SETGID, or as that user",
                )
                .with_code(exit::REFUSED)
        })?;
        Ok(self.environment(env))
    }

    /// What it gets of us, while we are root. Only a daemon has a data root.
    fn preparation(&self, env: &Environment, data_root: Option<&Path>) -> Preparation {
        let runtime = self.runtime_dir(env);
        preparation::plan(&PreparationFacts::read(&runtime, data_root), self, &runtime)
    }

    /// What it gets: root's own places are of no use to it.
    pub(crate) fn environment(&self, env: Environment) -> Environment {
        env.with("HOME", self.home.as_os_str())
            .with("USER", self.name.as_str())
    }

    /// Its supplementary groups.
    pub(crate) fn groups(&self) -> Vec<u32> {
        let group = files::text(Path::new("/etc/group")).unwrap_or_default();
        groups(&group, &self.name)
    }
}

/// Where the data root of the user's daemon is.
fn data_root(config: &Config) -> PathBuf {
    let file = match config.daemon.value("config-file") {
        Some(path) => PathBuf::from(path),
        None => places::config(&config.env).join("daemon.json"),
    };
    Roots::of(config, &DaemonFile::read(&file)).data
}

/// A user of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    /// HOME.
    pub home: PathBuf,
}

/// By name or number; else `rootless`, else 1000.
fn find_user(passwd: &str, asked: Option<&str>) -> Option<User> {
    let by_name = |wanted: &str| {
        let line = passwd
            .lines()
            .find(|line| line.split(':').next() == Some(wanted))?;
        line.split(':').nth(2)?.parse::<u32>().ok()
    };
    let uid = match asked {
        Some(asked) => by_name(asked).or_else(|| asked.parse().ok())?,
        None => by_name("rootless").unwrap_or(1000),
    };
    let known = places::passwd(passwd, uid);
    let user = match known {
        Some((name, gid, home)) => User {
            name,
            uid,
            gid,
            home,
        },
        None if asked.is_some() => User {
            name: uid.to_string(),
            uid,
            gid: uid,
            home: "/".into(),
        },
        None => return None,
    };
    (user.uid != 0).then_some(user)
}

/// The groups of the user, and those that the container was given beside root's own: they may
/// grant /dev/net/tun or /dev/fuse.
fn groups(text: &str, user: &str) -> Vec<u32> {
    let members = |line: &str| -> Vec<String> {
        let list = line.split(':').nth(3).unwrap_or_default();
        list.split(',').map(str::to_owned).collect()
    };
    let of = |name: &str| -> Vec<u32> {
        let lines = text
            .lines()
            .filter(|line| members(line).iter().any(|member| member == name));
        lines
            .flat_map(|line| parse_groups(line).into_values())
            .collect()
    };
    let roots = of("root");
    let given = rustix::process::getgroups().unwrap_or_default();
    let mut groups = of(user);
    groups.extend(
        given
            .iter()
            .map(|group| group.as_raw())
            .filter(|group| *group != 0 && !roots.contains(group)),
    );
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// Looks where things can be.
///
/// # Errors
/// [`NotWritable`].
pub fn places(env: Environment) -> Result<Places, NotWritable> {
    places_with(env, &Preparation::default())
}

/// The same when that is, or will be, given to us.
///
/// # Errors
/// [`NotWritable`].
pub fn places_with(env: Environment, preparation: &Preparation) -> Result<Places, NotWritable> {
    let uid = rustix::process::geteuid().as_raw();
    let writable = |path: &Path| preparation.open(path) || files::can_be_written(path);
    let places = places::decide(env, uid, home(uid), writable)?;
    Ok(places.kept_where(|path| preparation.open(path) || files::can_be_private(path)))
}

fn home(uid: u32) -> Option<PathBuf> {
    let passwd = files::text(Path::new("/etc/passwd")).unwrap_or_default();
    places::passwd(&passwd, uid).map(|(_, _, home)| home)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nrootless:x:1001:1002::/home/r:/bin/sh\n\
                          other:x:7:7::/o:/bin/sh\n";

    #[test]
    fn the_user_is_found_by_name_number_or_custom_and_is_never_root() {
        let find = |asked| find_user(PASSWD, asked).map(|user| (user.uid, user.gid));
        assert_eq!(find(None), Some((1001, 1002)));
        assert_eq!(find(Some("other")), Some((7, 7)));
        assert_eq!(find(Some("7")), Some((7, 7)));
        assert_eq!(find(Some("5000")), Some((5000, 5000)));
        assert_eq!(find(Some("nobody")), None);
        assert_eq!(find(Some("0")), None);
        assert!(find_user("", None).is_none());
    }

    #[test]
    fn a_users_groups_are_kept_and_roots_are_not() {
        let text = "root:x:0:root\nbin:x:1:root\ndocker:x:2375:rootless,other\ntun:x:9:\n";
        let found = groups(text, "rootless");
        assert!(found.contains(&2375) && !found.contains(&0) && !found.contains(&1));
    }
}
