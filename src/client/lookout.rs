//! Whom a daemon of this container's runs as, and how root becomes that user: for whoever is sent in
//! beside it (`docker exec`, a kubelet's probe). Where the daemon is, and how it is asked, is
//! [`crate::client::own`]'s.

use std::path::Path;

use crate::base::environment::Environment;
use crate::client::own::Place;
use crate::config::rootless::places;
use crate::files::{self, kernel};
use crate::host::private;
use crate::supervise::status::STATUS_FILE;
use crate::sys::{process, userns};
use crate::userns::enter::{self, User};

/// Who asks the API: the environment of a command that talks to it as any client does, or becomes
/// such a client. There is no other way to one, so that no command is forgotten.
#[derive(Debug, Clone)]
pub struct Asker(Environment);

impl Asker {
    /// Becomes the daemon's user where we are a root who may not enter that user's directories (a
    /// container without `CAP_DAC_OVERRIDE`), and who may become anybody. The environment is the
    /// user's then.
    #[must_use]
    pub fn take_place(env: &Environment) -> Self {
        let may_enter = caps::has_cap(
            None,
            caps::CapSet::Effective,
            caps::Capability::CAP_DAC_OVERRIDE,
        );
        let of_root = |dir: &&str| files::exists(&Path::new(dir).join(STATUS_FILE));
        let rootful = private::OF_ROOT.iter().any(of_root);
        let root = rustix::process::geteuid().is_root();
        if !root || std::process::id() == 1 || rootful || may_enter.unwrap_or(true) {
            return Self(env.clone());
        }
        let Some(user) = daemons_user(env) else {
            return Self(env.clone());
        };
        let groups = user.groups();
        match userns::become_user(user.uid, user.gid, &groups) {
            Ok(()) => {
                let env = user.environment(env.clone());
                // Where the daemon is, it was this user who decided.
                Self(enter::places(env.clone()).map_or(env, |places| places.env))
            }
            Err(error) => {
                tracing::warn!(
                    "this root may not enter the directories of {}, whom the daemon runs as, nor \
                     become that user: {error}; --cap-add SETUID --cap-add SETGID, or docker exec \
                     --user {}",
                    user.name,
                    user.uid
                );
                Self(env.clone())
            }
        }
    }

    /// Its environment.
    #[must_use]
    pub fn env(&self) -> &Environment {
        &self.0
    }
}

/// Whom the daemon of this container runs as, where there is one. Process 1 may be anybody's: in a
/// job's container it is the job, and root is not to become that job's user.
fn daemons_user(env: &Environment) -> Option<User> {
    let of_ours = |user: &User| {
        let mut places = Place::all(env).into_iter();
        kernel::text("/proc/1/comm").is_ok_and(|name| is_supervisor(&name))
            || places.any(|place| place.owner == user.uid && place.has_status())
    };
    let settings = || user_of_settings(env);
    user_of_init().filter(of_ours).or_else(settings)
}

/// Whether that is the name of a process 1 of ours.
fn is_supervisor(name: &str) -> bool {
    process::SUPERVISOR.to_str() == Ok(name.trim_end())
}

/// The user of a rootless daemon that is process 1. Its directory in /proc may be root's: the
/// kernel gives it to root when the process is not dumpable.
#[must_use]
pub fn user_of_init() -> Option<User> {
    let status = kernel::text("/proc/1/status").unwrap_or_default();
    let passwd = files::text(Path::new("/etc/passwd")).unwrap_or_default();
    first_process(&status, &passwd)
}

/// The user of a rootless daemon, when we are root, as the variables tell with which the container
/// was started: process 1 is a stranger in a shared process table.
#[must_use]
pub fn user_of_settings(env: &Environment) -> Option<User> {
    enter::future_user(env).ok().flatten()
}

/// Who process 1 is, when that is not root.
fn first_process(status: &str, passwd: &str) -> Option<User> {
    let id = |name: &str| -> Option<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().nth(1)?.parse().ok() // the effective one
    };
    let (uid, gid) = (id("Uid:")?, id("Gid:")?);
    let (name, _, home) =
        places::passwd(passwd, uid).unwrap_or_else(|| (uid.to_string(), gid, "/".into()));
    (uid != 0).then_some(User {
        name,
        uid,
        gid,
        home,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn a_job_that_is_process_1_is_not_taken_for_the_daemon() {
        assert!(is_supervisor("docker-init\n"));
        assert!(!is_supervisor("nginx\n") && !is_supervisor(""));
    }

    #[test]
    fn process_1_tells_whom_the_daemon_runs_as() {
        let status = "Name:\tdind-init\nUid:\t1000\t1001\t1000\t1000\nGid:\t5\t6\t5\t5\n";
        let passwd = "root:x:0:0::/root:/bin/sh\nu:x:1001:9::/home/u:/bin/sh\n";
        let user = first_process(status, passwd).unwrap();
        assert_eq!((user.uid, user.gid, &*user.name), (1001, 6, "u"));
        assert_eq!(user.home, PathBuf::from("/home/u"));
        let unknown = first_process(status, "").unwrap();
        assert_eq!((unknown.uid, &*unknown.name), (1001, "1001"));
        assert!(first_process("Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n", passwd).is_none());
        assert!(first_process("", passwd).is_none());
    }
}
