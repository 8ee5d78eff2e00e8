//! Which paths our program opens, makes, renames, changes or removes: read from strace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::world::SHARED;

/// Calls that do something at a path; who only looks (stat, access, readlink) is not fooled by
/// what is there, but by what is done next.
const CALLS: &str = "open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,\
    unlinkat,rmdir,link,linkat,symlink,symlinkat,mknod,mknodat,chmod,fchmodat,fchmodat2,chown,\
    lchown,fchownat,truncate,bind,connect,mount,move_mount,umount2,execve,execveat";

/// strace, one file for each process in a directory.
pub(super) fn tracer(dir: &Path) -> Vec<String> {
    let out = format!("{}/t", dir.display());
    let words = [
        "strace",
        "-ff",
        "-qq",
        "-y",
        "-s",
        "4096",
        "-e",
        "signal=none",
    ];
    let mut words: Vec<String> = words.map(str::to_owned).to_vec();
    words.extend(["-e".into(), format!("trace={CALLS}"), "-o".into(), out]);
    words
}

/// The paths of our program's in the traces of a directory, below what neighbours may write.
pub(super) fn paths(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).expect("traces").flatten() {
        let text = fs::read(entry.path()).unwrap_or_default();
        of_process(&String::from_utf8_lossy(&text), &mut found);
    }
    found
}

/// One process. Before its first `execve` it is a child of ours: dockerd's stub makes none that
/// touch anything shared.
fn of_process(trace: &str, found: &mut BTreeSet<PathBuf>) {
    let mut ours = true;
    let mut descriptors: BTreeMap<String, PathBuf> = BTreeMap::new();
    for line in trace.lines() {
        let Some((call, rest)) = line.split_once('(') else {
            continue;
        };
        let result = rest.rsplit_once(" = ").map_or("", |(_, result)| result);
        if call.starts_with("execve") {
            if result == "0" {
                let program = strings(rest).next().unwrap_or_default();
                let name = program.rsplit('/').next().unwrap_or_default();
                ours = ["dind-init", "dockerd-entrypoint.sh", "exe"].contains(&name);
            }
            continue;
        }
        // What a descriptor is open on, for those who name it as /proc/self/fd/N.
        if let Some((number, place)) = result.split_once('<') {
            let place = place.split('>').next().unwrap_or_default();
            descriptors.insert(number.to_owned(), place.into());
        }
        if !ours {
            continue;
        }
        let names: Vec<String> = match call {
            "bind" | "connect" => rest
                .split_once("sun_path=\"")
                .and_then(|(_, path)| path.split_once('"'))
                .map(|(path, _)| path.to_owned())
                .into_iter()
                .collect(),
            _ => named(rest).collect(),
        };
        for name in names {
            if let Some(path) = shared(&through_proc(&name, &descriptors)) {
                with_parents(&path, found);
            }
        }
    }
}

/// The strings among the words of a call.
fn strings(rest: &str) -> impl Iterator<Item = &str> {
    rest.split('"').skip(1).step_by(2)
}

/// The paths among the words of a call, each below the directory descriptor before it.
fn named(rest: &str) -> impl Iterator<Item = String> {
    let parts: Vec<&str> = rest.split('"').collect();
    let pairs: Vec<(String, String)> = parts
        .chunks_exact(2)
        .filter_map(|pair| Some((pair.first()?.to_string(), pair.get(1)?.to_string())))
        .collect();
    pairs.into_iter().map(|(before, name)| {
        let directory = before
            .rsplit_once('<')
            .and_then(|(_, rest)| rest.split_once('>'))
            .map(|(directory, _)| directory);
        match directory {
            Some(directory) if !name.starts_with('/') => format!("{directory}/{name}"),
            _ => name,
        }
    })
}

/// `/proc/self/fd/7/name` is below what 7 is open on.
fn through_proc(name: &str, descriptors: &BTreeMap<String, PathBuf>) -> PathBuf {
    let known = name.strip_prefix("/proc/self/fd/").and_then(|rest| {
        let (number, below) = rest.split_once('/').unwrap_or((rest, ""));
        Some(descriptors.get(number)?.join(below))
    });
    known.unwrap_or_else(|| name.into())
}

/// The path without its dots, when a neighbour may write there; the shared directory itself is a
/// mount and stays.
fn shared(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    let plain = plain
        .strip_prefix("/var/run")
        .map_or_else(|_| plain.clone(), |below| Path::new("/run").join(below));
    let below = |(at, _): &(&str, &str)| {
        plain
            .strip_prefix(at)
            .is_ok_and(|below| below.components().next().is_some())
    };
    SHARED.iter().any(below).then_some(plain)
}

/// Whoever may write a directory may put another one in the place of any below it.
fn with_parents(path: &Path, found: &mut BTreeSet<PathBuf>) {
    for path in path.ancestors() {
        if let Some(path) = shared(path) {
            found.insert(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_whatever_names_them() {
        let trace = r#"
execve("/usr/bin/sh", ["sh"], 0x1 /* 2 vars */) = 0
openat(AT_FDCWD</>, "/run/not-ours", O_RDONLY) = 3</run/not-ours>
execve("/usr/local/bin/dockerd-entrypoint.sh", ["x"], 0x1 /* 2 vars */) = 0
openat(AT_FDCWD</>, "/var/run", O_PATH) = 7</run>
openat2(7</run>, "dind-init", {flags=O_PATH}, 24) = 8</run/dind-init>
renameat(8</run/dind-init>, ".abc", 8</run/dind-init>, "status.json") = 0
bind(4<UNIX:[1]>, {sa_family=AF_UNIX, sun_path="/proc/self/fd/7/docker.sock"}, 20) = 0
connect(4<UNIX:[1]>, {sa_family=AF_UNIX, sun_path="/job/x.sock"}, 20) = -1 ENOENT (No such)
unlink("/etc/passwd") = -1 EROFS (Read-only)
execve("/usr/local/sbin/dockerd", ["dockerd"], 0x1) = 0
unlink("/run/stubs") = 0
"#;
        let mut found = BTreeSet::new();
        of_process(trace, &mut found);
        let found: Vec<_> = found.iter().map(|path| path.to_string_lossy()).collect();
        assert_eq!(
            found,
            [
                "/job/x.sock",
                "/run/dind-init",
                "/run/dind-init/.abc",
                "/run/dind-init/status.json",
                "/run/docker.sock"
            ]
        );
    }
}
