//! The life of a rootless daemon: it works, stops, dies whole, and comes back.

use crate::lab::{Lab, NESTED, until};
use crate::outer::{SOCKET, inside, privileged, unprivileged};
use crate::workload::{self, Builder};

#[test]
fn nested_containers_run_in_a_privileged_container() {
    let Some(lab) = Lab::find() else { return };
    let dind = privileged(lab).start();
    dind.import_nested();
    workload::run(&dind);
    workload::build(&dind, Builder::BuildKit);
    let inner = "mount | grep -q 'sysfs on /sys .*rw'";
    dind.docker(["run", "--rm", "--privileged", NESTED, "sh", "-ec", inner]);
    let version = dind.docker(["version"]);
    assert!(version.contains("rootlesskit:"), "{version}");
    assert_eq!(dind.stop(), "0");
    dind.assert_tidy();
}

#[test]
fn nested_containers_run_in_an_unprivileged_container() {
    let Some(lab) = Lab::find() else { return };
    let dind = unprivileged(lab).start();
    dind.import_nested();
    workload::run(&dind);
    let refused = dind.exec(["docker", "run", "--rm", "--privileged", NESTED, "true"]);
    assert!(refused.stderr.contains("sysfs"), "{refused}");
    let told = "`docker run --privileged` will not work inside";
    assert!(dind.log().stderr.contains(told), "{}", dind.log());
    assert_eq!(dind.stop(), "0");
    dind.assert_tidy();
}

#[test]
fn the_api_is_served_outside_over_tcp_and_tls() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let certs = lab.volume();
    let dind = unprivileged(lab)
        .named_docker(&network)
        .env("DOCKER_TLS_CERTDIR=/certs")
        .volume(&certs, "/certs")
        .start();
    let client = lab
        .client("forky", &network)
        .volume(&certs, "/certs")
        .env("DOCKER_HOST=tcp://docker:2376")
        .env("DOCKER_TLS_VERIFY=1")
        .env("DOCKER_CERT_PATH=/certs/client")
        .start();
    until("the client's certificate", || {
        let there = client.exec(["test", "-s", "/certs/client/key.pem"]);
        (there.code == 0).then_some(())
    });
    client.import_nested();
    workload::run(&client);
    drop(dind);
}

#[test]
fn a_stop_ends_nested_containers_and_leaves_nothing() {
    let Some(lab) = Lab::find() else { return };
    let dind = unprivileged(lab).start();
    dind.import_nested();
    let heeds = "trap 'exit 0' TERM; while :; do sleep 1; done";
    dind.docker(["run", "--detach", NESTED, "sh", "-c", heeds]);
    dind.signal("TERM");
    assert_eq!(dind.wait(), "0");
    dind.assert_tidy();
}

/// The child's half; the parent is PID 1, whose end is the container's.
#[test]
fn the_death_of_the_child_is_the_death_of_all_and_the_next_start_works() {
    let Some(lab) = Lab::find() else { return };
    let dind = unprivileged(lab).start();
    dind.import_nested();
    for _ in 0..3 {
        dind.docker(["run", "--detach", "--rm", NESTED, "sleep", "infinity"]);
        dind.exec([
            "sh",
            "-c",
            "kill -9 $(cat /run/user/1000/dockerd-rootless/child_pid)",
        ]);
        assert_eq!(dind.wait(), "137");
        dind.start();
        workload::run(&dind);
    }
}

/// Where the parent is not PID 1.
#[test]
fn nothing_outlives_a_killed_parent() {
    let Some(lab) = Lab::find() else { return };
    let dind = unprivileged(lab)
        .option("--init")
        .entrypoint("sleep")
        .args(["infinity"])
        .start();
    dind.sh(
        "dockerd-entrypoint.sh >/tmp/log 2>&1 & echo $! >/tmp/parent; docker version >/dev/null",
    );
    dind.sh("pgrep -x dockerd; pgrep slirp4netns; kill -9 $(cat /tmp/parent)");
    for name in ["dockerd", "slirp4netns", "containerd", "dockerd-entrypo"] {
        until(name, || {
            let alive = dind.exec(["pgrep", "-x", name]);
            (alive.code == 1).then_some(())
        });
    }
}

/// Whoever started us listens outside of the container, and hears of its end as well.
#[test]
fn readiness_and_the_stop_are_handed_on_to_whoever_started_us() {
    let Some(lab) = Lab::find() else { return };
    let volume = lab.volume();
    let listener = lab
        .base("forky")
        .volume(&volume, "/notify")
        .args(["socat", "-u"])
        .args(["UNIX-RECV:/notify/socket,mode=0777"])
        .args(["OPEN:/notify/said,creat,append"])
        .start();
    listener.sh("until [ -S /notify/socket ]; do :; done");
    let dind = unprivileged(lab)
        .volume(&volume, "/notify")
        .env("NOTIFY_SOCKET=/notify/socket")
        .start();
    let said = || listener.exec(["cat", "/notify/said"]).stdout;
    until("READY=1", || said().contains("READY=1").then_some(()));
    dind.docker(["version"]);
    assert!(!said().contains("STOPPING=1"), "{}", said());
    assert_eq!(dind.stop(), "0");
    let words = until("STOPPING=1", || {
        Some(said()).filter(|words| words.contains("STOPPING=1"))
    });
    let (before, after) = words.split_once("STOPPING=1").unwrap_or_default();
    assert_eq!(before.matches("READY=1").count(), 1, "{words}");
    assert!(!after.contains("READY=1"), "{words}");
}

/// The sockets are bound before anything else: a client that comes at once is answered.
#[test]
fn the_first_client_is_answered_however_early_it_comes() {
    let Some(lab) = Lab::find() else { return };
    let dind = unprivileged(lab).start();
    dind.sh(&format!(
        "until [ -S {SOCKET} ]; do :; done; curl -sf --unix-socket {SOCKET} http://x/_ping"
    ));
}

#[test]
fn the_inside_has_the_outer_search_list_and_the_drivers_name_server() {
    let Some(lab) = Lab::find() else { return };
    let dind = unprivileged(lab)
        .options(["--dns-search", "svc.cluster.local", "--dns-opt", "ndots:5"])
        .start();
    dind.docker(["version"]);
    assert_eq!(
        inside(&dind, "cat /etc/resolv.conf"),
        "nameserver 10.0.2.3\nsearch svc.cluster.local\noptions ndots:5"
    );
    let hosts = inside(&dind, "cat /etc/hosts");
    assert!(
        hosts.contains(&format!("127.0.0.1 {}", &dind.id[..12])),
        "{hosts}"
    );
}
