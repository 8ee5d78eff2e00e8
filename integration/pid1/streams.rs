//! Descriptors: what the program finds open, and streams that are closed, full or broken.

use std::collections::BTreeSet;
use std::fs::File;

use crate::harness::{
    children, fill, has_descriptors, init, ours, pid1, pipe, runs, script, until,
};

#[test]
fn closed_standard_streams_stay_closed_in_every_combination() {
    pid1(|| {
        for combination in 0..8 {
            let closed: Vec<i32> = (0..3).filter(|fd| combination & (1 << fd) != 0).collect();
            if closed.contains(&0) && !ours() {
                continue; // tini does not start: tcsetpgrp failed: Bad file descriptor
            }
            let start =
                init(["-w", "-vvv", "sleep", "1000"]).stderr(File::create("/dev/null").unwrap());
            let init = start
                .stdout(File::create("/dev/null").unwrap())
                .closed(&closed)
                .start();
            let program = init.program();
            runs(program, "sleep");
            let expected: BTreeSet<i32> = (0..3).filter(|fd| !closed.contains(fd)).collect();
            has_descriptors(program, &expected);
            init.signal(libc::SIGTERM);
            assert_eq!(init.code(), 143, "{closed:?} closed");
        }
    });
}

#[test]
fn the_program_finds_what_was_passed_and_nothing_else() {
    pid1(|| {
        let file = || File::open("/dev/null").unwrap().into();
        let init = init(["sleep", "1000"])
            .passed(file(), 5)
            .passed(file(), 9)
            .start();
        let program = init.program();
        runs(program, "sleep");
        let expected = [0, 1, 2, 5, 9].into();
        has_descriptors(program, &expected);
        has_descriptors(init.pid(), &expected);
    });
}

#[test]
fn a_full_device_ends_nobody() {
    pid1(|| {
        let full = || File::options().write(true).open("/dev/full").unwrap();
        let start = script(&["-w", "-vvv"], "(true &); exit 6")
            .stdout(full())
            .stderr(full());
        assert_eq!(start.code(), 6);
    });
}

/// tini differs: it waits for the reader of its messages, for ever.
#[test]
fn a_reader_that_does_not_read_stops_nothing() {
    pid1(|| {
        let (reader, writer) = pipe();
        fill(&writer);
        let text =
            "trap 'exit 6' TERM; (true &) 2>&-; echo ready; sleep 1000 & while :; do wait; done";
        let mut init = script(&["-w"], text).stderr(writer).start();
        init.expect("ready");
        init.signal(libc::SIGTERM);
        assert_eq!(init.code(), 6);
        drop(reader);
    });
}

/// tini differs: it passes the SIGPIPE of its own message on, and so ends the program.
#[test]
fn a_broken_stderr_of_ours_does_not_end_the_program() {
    pid1(|| {
        let (reader, writer) = pipe();
        drop(reader);
        let text = "trap 'exit 6' TERM; i=0; while [ $i -lt 50 ]; do (true &); i=$((i+1)); done
                    echo ready; sleep 1000 & while :; do wait; done";
        let mut init = script(&["-w"], text).stderr(writer).start();
        init.expect("ready");
        until("the orphans are gone", || {
            (children(init.pid()).len() == 1).then_some(())
        });
        init.signal(libc::SIGTERM);
        assert_eq!(init.code(), 6);
    });
}

#[test]
fn a_sigpipe_from_outside_is_passed_on() {
    pid1(|| {
        let mut init = script(&[], "echo ready; exec sleep 1000").start();
        init.expect("ready");
        init.signal(libc::SIGPIPE);
        assert_eq!(init.code(), 141);
    });
}
