use std::io::Read;

use rustix::process::Signal;

use crate::harness::{can_run, start};

#[test]
fn every_line_comes_through_in_order() {
    if !can_run() {
        return;
    }
    let mut dind = start("talks=20000").run();
    dind.says("ready after");
    dind.stops();
    let numbers = dind.said().lines().filter_map(|line| {
        let number = line.strip_prefix("line ")?.split(' ').next()?;
        number.parse::<usize>().ok()
    });
    assert!(numbers.eq(0..20_000));
}

/// More than our pipe, the test's pipe and the buffer between them hold.
const MANY: &str = "talks=10000";

#[test]
fn a_reader_that_stops_reading_stops_nobody_but_dockerd() {
    if !can_run() {
        return;
    }
    let mut dind = start(&format!("first:{MANY}")).run();
    dind.says("line 1 ");
    let mut stderr = dind.stop_reading();
    assert_eq!(dind.status()["state"], "starting", "PID 1 answers");
    assert_eq!(dind.status()["state"], "starting");
    let mut text = String::new();
    let pid = dind.pid();
    let reader = std::thread::spawn(move || {
        stderr.read_to_string(&mut text).unwrap();
        text
    });
    // Once somebody reads, it goes on, and nothing is lost.
    while !dind.path("ready").exists() {
        std::thread::yield_now();
    }
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(dind.ends(), 0);
    assert!(reader.join().unwrap().contains("line 9999 "));
}

#[test]
fn a_stop_is_not_held_up_by_lines_that_nobody_reads() {
    if !can_run() {
        return;
    }
    let mut dind = start("last-talks=20000").run();
    dind.says("ready after");
    let _unread = dind.stop_reading();
    dind.stops();
    assert!(!dind.path("docker.pid").exists(), "it could end by itself");
}

#[test]
fn a_reader_that_is_gone_harms_nobody() {
    if !can_run() {
        return;
    }
    let mut dind = start("last-talks=100").run();
    dind.says("ready after");
    drop(dind.stop_reading());
    dind.stops();
}
