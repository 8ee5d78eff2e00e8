use std::fs;

use rustix::process::Signal;

use crate::harness::{can_run, start};

#[test]
fn a_drain_waits_for_its_file_and_serves_meanwhile() {
    if !can_run() {
        return;
    }
    let start = start("");
    let value = format!("file:{}", start.path("done").display());
    let mut dind = start.env("DIND_DRAIN", value).run();
    dind.says("ready after");
    dind.signal(Signal::TERM);
    dind.says("draining: waiting for");
    assert_eq!(dind.status()["state"], "draining");
    assert!(!dind.path("ready").exists());
    assert!(dind.request("/_ping").starts_with("HTTP/1.1 200"));
    fs::write(dind.path("done"), "").unwrap();
    dind.says("drained: ");
    dind.says("stub: TERM");
    assert_eq!(dind.ends(), 0);
}

#[test]
fn a_second_signal_skips_the_drain() {
    if !can_run() {
        return;
    }
    let mut dind = start("").env("DIND_DRAIN", "file:/nowhere/done").run();
    dind.says("ready after");
    dind.signal(Signal::TERM);
    dind.says("draining: waiting for");
    dind.stops();
}

#[test]
fn a_drain_has_a_bound_and_an_idle_daemon_needs_none() {
    if !can_run() {
        return;
    }
    let mut dind = start("")
        .env("DIND_DRAIN", "file:/nowhere/done,max:10ms")
        .run();
    dind.says("ready after");
    dind.stops();
    let mut dind = start("").env("DIND_DRAIN", "idle").run();
    dind.says("ready after");
    dind.stops();
    assert!(dind.said().contains("drained: no container runs"));
}

#[test]
fn a_file_ends_it() {
    if !can_run() {
        return;
    }
    let start = start("");
    let value = format!("file:{}", start.path("done").display());
    let mut dind = start.env("DIND_EXIT_WHEN", value).run();
    dind.says("ready after");
    fs::write(dind.path("done"), "").unwrap();
    assert_eq!(dind.ends(), 0);
    assert!(dind.said().contains("done exists"));
    assert!(dind.said().contains("stub: TERM"));
}

#[test]
fn nobody_using_it_ends_it() {
    if !can_run() {
        return;
    }
    let mut dind = start("").env("DIND_EXIT_WHEN", "idle:500ms").run();
    dind.says("ready after");
    assert_eq!(dind.ends(), 0);
    assert!(dind.said().contains("nobody used the daemon for 0.5 s"));
}

#[test]
fn the_end_of_the_main_process_ends_it() {
    if !can_run() {
        return;
    }
    let start = start("");
    let done = start.path("done").display().to_string();
    let main = start.path("bin/the-main-process");
    crate::harness::script(&main, &format!("until [ -e {done} ]; do sleep 0.1; done"));
    let mut dind = start
        .env("DIND_EXIT_WHEN", "process:the-main-process")
        .beside(&format!("{} & true", main.display()))
        .run();
    dind.says("ready after");
    fs::write(dind.path("done"), "").unwrap();
    let line = dind.says("DIND_EXIT_WHEN: ");
    assert!(line.contains("the-main-process is gone"), "{line}");
    assert_eq!(dind.ends(), 0);
}

#[test]
fn the_end_of_the_parent_ends_it() {
    if !can_run() {
        return;
    }
    let start = start("");
    let done = start.path("done").display().to_string();
    // A shell in between starts the binary, and leaves when it is told to.
    let mut dind = start
        .env("DIND_EXIT_WHEN", "parent")
        .between(&format!("until [ -e {done} ]; do sleep 0.1; done"))
        .run();
    dind.says("ready after");
    fs::write(dind.path("done"), "").unwrap();
    let line = dind.says("DIND_EXIT_WHEN: ");
    assert!(line.contains("the parent process is gone"), "{line}");
    dind.says("exit code 0");
    fs::write(dind.path("over"), "").unwrap();
    assert_eq!(dind.ends(), 0);
}
