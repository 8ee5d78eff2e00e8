//! What a stop must not lose, and a death of dockerd must not break.

use crate::container::Container;
use crate::lab::{Lab, NESTED};

/// A container's program that ends at TERM, and until then keeps a processor busy.
const BUSY: &str = "trap 'exit 0' TERM; while :; do :; done";

/// One that does not.
const DEAF: &str = "trap '' TERM; while :; do sleep 1; done";

/// One that has to write for five seconds before it may end.
const DATABASE: &str = "trap 'sleep 5; echo flushed >/data/state; exit 0' TERM; \
                        while :; do sleep 0.1; done";

/// Runs a nested container with options, a shell script in it.
#[track_caller]
fn nested(dind: &Container, name: &str, options: &[&str], script: &str) {
    let words = ["run", "--detach", "--name", name];
    dind.docker(
        words
            .iter()
            .chain(options)
            .copied()
            .chain([NESTED, "sh", "-c", script]),
    );
    // The trap must be set before the signal comes.
    dind.sh(&format!(
        "until docker exec {name} grep -q '^SigCgt:.*[1-9a-f]' /proc/1/status || \
                      docker exec {name} grep -q '^SigIgn:.*[1-9a-f]' /proc/1/status; do :; done"
    ));
}

/// What dockerd recorded about a container's end.
#[track_caller]
fn recorded(dind: &Container, name: &str) -> String {
    let format = "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}";
    dind.docker(["inspect", "--format", format, name])
}

/// What [`DATABASE`] wrote before its end.
#[track_caller]
fn written(dind: &Container) -> String {
    let run = ["run", "--rm", "--volume", "data:/data", NESTED];
    dind.docker(run.into_iter().chain(["cat", "/data/state"]))
}

#[test]
fn ten_busy_containers_one_of_them_deaf_are_stopped_within_docker_stops_patience() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().start();
    dind.import_nested();
    for number in 0..8 {
        nested(&dind, &format!("busy{number}"), &[], BUSY);
    }
    nested(&dind, "deaf", &[], DEAF);
    nested(&dind, "database", &["--volume", "data:/data"], DATABASE);
    assert_eq!(dind.stop(), "0");
    assert!(dind.log().stderr.contains("some containers did not stop"));
    dind.assert_tidy();

    dind.start();
    for number in 0..8 {
        assert_eq!(recorded(&dind, &format!("busy{number}")), "exited 0 false");
    }
    assert_eq!(recorded(&dind, "deaf"), "exited 137 false");
    assert_eq!(recorded(&dind, "database"), "exited 0 false");
    assert_eq!(written(&dind), "flushed");
}

/// What a container's first process calls itself is its own affair: no text, or what looks like
/// the end of a name in /proc/PID/stat.
#[test]
fn a_deaf_container_of_any_name_is_ended_in_time_for_dockerd_to_end_by_itself() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().start();
    dind.import_nested();
    let names = [r"\377\376", ") S 1 (", r"a\nb"];
    for (number, name) in names.iter().enumerate() {
        let script = format!("printf '{name}' >/proc/$$/comm; {DEAF}");
        let container = format!("deaf{number}");
        nested(&dind, &container, &["--user", "1000"], &script);
    }
    assert_eq!(dind.stop(), "0");
    let log = dind.log();
    assert!(log.stderr.contains("inside nested containers"), "{log}");
    for untrue in ["did not stop in time", "cannot be ended"] {
        assert!(!log.stderr.contains(untrue), "{log}");
    }
    dind.assert_tidy();

    dind.start();
    for number in 0..names.len() {
        assert_eq!(
            recorded(&dind, &format!("deaf{number}")),
            "exited 137 false"
        );
    }
}

#[test]
fn restart_policies_mean_after_a_stop_what_they_mean_with_the_official_image() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().start();
    dind.import_nested();
    let fails = "trap 'exit 3' TERM; while :; do sleep 0.1; done";
    for (name, policy) in [
        ("always", "always"),
        ("unless", "unless-stopped"),
        ("by-hand", "unless-stopped"),
        ("failing", "on-failure"),
        ("no", "no"),
    ] {
        nested(&dind, name, &["--restart", policy], fails);
    }
    dind.docker(["stop", "by-hand"]);
    assert_eq!(dind.stop(), "0");
    dind.start();
    for name in ["always", "unless", "failing"] {
        dind.sh(&format!("until docker exec {name} true; do :; done"));
    }
    for name in ["by-hand", "no"] {
        assert_eq!(recorded(&dind, name), "exited 3 false");
    }
}

#[test]
fn the_budget_grows_with_a_containers_own_stop_timeout() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().start();
    dind.import_nested();
    let slow = DATABASE.replace("sleep 5", "sleep 11");
    nested(
        &dind,
        "slow",
        &["--stop-timeout", "20", "--volume", "data:/data"],
        &slow,
    );
    // As a user would who knows of it; docker stop's own deadline would kill us.
    dind.signal("TERM");
    assert_eq!(dind.wait(), "0");
    assert!(dind.log().stderr.contains("a stop may take: 23 s"));
    dind.start();
    assert_eq!(recorded(&dind, "slow"), "exited 0 false");
}

#[test]
fn containers_of_a_live_restoring_daemon_get_their_own_stop_signal() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().args(["dockerd", "--live-restore"]).start();
    dind.import_nested();
    let script = DATABASE.replace("TERM", "USR2").replace("sleep 5;", "");
    nested(
        &dind,
        "kept",
        &["--stop-signal", "USR2", "--volume", "data:/data"],
        &script,
    );
    assert_eq!(dind.stop(), "0");
    assert!(
        dind.log()
            .stderr
            .contains("dockerd left 1 containers running")
    );
    dind.start();
    assert_eq!(written(&dind), "flushed");
}

/// With `restart: always` the container is back as fast as the official one, and a pod does not
/// hold on to a daemon that is gone.
#[test]
fn a_dead_dockerd_leaves_nobody_to_wait_for() {
    let Some(lab) = Lab::find() else { return };
    for kubernetes in ["X=", "KUBERNETES_SERVICE_HOST=10.0.0.1"] {
        let dind = lab.dind().env(kubernetes).start();
        dind.import_nested();
        nested(&dind, "deaf", &["--restart", "always"], DEAF);
        dind.sh("kill -KILL $(cat /run/docker.pid)");
        assert_eq!(dind.wait(), "137");
        let log = dind.log().stderr;
        assert!(log.contains("processes inside nested containers"), "{log}");
        assert!(!log.contains("they have their stop signal"), "{log}");
        // It is recorded by the next life, and the restart policy holds.
        dind.start();
        dind.sh("until docker exec deaf true; do :; done");
    }
}

#[test]
fn a_killed_dockerd_refuses_no_client_while_it_is_started_again() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().env("DIND_RESTART=on-failure").start();
    dind.import_nested();
    dind.sh("docker version");
    let codes = dind.sh(
        r#"
        mkdir /tmp/codes
        touch /tmp/run
        for number in $(seq 20); do
            while [ -e /tmp/run ]; do
                code=0
                curl -s -o /dev/null --unix-socket /var/run/docker.sock http://d/_ping || code=$?
                echo $code
            done >/tmp/codes/$number &
        done
        for round in 1 2 3; do
            kill -9 $(cat /run/docker.pid)
            until dind-init status --json | tr -d ' \n' | grep -q "\"state\":\"ready\".*\"restarts\":$round"; do :; done
            docker run --rm nested:test true
        done
        rm /tmp/run
        wait
        cat /tmp/codes/* | sort -n | uniq -c | sed 's/^ *//'
        "#,
    );
    // curl: 0 answered, 52 and 56 reset in flight; 7 would be a refused connection.
    let known = ["0", "52", "56"];
    for line in codes.lines() {
        let code = line.rsplit(' ').next().unwrap_or_default();
        assert!(known.contains(&code), "{codes}");
    }
    assert_eq!(dind.stop(), "0");
}

#[test]
fn a_live_restoring_daemon_keeps_its_containers_when_it_is_started_again() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab
        .dind()
        .env("DIND_RESTART=on-failure")
        .args(["dockerd", "--live-restore"])
        .start();
    dind.import_nested();
    nested(&dind, "kept", &[], DEAF);
    let before = dind.docker(["inspect", "--format", "{{.State.Pid}}", "kept"]);
    dind.sh("kill -9 $(cat /run/docker.pid)");
    dind.until_log("dockerd is ready again");
    assert_eq!(
        dind.docker(["inspect", "--format", "{{.State.Pid}}", "kept"]),
        before
    );
    dind.docker(["exec", "kept", "true"]);
}

#[test]
fn in_a_shared_pid_namespace_nothing_foreign_is_signalled() {
    let Some(lab) = Lab::find() else { return };
    let pod = lab
        .base("forky")
        .args([
            "sh",
            "-c",
            "trap 'echo hit' TERM HUP INT; echo up; while :; do sleep 0.1; done",
        ])
        .create();
    pod.start();
    let namespace = format!("container:{}", pod.id);
    let dind = lab.dind().options(["--pid", &namespace]).start();
    dind.import_nested();
    nested(&dind, "busy", &[], BUSY);
    nested(&dind, "deaf", &[], DEAF);
    assert_eq!(dind.stop(), "0");
    assert_eq!(pod.inspect("{{.State.Running}}"), "true");
    assert_eq!(pod.log().stdout.trim(), "up");
    let left = pod.sh("ps -eo comm= | sort -u | tr '\\n' ' '");
    for name in ["dockerd", "containerd", "containerd-shim", "sh -c"] {
        assert!(!left.split(' ').any(|found| found == name), "{left}");
    }
}

#[test]
fn below_an_init_of_the_outer_engine_it_ends_as_well() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().options(["--init"]).start();
    dind.import_nested();
    nested(&dind, "deaf", &[], DEAF);
    assert_eq!(dind.stop(), "0");
    assert!(!dind.log().stderr.contains("ended by itself"));
    dind.start();
    assert_eq!(recorded(&dind, "deaf"), "exited 137 false");
}

#[test]
fn a_command_has_the_daemon_and_its_code_is_the_containers() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab
        .dind()
        .entrypoint("dind-init")
        .args([
            "exec-when-ready",
            "sh",
            "-c",
            "docker info --format '{{.OSType}}'; exit 42",
        ])
        .start();
    assert_eq!(dind.wait(), "42");
    let log = dind.log();
    assert_eq!(log.stdout.lines().last(), Some("linux"), "{log}");
    dind.assert_tidy();
}
