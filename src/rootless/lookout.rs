//! Where a daemon of this container's may be, and as whom to look: for whoever is sent in beside
//! it (`docker exec`, a kubelet's probe), as root or as anybody else.

use std::fs;
use std::path::PathBuf;

use super::enter::{self, User};
use super::places;
use crate::cli::environment::Environment;
use crate::plan::host::RUNTIME_DIR;
use crate::sys::userns;

/// Where the runtime directory of a running daemon may be: ours, and, for root, that of the user
/// whom the daemon runs as.
#[must_use]
pub fn runtime_dirs(env: &Environment) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = enter::places(env.clone())
        .map(|places| places.runtime)
        .into_iter()
        .collect();
    if let Some(user) = daemons_user(env) {
        dirs.push(user.runtime_dir(env));
        dirs.push(format!("/run/user/{}", user.uid).into());
        dirs.push(user.home.join(".docker/run"));
    }
    dirs
}

/// For commands that ask the daemon: becomes its user where we are a root who may not enter that
/// user's directories (a container without `CAP_DAC_OVERRIDE`), and who may become anybody. The
/// environment is the user's then.
#[must_use]
pub fn become_asker(env: &Environment) -> Environment {
    let may_enter = caps::has_cap(
        None,
        caps::CapSet::Effective,
        caps::Capability::CAP_DAC_OVERRIDE,
    );
    let rootful = PathBuf::from(RUNTIME_DIR).join("status.json").exists();
    if std::process::id() == 1 || rootful || may_enter.unwrap_or(true) {
        return env.clone();
    }
    let Some(user) = daemons_user(env) else {
        return env.clone();
    };
    let groups = user.groups();
    match userns::become_user(user.uid, user.gid, &groups) {
        Ok(()) => {
            let env = user.environment(env.clone());
            // Where the daemon is, it was this user who decided.
            enter::places(env.clone()).map_or(env, |places| places.env)
        }
        Err(error) => {
            tracing::warn!(
                "this root may not enter the directories of {}, whom the daemon runs as, nor \
                 become that user: {error}; --cap-add SETUID --cap-add SETGID, or docker exec \
                 --user {}",
                user.name,
                user.uid
            );
            env.clone()
        }
    }
}

/// The user of a rootless daemon, when we are root: process 1 tells it, or, where that is a
/// stranger (a shared process table), the variable that the container was started with.
fn daemons_user(env: &Environment) -> Option<User> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let status = fs::read_to_string("/proc/1/status").unwrap_or_default();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    first_process(&status, &passwd).or_else(|| enter::future_user(env).ok().flatten())
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
