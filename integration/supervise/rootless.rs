//! A rootless dockerd lives as another one does, below the process that holds its namespaces.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Dind, Start, can_run, start};
use crate::skip;

const USER: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

fn can_run_rootless() -> bool {
    if !can_run() {
        return false;
    }
    let mut trial = Command::new("setpriv");
    let trial = trial.args(USER).args(["unshare", "--user", "true"]);
    let can = trial.status().is_ok_and(|status| status.success());
    if !can {
        skip::skip("a user cannot make a user namespace");
    }
    can
}

/// With one mapped id and without a network: no program of somebody else's is needed.
fn rootless(stub: &str) -> Start {
    let user = USER.join(" ");
    start(stub)
        .beside(&format!(
            "chmod 755 /run; chown 65534:65534 $STUB_DIR /run; exec setpriv {user} \"$@\""
        ))
        .env("HOME", "/run")
        .env("XDG_RUNTIME_DIR", "/run")
        .env("DIND_ROOTLESS", "1")
        .env("DIND_ROOTLESS_SINGLE_ID", "1")
        .env("DOCKERD_ROOTLESS_ROOTLESSKIT_NET", "none")
}

/// dockerd's process id as the status has it, and its user namespace.
fn dockerd(dind: &Dind) -> (u64, PathBuf) {
    let pid = dind.status()["dockerd"].as_u64().unwrap();
    let namespace = dind.inside(&format!("/proc/{pid}/ns/user"));
    (pid, fs::read_link(namespace).unwrap())
}

#[test]
fn a_dead_rootless_dockerd_is_started_again_where_it_was() {
    if !can_run_rootless() {
        return;
    }
    let mut dind = rootless("").env("DIND_RESTART", "on-failure").run();
    dind.says("ready after");
    let (first, namespace) = dockerd(&dind);
    dind.request("/die");
    dind.says("dockerd was killed by signal 9");
    dind.says("restart 1); requests wait");
    assert!(dind.status()["dockerd"].is_null());
    dind.says("ready again");
    let (second, same) = dockerd(&dind);
    assert_ne!(first, second);
    assert_eq!(namespace, same);
    dind.stops();
}

#[test]
fn a_rootless_dockerd_that_does_not_stop_is_killed() {
    if !can_run_rootless() {
        return;
    }
    let mut dind = rootless("stubborn").env("DIND_STOP_TIMEOUT", "300ms").run();
    dind.says("ready after");
    dind.stops();
    let line = "did not stop in time and is killed";
    assert!(dind.said().contains(line), "{}", dind.said());
    // Else it would have been asked again, as a left over process.
    let asked = dind.said().matches("stub: TERM ignored").count();
    assert_eq!(asked, 1, "{}", dind.said());
}
