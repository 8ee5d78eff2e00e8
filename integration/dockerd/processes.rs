//! The process tree, and how it ends.

use crate::container::Container;
use crate::lab::{Lab, NESTED, until};

/// The parent of a process.
fn parent(dind: &Container, pid: &str) -> String {
    dind.sh(&format!("ps -o ppid= -p {pid}")).trim().to_owned()
}

#[test]
fn dockerd_is_the_child_of_pid_1_and_containerd_its_child() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().start();
    dind.docker(["version"]);
    assert_eq!(dind.sh("readlink /proc/1/exe"), "/usr/local/bin/dind-init");
    let dockerd = dind.sh("cat /run/docker.pid");
    assert_ne!(dockerd, "1");
    assert_eq!(dind.sh(&format!("cat /proc/{dockerd}/comm")), "dockerd");
    assert_eq!(parent(&dind, &dockerd), "1");
    let containerd = dind.sh("cat /run/docker/containerd/containerd.pid");
    assert_eq!(
        dind.sh(&format!("cat /proc/{containerd}/comm")),
        "containerd"
    );
    assert_eq!(parent(&dind, &containerd), dockerd);
}

/// A shell would clear the mask, and hide what it was.
const PRINT_SIGNALS: &str = r#"
    open(my $status, "<", "/proc/self/status") or die;
    print grep(/^Sig(Blk|Ign)/, <$status>);
"#;

/// Mask and dispositions of PID 1 are its own affair: dockerd starts with those that the
/// container was started with. An engine hands on what its own ancestors ignore, so a plain
/// container of the same engine says what those are.
#[test]
fn dockerd_starts_with_the_signals_of_its_container() {
    let Some(lab) = Lab::find() else { return };
    let (_, plain) = lab
        .base("forky")
        .entrypoint("perl")
        .args(["-e", PRINT_SIGNALS])
        .run_to_end();
    let stand_in = format!(
        r#"#!/usr/bin/perl
        open(STDOUT, ">", "/run/signals") or die;
        {PRINT_SIGNALS}
        exec("/usr/sbin/dockerd", @ARGV);
    "#
    );
    let dind = lab
        .dind()
        .file("/usr/local/sbin/dockerd", 0o755, &stand_in)
        .start();
    dind.docker(["version"]);
    let signals = dind.sh("cat /run/signals");
    assert_eq!(signals, plain.stdout.trim_end());
    assert!(signals.contains("SigBlk:\t0000000000000000"), "{signals}");
}

/// containerd's shims are reparented to PID 1, which nobody else reaps.
#[test]
fn no_zombie_of_a_nested_container_stays() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().start();
    dind.import_nested();
    dind.docker(["run", "--detach", "--name", "runs", NESTED, "sleep", "1000"]);
    let shim = dind.sh("pgrep -x containerd-shim");
    assert_eq!(parent(&dind, &shim), "1");
    dind.docker(["rm", "--force", "runs"]);
    until("all zombies are reaped", || {
        let states = dind.sh("ps -eo stat=,comm=");
        (!states.lines().any(|line| line.starts_with('Z'))).then_some(())
    });
}

#[test]
fn a_nested_init_is_ours_and_passes_the_exit_code_on() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().start();
    dind.import_nested();
    let run = ["docker", "run", "--rm", "--init", NESTED, "sh", "-c"];
    let first = dind.exec(run.into_iter().chain(["cat /proc/1/comm; exit 5"]));
    assert_eq!(
        (first.code, &*first.stdout),
        (5, "docker-init\n"),
        "{first}"
    );
    let version = dind.docker(["info", "--format", "{{.InitBinary}} {{.InitCommit.ID}}"]);
    assert!(
        version.starts_with("docker-init ") && !version.contains("N/A"),
        "{version}"
    );
    assert!(
        !dind.log().stderr.contains("failed to parse"),
        "{}",
        dind.log()
    );
}

/// One TERM for dockerd, the nested containers' own stop signal, and 0.
#[test]
fn a_stop_ends_nested_containers_and_keeps_their_restart_policy() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().start();
    dind.import_nested();
    let traps = "trap 'echo stopped; exit 3' TERM; echo started; while :; do sleep 0.1; done";
    let run = [
        "run",
        "--detach",
        "--restart",
        "unless-stopped",
        "--name",
        "keeps",
        NESTED,
    ];
    dind.docker(run.into_iter().chain(["sh", "-c", traps]));
    dind.sh("until docker logs keeps | grep started; do :; done");
    assert_eq!(dind.stop(), "0");
    dind.assert_tidy();

    dind.start();
    dind.sh("until [ $(docker logs keeps | grep -c started) = 2 ]; do :; done");
    assert_eq!(dind.docker(["logs", "keeps"]), "started\nstopped\nstarted");
}

#[test]
fn a_dockerd_that_dies_takes_its_exit_code_to_the_container() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().start();
    dind.docker(["version"]);
    dind.sh("kill -KILL $(cat /run/docker.pid)");
    assert_eq!(dind.wait(), "137");
    dind.start();
    dind.docker(["version"]);
    dind.sh("kill -TERM $(cat /run/docker.pid)");
    assert_eq!(dind.wait(), "0");
}

#[test]
fn a_hang_up_makes_dockerd_read_its_file_again() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().start();
    assert_eq!(dind.docker(["info", "--format", "{{.Debug}}"]), "false");
    dind.sh("mkdir -p /etc/docker; echo '{\"debug\": true}' >/etc/docker/daemon.json");
    dind.signal("HUP");
    dind.sh("until [ \"$(docker info --format '{{.Debug}}')\" = true ]; do :; done");
    assert_eq!(dind.stop(), "0");
}
