use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;

use crate::harness::{can_run, script, start};

#[test]
fn a_start_that_fails_has_dockerds_code_and_words_in_order() {
    if !can_run() {
        return;
    }
    let mut dind = start("fails=3 because=no_such_driver").run();
    assert_eq!(dind.ends(), 3);
    let place = |text: &str| {
        dind.said()
            .find(text)
            .unwrap_or_else(|| panic!("{}", dind.said()))
    };
    let own = "\nfailed to start daemon: no such driver\n";
    let told = "dockerd ended by itself with exit code 3: failed to start daemon: no such driver";
    assert!(place("stub: level=info msg=one") < place(own) && place(own) < place(told));
    assert!(!dind.path("docker.sock").exists());
}

#[test]
fn a_dead_dockerd_is_the_end_by_default() {
    if !can_run() {
        return;
    }
    let mut dind = start("").run();
    dind.says("ready after");
    dind.request("/die");
    assert_eq!(dind.ends(), 137);
    assert!(dind.said().contains("dockerd was killed by signal 9"));
    assert!(!dind.path("docker.pid").exists());
}

#[test]
fn requests_wait_while_dockerd_is_started_again_until_it_dies_too_often() {
    if !can_run() {
        return;
    }
    let mut dind = start("").env("DIND_RESTART", "on-failure:1").run();
    dind.says("ready after");
    dind.request("/die");
    dind.says("restart 1); requests wait");
    assert!(!dind.path("ready").exists());
    assert_eq!(dind.status()["state"], "restarting");
    assert!(dind.status()["dockerd"].is_null());
    assert!(dind.request("/_ping").starts_with("HTTP/1.1 200"));
    dind.says("ready again");
    assert!(dind.path("ready").exists());
    let status = dind.status();
    assert_eq!(status["restarts"], 1);
    assert!(status["last_death"].as_str().unwrap().contains("signal 9"));
    dind.request("/die");
    assert_eq!(dind.ends(), 137);
    assert!(!dind.path("docker.sock").exists());
}

#[test]
fn a_passing_trouble_is_tried_again_and_a_lasting_one_is_not() {
    if !can_run() {
        return;
    }
    let passing = "first:fails=1 \
        because=failed_to_start_containerd:_timeout_waiting_for_containerd_to_start";
    let mut dind = start(passing).env("DIND_RESTART", "on-failure").run();
    dind.says("containerd was not ready within");
    dind.says("dockerd is ready again");
    dind.stops();

    let mut dind = start("first:fails=1")
        .env("DIND_RESTART", "on-failure")
        .run();
    assert_eq!(dind.ends(), 1);
}

#[test]
fn a_program_that_is_gone_is_named_with_the_cause() {
    if !can_run() {
        return;
    }
    let mut dind = start("").env("DIND_RESTART", "on-failure").run();
    dind.says("ready after");
    std::fs::remove_file(dind.path("bin/dockerd")).unwrap();
    dind.request("/die");
    let line = dind.says("could not start");
    assert!(line.contains("No such file or directory"), "{line}");
    assert_eq!(dind.ends(), 127);
}

#[test]
fn a_stop_between_two_lives_is_a_clean_end() {
    if !can_run() {
        return;
    }
    let mut dind = start("").env("DIND_RESTART", "on-failure").run();
    dind.says("ready after");
    dind.request("/die");
    dind.says("requests wait");
    dind.stops();
}

/// We are outside its pid namespace, where our id is 0: that is nobody, and not a dockerd that does
/// not run.
#[test]
fn nobody_outside_makes_a_dead_dockerd_ready() {
    if !can_run() {
        return;
    }
    let start = start("");
    let containerd = start.path("bin/containerd");
    // One that takes its time to end, so that the next dockerd must wait.
    script(&containerd, "sleep 1");
    let words = format!("mortal first:container={}", containerd.display());
    let mut dind = start
        .env("STUB", words)
        // Without a socket of ours there is no ping that would hold the word up.
        .env("DIND_SOCKETS", "dockerd")
        .env("DIND_RESTART", "on-failure")
        .run();
    dind.says("ready after");
    let path = dind.inside("/run/dind-init/notify.sock");
    dind.signal(Signal::USR1);
    dind.says("requests wait");
    let lives = dind.path("lives");
    let lives = || std::fs::read(&lives).unwrap().len();
    let socket = UnixDatagram::unbound().unwrap();
    while lives() == 1 && !dind.has_said_already("dockerd is ready again") {
        socket.send_to(b"READY=1", &path).unwrap();
    }
    dind.says("dockerd is ready again");
    assert_eq!(lives(), 2, "it was not there yet:\n{}", dind.said());
    dind.stops();
}
