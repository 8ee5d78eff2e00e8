//! Orphans: all are reaped, whoever the init is, and none delays a signal.

use std::io::Read;

use crate::harness::{children, pid1, script, until};

/// Each orphan is made by a process that ends before it or just after.
const STORM: &str = "i=0; while [ $i -lt $N ]; do (true &); i=$((i+1)); done";

#[test]
fn ten_thousand_orphans_are_reaped_each_once() {
    pid1(|| {
        let mut log = tempfile::tempfile().unwrap();
        let mut init = script(&["-w"], &format!("{STORM}; echo ready; exec sleep 1000"))
            .env("N", "10000")
            .stderr(log.try_clone().unwrap())
            .start();
        init.expect("ready");
        until("only the program is left", || {
            (children(init.pid()).len() == 1).then_some(())
        });
        init.signal(libc::SIGTERM);
        assert_eq!(init.code(), 143);
        let mut text = String::new();
        std::io::Seek::rewind(&mut log).unwrap();
        log.read_to_string(&mut text).unwrap();
        let reaped = text
            .lines()
            .filter(|line| line.contains("Reaped zombie process with pid="));
        assert_eq!(reaped.count(), 10_000);
    });
}

#[test]
fn a_storm_of_orphans_delays_no_signal() {
    pid1(|| {
        let text = format!("trap 'exit 3' TERM; echo ready; while :; do {STORM}; done");
        let mut init = script(&[], &text).env("N", "1000").start();
        init.expect("ready");
        init.signal(libc::SIGTERM);
        assert_eq!(init.code(), 3);
    });
}

#[test]
fn a_subreaper_gets_orphans_without_being_pid_1() {
    pid1(|| {
        let text = format!("{STORM}; echo ready; read x <&9");
        for (option, variable) in [(Some("-s"), false), (None, true)] {
            let (reader, go) = crate::harness::pipe();
            let mut log = tempfile::tempfile().unwrap();
            let options: Vec<&str> = option.into_iter().chain(["-w"]).collect();
            let mut start = script(&options, &text)
                .env("N", "20")
                .passed(reader, 9)
                .in_our_namespace()
                .stderr(log.try_clone().unwrap());
            if variable {
                start = start.env("TINI_SUBREAPER", "");
            }
            let mut init = start.start();
            init.expect("ready");
            until("only the program is left", || {
                (children(init.pid()).len() == 1).then_some(())
            });
            drop(go);
            assert_eq!(init.code(), 1);
            let mut text = String::new();
            std::io::Seek::rewind(&mut log).unwrap();
            log.read_to_string(&mut text).unwrap();
            assert!(!text.contains("zombie reaping won't work"), "{text}");
            assert_eq!(
                text.lines()
                    .filter(|line| line.contains("Reaped zombie"))
                    .count(),
                20
            );
        }
    });
}

#[test]
fn an_init_that_gets_no_orphans_warns_once_and_says_what_to_do() {
    pid1(|| {
        let (code, stdout, stderr) = script(&[], "exit 3").in_our_namespace().output();
        assert_eq!((code, stdout.as_str()), (3, ""));
        assert!(stderr.starts_with("[WARN  tini ("), "{stderr}");
        for words in ["zombie reaping won't work", "-s", "TINI_SUBREAPER"] {
            assert_eq!(stderr.matches(words).count(), 1, "{words}: {stderr}");
        }
        let quiet = script(&[], "exit 3")
            .in_our_namespace()
            .env("TINI_VERBOSITY", "0")
            .output();
        assert_eq!(quiet, (3, String::new(), String::new()));
    });
}
