//! Deaths that are survived: of the whole container, and of dockerd alone.

use crate::lab::{Lab, NESTED, until};
use crate::outer::{SOCKET, inside, unprivileged};
use crate::workload;

const TIMES: u32 = 10;

/// The new container of each life.
const PUBLISHED: [&str; 2] = ["--publish", "8080:80"];

/// Ten times, with work going on and a published port: nothing stale is in the way.
#[test]
fn a_killed_container_starts_again_ten_times() {
    let Some(lab) = Lab::find() else { return };
    let dind = unprivileged(lab).start();
    workload::first_life(&dind, &["--publish", "8081:80"], &PUBLISHED);
    workload::killed_and_started_again(&dind, TIMES, &PUBLISHED);
}

/// dockerd dies and is started again in the same namespaces: the network driver and the sockets
/// stay, what was published is published again, and the death has its name.
#[test]
fn a_killed_dockerd_is_started_again_in_its_namespaces() {
    let Some(lab) = Lab::find() else { return };
    let dind = unprivileged(lab).env("DIND_RESTART=on-failure").start();
    dind.import_nested();
    let serve = "run --detach --restart=always --publish 8080:80";
    let web = ["httpd", "-f", "-p", "80", "-h", "/www"];
    dind.docker(serve.split(' ').chain([NESTED]).chain(web));
    let driver = dind.sh("pgrep slirp4netns");
    let namespace = inside(&dind, "readlink /proc/self/ns/net");
    for round in 1..=3 {
        dind.sh("kill -9 $(pgrep -x dockerd)");
        // It waits in the socket's queue, and is answered.
        dind.sh(&format!(
            "curl -sf --retry 20 --retry-all-errors --unix-socket {SOCKET} http://d/_ping"
        ));
        until("another round", || {
            let status = dind.exec(["dind-init", "status"]).stdout;
            let restarts = format!("restarts   {round}\n");
            (status.contains("state      ready") && status.contains(&restarts)).then_some(())
        });
        workload::run(&dind);
        dind.sh(
            "until [ \"$(curl -sf --retry 20 --retry-all-errors http://127.0.0.1:8080/)\" = nested ]; do :; done",
        );
    }
    assert_eq!(dind.sh("pgrep slirp4netns"), driver);
    assert_eq!(inside(&dind, "readlink /proc/self/ns/net"), namespace);
    let status = dind.sh("dind-init status");
    assert!(
        status.contains("dockerd was killed by signal 9"),
        "{status}"
    );
    assert_eq!(dind.stop(), "0");
}

/// A process of the dead dockerd's containers must not live on beside those of the next one,
/// whatever it calls itself.
#[test]
fn a_killed_dockerd_leaves_no_old_process_beside_the_new_one() {
    let Some(lab) = Lab::find() else { return };
    let dind = unprivileged(lab).env("DIND_RESTART=on-failure").start();
    dind.import_nested();
    let script = r"trap '' TERM; printf '\377\376' >/proc/$$/comm; while :; do sleep 1; done";
    let run = ["run", "--detach", "--user", "1000", NESTED];
    dind.docker(run.into_iter().chain(["sh", "-c", script]));
    let old = r#"perl -e 'for (</proc/[0-9]*/comm>) {
        open(my $file, "<", $_) or next; print "$_\n" if <$file> eq "\xff\xfe\n" }'"#;
    until("its name", || (!dind.sh(old).is_empty()).then_some(()));
    dind.sh("kill -9 $(pgrep -x dockerd)");
    dind.until_log("dockerd is ready again");
    assert_eq!(dind.sh(old), "");
    dind.until_log("1 containers are ended with the dockerd that ran them");
    assert_eq!(dind.stop(), "0");
}

/// As with the official image, unless restarts are asked for.
#[test]
fn a_killed_dockerd_ends_the_container_with_its_code() {
    let Some(lab) = Lab::find() else { return };
    let dind = unprivileged(lab).start();
    dind.import_nested();
    dind.docker(["run", "--detach", NESTED, "sleep", "infinity"]);
    dind.sh("kill -9 $(pgrep -x dockerd)");
    assert_eq!(dind.wait(), "137");
    dind.until_log("dockerd was killed by signal 9");
}

/// With a container that is deaf to its signal, and whose user is not mapped to ours: what
/// lives in it is killed in time for dockerd to record it.
#[test]
fn a_deaf_container_is_stopped_within_docker_stops_patience() {
    let Some(lab) = Lab::find() else { return };
    let dind = unprivileged(lab).start();
    dind.import_nested();
    let deaf = "trap '' TERM; while :; do sleep 1; done";
    let run = [
        "run", "--detach", "--name", "deaf", "--user", "1234", NESTED,
    ];
    dind.docker(run.into_iter().chain(["sh", "-c", deaf]));
    assert_eq!(dind.stop(), "0");
    let log = dind.log();
    assert!(log.stderr.contains("inside nested containers"), "{log}");
    dind.start();
    let inspect = ["inspect", "--format", "{{.State.ExitCode}}", "deaf"];
    assert_eq!(dind.docker(inspect), "137");
}
