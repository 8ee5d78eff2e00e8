//! Signals: which are passed on, to whom, and what the program starts with.

use std::io::Write;

use crate::harness::{self, field, init, ours, pid1, script, set, status, until};

/// Everything that reaches an init and ends a program which has no handler for it.
fn ending() -> impl Iterator<Item = i32> {
    const NOT_PASSED: [i32; 12] = [
        libc::SIGCHLD,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGABRT,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGSEGV,
        libc::SIGSYS,
        libc::SIGKILL,
        libc::SIGSTOP,
        libc::SIGTTIN,
        libc::SIGTTOU,
    ];
    const NOT_ENDING: [i32; 4] = [libc::SIGCONT, libc::SIGTSTP, libc::SIGURG, libc::SIGWINCH];
    (1..=64).filter(|s| !NOT_PASSED.contains(s) && !NOT_ENDING.contains(s))
}

/// tini differs for 32 and 33, which its C library keeps for itself.
#[test]
fn every_signal_that_ends_a_program_reaches_it() {
    pid1(|| {
        for signal in ending().filter(|s| ours() || ![32, 33].contains(s)) {
            let mut init = script(&[], "ulimit -c 0; echo ready; exec sleep 1000").start();
            init.expect("ready");
            init.signal(signal);
            assert_eq!(init.code(), 128 + signal, "signal {signal}");
        }
    });
}

#[test]
fn signals_that_end_nothing_reach_it_too() {
    pid1(|| {
        let mut init = script(
            &[],
            "trap 'echo urg' URG; trap 'echo winch' WINCH; trap 'echo hup' HUP
             sleep 1000 & echo ready; while :; do wait; done",
        )
        .start();
        init.expect("ready");
        for (signal, line) in [
            (libc::SIGURG, "urg"),
            (libc::SIGWINCH, "winch"),
            (libc::SIGHUP, "hup"),
            (libc::SIGHUP, "hup"),
        ] {
            init.signal(signal);
            init.expect(line);
        }
    });
}

#[test]
fn a_program_is_stopped_and_continued_through_the_init() {
    pid1(|| {
        let mut init = script(&[], "echo ready; exec sleep 1000").start();
        init.expect("ready");
        let program = init.program().to_string();
        let state = |letter: char| {
            until("the state changes", || {
                status(&program, "State")?.starts_with(letter).then_some(())
            });
        };
        init.signal(libc::SIGTSTP);
        state('T');
        init.signal(libc::SIGCONT);
        state('S');
        init.signal(libc::SIGTERM);
        assert_eq!(init.code(), 143);
    });
}

#[test]
fn faults_of_the_init_and_the_terminals_own_signals_are_not_passed_on() {
    pid1(|| {
        let mut init = script(&[], "echo ready; exec sleep 1000").start();
        init.expect("ready");
        for signal in [
            4,
            5,
            6,
            7,
            8,
            11,
            31,
            libc::SIGTTIN,
            libc::SIGTTOU,
            libc::SIGCHLD,
        ] {
            init.signal(signal);
        }
        init.signal(libc::SIGINT);
        assert_eq!(init.code(), 130);
    });
}

#[test]
fn the_group_gets_the_signal_with_g_and_only_then() {
    pid1(|| {
        let text = "trap 'kill -0 $p && echo alive' USR1
                    sh -c 'echo ready; exec sleep 1000' & p=$!; echo ready
                    while :; do wait $p; c=$?; [ $c = 138 ] && kill -0 $p 2>/dev/null || exit $c; done";
        let lone = "trap 'kill -0 $p && echo alive && exit 3' USR1
                    sh -c 'echo ready; exec sleep 1000' & p=$!; echo ready; while :; do wait $p; done";
        let mut init = script(&[], lone).start();
        init.expect("ready"); // the shell and its child, in any order
        init.expect("ready");
        init.signal(libc::SIGUSR1);
        init.expect("alive");
        assert_eq!(init.code(), 3);
        for start in [
            script(&["-g"], text),
            script(&[], text).env("TINI_KILL_PROCESS_GROUP", ""),
        ] {
            let mut init = start.start();
            init.expect("ready"); // the shell and its child, in any order
            init.expect("ready");
            init.signal(libc::SIGUSR1);
            assert_eq!(init.code(), 138, "the grandchild died of it");
        }
    });
}

/// tini differs for a blocked 32 or 33.
#[test]
fn the_program_starts_with_the_signal_state_that_the_init_was_given() {
    pid1(|| {
        let cases: [(&[i32], &[i32]); 7] = [
            (&[], &[]),
            (&[], &[libc::SIGPIPE]),
            (
                &[],
                &[libc::SIGTTIN, libc::SIGTTOU, libc::SIGSEGV, libc::SIGINT],
            ),
            (
                &[libc::SIGTTIN, libc::SIGTTOU, libc::SIGILL, libc::SIGTERM],
                &[],
            ),
            (&[32, 33, 34, 64], &[]),
            (
                &[libc::SIGUSR1],
                &[libc::SIGUSR1, libc::SIGCHLD, 32, 33, 34, 64],
            ),
            (&(1..=64).collect::<Vec<_>>(), &[libc::SIGHUP]),
        ];
        for (blocked, ignored) in cases {
            let (code, text, _) = init(["cat", "/proc/self/status"])
                .blocked(blocked)
                .ignored(ignored)
                .output();
            let number = |key: &str| u64::from_str_radix(&field(&text, key).unwrap(), 16).unwrap();
            let blockable = !set(&[libc::SIGKILL, libc::SIGSTOP]);
            assert_eq!(code, 0);
            assert_eq!(number("SigBlk"), set(blocked) & blockable, "{blocked:?}");
            assert_eq!(number("SigIgn"), set(ignored), "{ignored:?}");
            assert_eq!(number("SigCgt"), 0);
        }
    });
}

/// tini differs: it waits for ever.
#[test]
fn an_ignored_sigchld_does_not_hide_the_end_of_the_program() {
    pid1(|| {
        assert_eq!(script(&[], "exit 7").ignored(&[libc::SIGCHLD]).code(), 7);
    });
}

#[test]
fn signals_that_the_init_was_started_with_ignored_are_passed_on() {
    pid1(|| {
        let mut init = script(
            &[],
            "trap 'exit 4' USR1; sleep 1000 & echo ready; wait; wait",
        )
        .ignored(&[libc::SIGTERM])
        .start();
        init.expect("ready");
        init.signal(libc::SIGTERM); // the program ignores it, as it was asked to
        init.signal(libc::SIGUSR1);
        assert_eq!(init.code(), 4);
    });
}

const HELPER: &str = "PID1_HELPER";
const BURST: usize = 1000;

#[test]
fn each_of_a_thousand_queued_real_time_signals_arrives() {
    pid1(|| {
        let itself = std::env::current_exe().unwrap();
        let mut init = init([
            "--",
            itself.to_str().unwrap(),
            "--exact",
            "signals::helper_counts_real_time_signals",
            "--nocapture",
        ])
        .env(HELPER, "1")
        .blocked(&[40, 41])
        .start();
        init.expect_within("ready");
        for _ in 0..BURST {
            init.signal(40);
        }
        init.signal(41);
        init.rest();
        assert_eq!(init.code(), 0);
    });
}

/// The program of the test above: started with both signals blocked, so that they queue.
#[test]
fn helper_counts_real_time_signals() {
    if std::env::var_os(HELPER).is_none() {
        return;
    }
    println!("ready");
    std::io::stdout().flush().unwrap();
    let signals = set(&[40, 41]);
    let mut count = 0;
    loop {
        let none = std::ptr::null::<libc::c_void>();
        // SAFETY: a set of 8 bytes; the other pointers are null.
        let number =
            unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &raw const signals, none, none, 8) };
        match number {
            40 => count += 1,
            41 => break,
            other => panic!("{other}"),
        }
    }
    assert_eq!(count, BURST);
}

#[test]
fn the_death_of_the_parent_is_passed_on_as_the_signal_of_p() {
    pid1(|| {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("docker-init");
        std::os::unix::fs::symlink(harness::binary(), &link).unwrap();
        let (reader, go) = harness::pipe();
        let mut init = script(
            &[],
            "sh -c '\"$INIT\" -s -pSIGUSR1 -- sh -c \"$PROGRAM\" & wait' & parent=$!
             read go <&9; kill -9 $parent; while :; do wait; done",
        )
        .env("INIT", link.to_str().unwrap())
        .env(
            "PROGRAM",
            "trap 'echo orphaned' USR1; sleep 1000 & echo ready; while :; do wait; done",
        )
        .passed(reader, 9)
        .start();
        init.expect("ready");
        rustix::io::write(&go, b"go\n").unwrap();
        init.expect("orphaned");
    });
}
