//! Why dockerd died: its last words, and the kernel's memory accounting.

use std::path::{Path, PathBuf};

use rustix::process::Pid;

use crate::files::kernel;
use crate::host::cgroup::place::{self, Membership};
use crate::host::mountinfo::{self, Mount};

/// The line of dockerd's output that names the cause: its own final line, a panic, the last fatal
/// line, the beginning of the last ones that are no log lines (dockerd prints like that what it ends
/// with), or else the last error.
#[must_use]
pub(super) fn last_words(lines: &str) -> Option<&str> {
    let fatal = |line: &&str| {
        [
            "failed to start daemon",
            "failed to load listeners",
            "level=fatal",
            "\"level\":\"fatal\"",
        ]
        .iter()
        .any(|mark| line.contains(mark))
            || [
                "panic: ",
                "fatal error: ",
                "runtime: ",
                "SIGSEGV",
                "unexpected fault",
            ]
            .iter()
            .any(|mark| line.starts_with(mark))
            || line.starts_with("unable to configure the Docker daemon")
    };
    let error = |line: &&str| line.contains("level=error") || line.contains("\"level\":\"error\"");
    // Neither of its logger, nor a remark of a program that it started.
    let logged = |line: &&str| {
        let line = line.trim_start();
        let logger = line.starts_with("time=") || line.starts_with('{');
        logger || line.starts_with('#') || line.to_lowercase().starts_with("warn")
    };
    let blank = |line: &&str| line.trim().is_empty();
    let plain = || {
        let back = lines.lines().rev().filter(|line| !blank(line));
        let block = back.skip_while(logged).take_while(|line| !logged(line));
        block.last()
    };
    // The first line of a panic is its cause, the last fatal line of a log is its end.
    let panic = lines
        .lines()
        .find(|line| line.starts_with("panic: ") || line.starts_with("fatal error: "));
    panic
        .or_else(|| lines.lines().rfind(fatal))
        .or_else(plain)
        .or_else(|| lines.lines().rfind(error))
        .map(str::trim)
}

/// What dockerd's words mean where they hide it.
#[must_use]
pub(super) fn meaning(words: &str) -> Option<&'static str> {
    words.contains("no sockets found via socket activation").then_some(
        "the dockerd in PATH is a script that starts dockerd as another process, and the sockets are \
         for the one that dind-init starts: let it end with exec, or set DIND_SOCKETS=dockerd",
    )
}

/// The counter of kills for lack of memory in dockerd's own cgroup.
#[derive(Debug, Clone)]
pub(super) struct OomCounter {
    file: Option<PathBuf>,
    before: u64,
}

impl OomCounter {
    /// Finds the counter of a process's cgroup and reads it.
    #[must_use]
    pub(super) fn of(pid: Pid) -> Self {
        let number = pid.as_raw_nonzero();
        let cgroups = kernel::read(format!("/proc/{number}/cgroup")).unwrap_or_default();
        let file = counter_file(&mountinfo::read(), &cgroups);
        let before = file.as_deref().and_then(read).unwrap_or(0);
        Self { file, before }
    }

    /// How many processes of that cgroup were killed since, and where it is counted.
    #[must_use]
    pub(super) fn kills(&self) -> Option<(u64, &Path)> {
        let file = self.file.as_deref()?;
        let kills = read(file)?.saturating_sub(self.before);
        (kills > 0).then_some((kills, file))
    }
}

/// `memory.events` of version 2, `memory.oom_control` of version 1.
fn counter_file(mounts: &[Mount], cgroups: &[u8]) -> Option<PathBuf> {
    let mut lines = Membership::all(cgroups);
    // A hierarchy of version 1 that has the controller keeps it from version 2.
    let line = lines.clone().find(|line| line.has("memory"));
    let file = line.map_or("memory.events", |_| "memory.oom_control");
    let line = line.or_else(|| lines.find(|line| line.controllers.is_empty()))?;
    Some(place::directory(mounts, line)?.join(file))
}

/// The `oom_kill` line, which both files have.
fn read(file: &Path) -> Option<u64> {
    let text = kernel::text(file).ok()?;
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "))?;
    count.trim().parse().ok()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_found_among_hundreds_of_lines() {
        for (lines, cause) in [
            (
                "time=1 level=info msg=x\ntime=1 level=error msg=y\n\
                 failed to start daemon: pid file found\nlevel=info msg=z\n",
                Some("failed to start daemon: pid file found"),
            ),
            (
                "time=1 level=error msg=first\ntime=1 level=error msg=last\ntime=1 level=info\n",
                Some("time=1 level=error msg=last"),
            ),
            (
                "panic: no map\n\ngoroutine 1 [running]:\nfatal error: x\n",
                Some("panic: no map"),
            ),
            (
                "time=1 level=info msg=x\n# Warning: iptables-legacy tables present\n\
                 chmod /data: operation not permitted\ntime=1 level=error msg=late\n",
                Some("chmod /data: operation not permitted"),
            ),
            (
                "time=1 level=info msg=x\nStatus: unknown flag: --x\nSee 'dockerd --help'.\n\n\
                 Usage:  dockerd\n, Code: 125\n",
                Some("Status: unknown flag: --x"),
            ),
            ("time=1 level=info msg=fine\n{\"level\":\"info\"}\n\n", None),
        ] {
            assert_eq!(last_words(lines), cause);
        }
    }

    #[test]
    fn the_counter_is_that_of_dockerds_own_cgroup() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().display();
        let v2 = format!("1 0 0:1 / {root}/v2 rw - cgroup2 cgroup rw\n");
        let v1 = format!("2 0 0:2 /docker/o {root}/memory rw - cgroup cgroup rw,memory\n");
        let find = |mounts: &str, cgroups: &str| {
            counter_file(&mountinfo::parse(mounts.as_bytes()), cgroups.as_bytes())
        };
        let file = find(&v2, "0::/init\n").unwrap();
        assert_eq!(file, dir.path().join("v2/init/memory.events"));
        assert_eq!(
            find(&format!("{v1}{v2}"), "9:memory:/docker/o\n0::/\n"),
            Some(dir.path().join("memory/memory.oom_control"))
        );
        assert_eq!(find("", "0::/\n"), None);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "low 0\noom 9\noom_kill 3\noom_group_kill 0\n").unwrap();
        let counter = OomCounter {
            file: Some(file.clone()),
            before: 1,
        };
        assert_eq!(counter.kills(), Some((2, file.as_path())));
    }
}
