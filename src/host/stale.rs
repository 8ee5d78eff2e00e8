//! Left-overs of a daemon that was killed: pid files, sockets, task directories. Each is only
//! called stale with proof that its owner is dead.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::{Config, Mode};
use crate::files::socket::Served;
use crate::files::trust::Trust;
use crate::files::{self, Dir, Kind};
use crate::process;

/// A pid and a newline.
const MOST: u64 = 64;

/// Something that a dead daemon left.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StaleFile {
    pub path: PathBuf,
    /// Whether it is a directory to be removed with its content.
    pub tree: bool,
    /// Why its owner is dead.
    pub proof: String,
}

/// Where daemons leave things.
#[derive(Debug, Clone)]
pub struct Places {
    /// The root of /run.
    pub run: PathBuf,
    /// `--pidfile`, if given.
    pub pidfile: Option<PathBuf>,
    /// `--exec-root`.
    pub exec_root: PathBuf,
    /// /proc.
    pub proc: PathBuf,
}

impl Places {
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let run = if config.mode() == Mode::Rootful {
            PathBuf::from("/run")
        } else {
            config.runtime_dir()
        };
        let exec_root = config.daemon.value("exec-root").map(PathBuf::from);
        Self {
            pidfile: config.daemon.value("pidfile").map(PathBuf::from),
            exec_root: exec_root.unwrap_or_else(|| run.join("docker")),
            run,
            proc: "/proc".into(),
        }
    }
}

/// Finds everything that is stale.
#[must_use]
pub fn find(places: &Places) -> Vec<StaleFile> {
    let mut found = Vec::new();
    let mut pid_files = Vec::new();
    pid_files_below(&places.run, &mut pid_files, 0);
    pid_files.extend(places.pidfile.clone());
    pid_files.push(places.exec_root.join("containerd/containerd.pid"));
    for path in pid_files {
        if let Some(proof) = dead_pid_file(&places.proc, &path) {
            found.push(StaleFile {
                path,
                tree: false,
                proof,
            });
        }
    }
    let mut sockets = vec![
        places.run.join("containerd/containerd.sock"),
        places.exec_root.join("containerd/containerd.sock"),
    ];
    // One for each dockerd that was killed.
    sockets.extend(entries(&places.exec_root.join("libnetwork")));
    for path in sockets {
        if let Some(proof) = dead_socket(&path) {
            found.push(StaleFile {
                path,
                tree: false,
                proof,
            });
        }
    }
    if let Some(proof) = no_containerd(&places.proc) {
        for namespace in state_directories(places)
            .iter()
            .flat_map(|dir| entries(dir))
        {
            for path in entries(&namespace) {
                found.push(StaleFile {
                    path,
                    tree: true,
                    proof: proof.clone(),
                });
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Where containerd and its runtimes keep a directory for each task, by namespace. They must go
/// together: a containerd that finds its own has the runtime's removed, and the other way round a
/// container cannot start again ("container with given ID already exists").
fn state_directories(places: &Places) -> Vec<PathBuf> {
    let mut dirs = entries(&places.exec_root);
    dirs.retain(|path| {
        let name = path.file_name().unwrap_or_default();
        name.as_encoded_bytes().starts_with(b"runtime-")
    });
    let tasks = "containerd/daemon/io.containerd.runtime.v2.task";
    dirs.push(places.exec_root.join(tasks));
    dirs
}

/// Nothing for what is no directory, a link that somebody else may have made, or a directory of
/// somebody else's: no daemon of ours left anything there, and it may be full of anything.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let ours = Dir::open(dir).and_then(|dir| dir.stat());
    match ours {
        Ok(stat) if Trust::current().includes(stat.st_uid) => {
            files::entries(dir).unwrap_or_default()
        }
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// Every `docker*.pid`, whatever its case, below a directory; links are not followed, nor other
/// daemons' deep trees: the exec root's own mounts lie deeper than this.
fn pid_files_below(dir: &Path, found: &mut Vec<PathBuf>, depth: usize) {
    for path in entries(dir) {
        let Ok(kind) = files::stat(&path) else {
            continue;
        };
        let name = path.file_name().unwrap_or_default();
        let name = name.to_string_lossy().to_ascii_lowercase();
        if kind == Kind::File && name.starts_with("docker") && name.ends_with(".pid") {
            found.push(path);
        } else if kind == Kind::Directory && depth < 4 && name != "netns" && name != "rootfs" {
            pid_files_below(&path, found, depth + 1);
        }
    }
}

/// Why the daemon of a pid file is dead; nothing if it lives, or if there is no such file.
fn dead_pid_file(proc: &Path, path: &Path) -> Option<String> {
    let text = files::read(path, MOST).ok()?;
    let Some(pid) = process::parse_id(String::from_utf8_lossy(&text).trim()) else {
        return Some("it holds no process id".into());
    };
    let number = pid.as_raw_nonzero();
    match process::leader(proc, pid) {
        Ok(None) => Some(format!("process {number} does not exist")),
        Ok(Some(name)) if name.is("dockerd") || name.starts_with("containerd") => None,
        Ok(Some(name)) => Some(format!(
            "process {number} is {name}, not a daemon of Docker's"
        )),
        // That it cannot be looked at proves nothing.
        Err(unread) => {
            tracing::warn!("{} is left: {unread}", path.display());
            None
        }
    }
}

fn dead_socket(path: &Path) -> Option<String> {
    let socket = files::stat(path).is_ok_and(|kind| kind == Kind::Socket);
    (socket && files::socket::served(path) == Served::No).then(|| "nobody listens on it".into())
}

/// Proof that no containerd and no shim runs in this pid namespace.
fn no_containerd(proc: &Path) -> Option<String> {
    let pids = process::ids(proc).and_then(|pids| {
        let names = pids.into_iter().map(|pid| process::leader(proc, pid));
        names.collect::<Result<Vec<_>, _>>()
    });
    match pids {
        Ok(names) => {
            let mut names = names.iter().flatten();
            let alive = names.any(|name| name.starts_with("containerd"));
            (!alive).then(|| "no containerd and no shim is running".into())
        }
        Err(unread) => {
            tracing::warn!("task directories are left: whether a containerd runs: {unread}");
            None
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A /run with left-overs and a /proc with a sleep as 7, a dockerd as 8 and its thread 9.
    fn machine() -> (tempfile::TempDir, Places) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for (pid, name, tgid) in [(7, "sleep", 7), (8, "dockerd", 8), (9, "dockerd", 8)] {
            let text = format!("Name:\t{name}\nState:\tS (sleeping)\nTgid:\t{tgid}\n");
            write(&root.join(format!("proc/{pid}/status")), &text);
        }
        let places = Places {
            run: root.join("run"),
            pidfile: None,
            exec_root: root.join("run/docker"),
            proc: root.join("proc"),
        };
        (dir, places)
    }

    fn found(places: &Places) -> Vec<String> {
        let name = |file: &StaleFile| {
            let path = file.path.strip_prefix(&places.run).unwrap_or(&file.path);
            path.display().to_string()
        };
        find(places).iter().map(name).collect()
    }

    #[test]
    fn pid_files_are_stale_only_when_no_daemon_has_that_pid() {
        let (_dir, places) = machine();
        for (name, text) in [
            ("docker.pid", "8"),           // lives
            ("x/Docker-foo.pid", "7"),     // a recycled pid
            ("docker-thread.pid", "9"),    // a thread id
            ("docker-gone.pid", "99\n"),   // dead
            ("docker-odd.pid", "garbage"), // nobody's
            ("other.pid", "99"),           // not ours
        ] {
            write(&places.run.join(name), text);
        }
        assert_eq!(
            found(&places),
            [
                "docker-gone.pid",
                "docker-odd.pid",
                "docker-thread.pid",
                "x/Docker-foo.pid"
            ]
        );
    }

    #[test]
    fn task_directories_are_stale_only_without_a_containerd() {
        let (dir, places) = machine();
        let task = "docker/containerd/daemon/io.containerd.runtime.v2.task/moby/abc";
        let state = "docker/runtime-runc/moby/abc";
        write(&places.run.join(task).join("init.pid"), "1");
        write(&places.run.join(state).join("state.json"), "{}");
        assert_eq!(found(&places), [task, state]);
        write(
            &dir.path().join("proc/12/status"),
            "Name:\tcontainerd-shim\nState:\tS (sleeping)\nTgid:\t12\n",
        );
        assert_eq!(found(&places), Vec::<String>::new());
    }

    #[test]
    fn sockets_and_a_pidfile_of_the_users_are_looked_at() {
        let (dir, mut places) = machine();
        let socket = places.run.join("containerd/containerd.sock");
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        places.pidfile = Some(dir.path().join("data/docker.pid"));
        write(&dir.path().join("data/docker.pid"), "99");
        assert_eq!(find(&places).len(), 1);
        let network = places.exec_root.join("libnetwork/0123456789ab.sock");
        std::fs::create_dir_all(network.parent().unwrap()).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&network).unwrap());
        assert_eq!(find(&places).len(), 2);
        drop(listener);
        assert_eq!(find(&places).len(), 3);
    }
}
