//! The way into rootless mode: who we will be, and where things are. Started as root with
//! `DIND_ROOTLESS=1` the process becomes the image's user first, and keeps only the right to
//! write id maps.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::error::LaunchError;
use super::part::{self, Part};
use super::places::{self, NotWritable, Places};
use crate::cli::bad::switch;
use crate::cli::config::{CommandForm, Config, Identity};
use crate::cli::environment::Environment;
use crate::daemon::{Caller, Run};
use crate::explain::{Failure, exit};
use crate::files::{self, Dir, Kind};
use crate::host::daemon_json::DaemonFile;
use crate::host::listen::parse_groups;
use crate::host::storage::Roots;
use crate::plan::address::DEFAULT_UNIX;
use crate::sys::userns;

/// Whether root asked for a rootless daemon.
#[must_use]
pub fn wanted(env: &Environment) -> bool {
    let value = env.non_empty("DIND_ROOTLESS").and_then(OsStr::to_str);
    value.and_then(switch).unwrap_or(false)
}

/// Becomes the user of the image, if we are root and that was asked for.
///
/// # Errors
/// There is no such user, or the kernel refuses.
pub fn become_user(env: Environment) -> Result<Environment, LaunchError> {
    match future_user(&env)? {
        Some(user) => user.become_it(env),
        None => Ok(env),
    }
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
) -> Result<(Environment, Option<Part>), Failure> {
    let identity = Caller::identity();
    let user = future_user(&env)?;
    let owner = match &user {
        Some(user) => (user.uid, user.gid),
        None if identity.uid == 0 => return Ok((env, None)),
        None => (identity.uid, identity.gid),
    };
    // Bad settings are errors before anything is changed.
    let config = Config::new(form, arguments, env.clone(), identity)?;
    let part = (!config.daemon.only_prints()).then(|| part::decide(config.cgroup, owner));
    let part = match run {
        Run::Dry => part,
        Run::Live => part.map(Part::make).transpose()?,
    };
    let env = match user {
        Some(user) => {
            if run == Run::Live && !config.daemon.only_prints() {
                standard_socket(&user.runtime_dir(&env));
                user.take_data_root(form, arguments, &env)?;
            }
            user.become_it(env)?
        }
        None => env,
    };
    Ok((env, part))
}

/// Whom we are to become, if we are root and that was asked for.
pub(super) fn future_user(env: &Environment) -> Result<Option<User>, LaunchError> {
    if !rustix::process::geteuid().is_root() || !wanted(env) {
        return Ok(None);
    }
    let text = |path: &str| files::text(Path::new(path)).unwrap_or_default();
    let passwd = text("/etc/passwd");
    let asked = env.non_empty("DIND_ROOTLESS_USER");
    let asked = asked.map(|user| user.to_string_lossy().into_owned());
    let user = find_user(&passwd, asked.as_deref()).ok_or_else(|| {
        let name = asked.as_deref().unwrap_or("rootless");
        LaunchError::plain(format!("there is no user {name} in /etc/passwd"))
            .because(
                "DIND_ROOTLESS=1 as root makes dind-init become an ordinary user",
                "add the user to the image, or name another one: DIND_ROOTLESS_USER=NAME or UID",
            )
            .with_code(exit::REFUSED)
    })?;
    Ok(Some(user))
}

impl User {
    /// Where the runtime directory will be, if it can be made.
    pub(super) fn runtime_dir(&self, env: &Environment) -> PathBuf {
        let set = env.non_empty("XDG_RUNTIME_DIR").map(PathBuf::from);
        set.unwrap_or_else(|| format!("/run/user/{}", self.uid).into())
    }

    fn become_it(self, env: Environment) -> Result<Environment, LaunchError> {
        runtime_dir(&env, &self);
        tun_device(self.gid);
        let groups = self.groups();
        // The user may not be allowed to open root's standard error once more.
        crate::log::never_wait();
        userns::become_user(self.uid, self.gid, &groups).map_err(|error| {
            LaunchError::new(format!("could not become user {}", self.name), &error)
                .because(
                    "changing to another user needs CAP_SETUID and CAP_SETGID",
                    "start the container with --cap-add SETUID --cap-add SETGID, or as that user",
                )
                .with_code(exit::REFUSED)
        })?;
        Ok(self.environment(env))
    }

    /// Makes the data root the user's, while we may: a volume of Kubernetes is root's, and dockerd
    /// wants to change its mode. Only an empty one: what others have put there stays theirs.
    fn take_data_root(
        &self,
        form: CommandForm,
        arguments: &[OsString],
        env: &Environment,
    ) -> Result<(), Failure> {
        let identity = Identity {
            uid: self.uid,
            gid: self.gid,
            ..Caller::identity()
        };
        let env = self.environment(env.clone());
        let config = Config::new(form, arguments, env.clone(), identity)?;
        let file = match config.daemon.value("config-file") {
            Some(path) => PathBuf::from(path),
            None => places::config(&env).join("daemon.json"),
        };
        let root = Roots::of(&config, &DaemonFile::read(&file)).data;
        // What cannot be opened is refused with its reason later.
        let Ok(dir) = Dir::open(&root) else {
            return Ok(());
        };
        let roots = dir.stat().is_ok_and(|stat| stat.st_uid == 0);
        if roots && is_empty(&dir) {
            match dir.give(self.uid, self.gid) {
                Ok(()) => tracing::info!("{} is given to {}", root.display(), self.name),
                Err(error) => tracing::debug!("chown {}: {error}", root.display()),
            }
        }
        Ok(())
    }

    /// What it gets: root's own places are of no use to it.
    pub(super) fn environment(&self, env: Environment) -> Environment {
        env.with("HOME", self.home.as_os_str())
            .with("USER", self.name.as_str())
    }

    /// Its supplementary groups.
    pub(super) fn groups(&self) -> Vec<u32> {
        let group = files::text(Path::new("/etc/group")).unwrap_or_default();
        groups(&group, &self.name)
    }
}

/// Whether a directory has nothing in it but what a file system has by itself.
fn is_empty(dir: &Dir) -> bool {
    let names = dir.names();
    names.is_ok_and(|names| names.iter().all(|name| name == "lost+found"))
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

/// Leads clients that know the standard path only to the user's socket, while we may. A link that
/// leads nowhere is the image's, or of an earlier start; anything else is not ours. Tolerated when
/// we may not: it is a comfort for `docker exec`.
fn standard_socket(runtime: &Path) {
    let path = Path::new(DEFAULT_UNIX);
    let lead = || {
        let (dir, name) = Dir::parent(path)?;
        match (dir.kind(&name), files::target(path)) {
            (Ok(Kind::Link), Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                files::remove(path)?;
            }
            (Err(error), _) if error.kind() == io::ErrorKind::NotFound => {}
            (Err(error), _) => return Err(error),
            (Ok(_), _) => return Ok(()),
        }
        dir.link(&name, &runtime.join("docker.sock"))
    };
    if let Err(error) = lead() {
        tracing::debug!("{}: {error}", path.display());
    }
}

/// Makes the runtime directory for the user while we may. Tolerated when we may not: the user may
/// be able to, or another place is taken.
fn runtime_dir(env: &Environment, user: &User) {
    let path = user.runtime_dir(env);
    if files::stat(&path).is_ok() {
        return;
    }
    let parents = path.parent();
    let parents = parents.map_or(Ok(()), |path| files::create_directory(path, 0o755));
    let made = parents.and_then(|()| Dir::parent(&path));
    let made = made.and_then(|(above, name)| {
        let dir = above.make_sub(&name, 0o700)?;
        dir.give(user.uid, user.gid).inspect_err(|_| {
            let _ = above.remove_empty(&name);
        })
    });
    if let Err(error) = made {
        tracing::debug!("{}: {error}", path.display());
    }
}

/// Lets the user's group open /dev/net/tun, and makes it where it is missing: Docker allows the
/// device to every container, and gives it to none. The node is the container's own. Tolerated
/// when we may not: the preflight says what is missing then.
fn tun_device(gid: u32) {
    let path = Path::new("/dev/net/tun");
    let made = || {
        files::make_device(path, 0o600, rustix::fs::makedev(10, 200))?;
        files::open_device_to_group(path, gid)
    };
    if let Err(error) = made() {
        tracing::debug!("{}: {error}", path.display());
    }
}

/// Looks where things can be.
///
/// # Errors
/// [`NotWritable`].
pub fn places(env: Environment) -> Result<Places, NotWritable> {
    let uid = rustix::process::geteuid().as_raw();
    let places = places::decide(env, uid, home(uid), files::can_be_written)?;
    Ok(places.kept_where(files::can_be_private))
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
