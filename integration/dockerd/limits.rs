//! Limits of nested containers, and of the container around them, on this machine's own cgroups:
//! version 1 or 2, whatever its engine has. What needs version 2 is in integration/v2.

use crate::container::{Container, Create};
use crate::lab::{Lab, NESTED};

/// Kills for want of memory on this machine. The engine's `OOMKilled` is no witness: its shim hears
/// of the kill by an event of a group that may be removed before it looks.
fn kills(dind: &Container) -> u64 {
    let count = dind.sh("sed -n 's/^oom_kill //p' /proc/vmstat");
    count.parse().expect("a count")
}

/// A nested container that eats memory ends by the OOM killer; dockerd stays.
#[track_caller]
fn eats_and_dies(dind: &Container, options: &[&str]) {
    let dockerd = dind.sh("cat /run/docker.pid");
    let before = kills(dind);
    let run = ["docker", "run", "--name", "eater"];
    let words = [NESTED, "tail", "/dev/zero"];
    let eater = dind.exec(run.iter().chain(options).chain(&words).copied());
    assert_eq!(eater.code, 137, "{eater}");
    assert!(kills(dind) > before, "it was not killed for want of memory");
    dind.docker(["rm", "eater"]);
    assert_eq!(dind.sh("cat /run/docker.pid"), dockerd);
    dind.docker(["version"]);
}

/// The path of a nested container's memory cgroup, as the product's container names it.
#[track_caller]
fn cgroup(dind: &Container, name: &str) -> String {
    let pid = dind.docker(["inspect", "--format", "{{.State.Pid}}", name]);
    dind.sh(&format!(
        "sed -n '/:memory:/{{s/.*://p;q}}; s/^0:://p' /proc/{pid}/cgroup | head -n 1"
    ))
}

fn limited(create: Create) -> Create {
    create.options(["--memory", "400m", "--memory-swap", "400m"])
}

#[test]
fn limits_of_nested_containers_and_our_own_hold_in_each_cgroup_namespace() {
    let Some(lab) = Lab::find() else { return };
    for namespace in ["private", "host"] {
        let dind = limited(lab.dind().options(["--cgroupns", namespace])).start();
        dind.import_nested();
        eats_and_dies(&dind, &["--memory", "64m"]);
        eats_and_dies(&dind, &[]);
        let full = dind.exec([
            "docker",
            "run",
            "--rm",
            "--pids-limit",
            "8",
            NESTED,
            "sh",
            "-c",
            "for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done",
        ]);
        assert!(full.stderr.contains("can't fork"), "{full}");
        let quota = dind.docker([
            "run",
            "--rm",
            "--cpus",
            "0.5",
            NESTED,
            "sh",
            "-c",
            "cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || true",
        ]);
        assert!(quota.starts_with("50000"), "{quota:?}");
    }
}

#[test]
fn nested_containers_stay_below_us_when_the_hosts_tree_is_mounted() {
    let Some(lab) = Lab::find() else { return };
    let tree = [
        "--cgroupns",
        "host",
        "--volume",
        "/sys/fs/cgroup:/sys/fs/cgroup",
    ];
    let dind = limited(lab.dind().options(tree)).start();
    dind.import_nested();
    dind.docker([
        "run", "--detach", "--name", "idle", NESTED, "sleep", "infinity",
    ]);
    let path = cgroup(&dind, "idle");
    assert!(path.contains(&format!("{}/docker/", dind.id)), "{path}");
    eats_and_dies(&dind, &[]);
}

#[test]
fn a_reserve_is_kept_for_dockerd() {
    let Some(lab) = Lab::find() else { return };
    let dind = limited(lab.dind().env("DIND_MEMORY_RESERVE=150M")).start();
    dind.import_nested();
    let limit = dind.sh(
        "cd /sys/fs/cgroup; cat docker/memory.max memory/docker/memory.limit_in_bytes 2>/dev/null || true",
    );
    assert_eq!(limit, (250 << 20).to_string());
    eats_and_dies(&dind, &[]);
}

#[test]
fn a_nested_limit_holds_with_each_engine() {
    let Some(lab) = Lab::find() else { return };
    for suite in ["bookworm", "trixie", "forky"] {
        let dind = limited(lab.dind_on(suite)).start();
        dind.import_nested();
        eats_and_dies(&dind, &["--memory", "64m"]);
        eats_and_dies(&dind, &[]);
    }
}

/// As recipes for systemd have it. Version 2 mounts its tree anew, version 1 makes each writable.
#[test]
fn a_read_only_volume_of_cgroups_is_in_nobodys_way() {
    let Some(lab) = Lab::find() else { return };
    let volume = "/sys/fs/cgroup:/sys/fs/cgroup:ro";
    let dind = limited(lab.dind()).options(["--volume", volume]).start();
    dind.import_nested();
    eats_and_dies(&dind, &["--memory", "32m"]);
    let log = dind.log();
    assert!(!log.stderr.contains("cannot be written"), "{log}");
}
