use std::ffi::CStr;

use rustix::process::Pid;

use super::*;
use crate::process::Name;
use crate::sys::fork;
use crate::sys::process::Child;

const LONG: std::time::Duration = std::time::Duration::from_secs(30);

/// A child that calls itself so, and lives until it is killed.
fn named(name: &'static CStr) -> Process {
    let (pid, _) = fork::ask(move || {
        let _ = rustix::thread::set_name(name);
        while poll(&mut [], None).is_ok() {}
        Vec::new()
    })
    .unwrap();
    let wanted = Name::new(name.to_bytes());
    until(pid, |process| process.name == wanted)
}

fn until(pid: Pid, holds: impl Fn(&Process) -> bool) -> Process {
    loop {
        let process = Process::read(Path::new("/proc"), pid).unwrap().unwrap();
        if holds(&process) {
            return process;
        }
    }
}

/// Waits as the loop does, until nobody is left.
fn wait(watch: &mut Watch) {
    while !watch.is_over() {
        let mut fds: Vec<_> = watch
            .pidfds()
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        if !fds.is_empty() {
            poll(&mut fds, None).unwrap();
        }
    }
}

fn reap(process: &Process) -> Option<i32> {
    let status = Child(process.pid).end(LONG).unwrap();
    status.terminating_signal()
}

#[test]
fn a_process_of_any_name_is_killed_and_counted() {
    for name in [c"\xff\xfe", c") S 1 (", c"a\nb", c""] {
        let process = named(name);
        let mut watch = Watch::default();
        assert!(watch.signal(&process, libc::SIGKILL), "{process}");
        wait(&mut watch);
        assert_eq!((watch.gone(), watch.survivors()), (1, None));
        assert_eq!(reap(&process), Some(libc::SIGKILL));
    }
}

#[test]
fn who_does_not_end_is_named_and_not_counted() {
    let process = named(c"\xff\xfe");
    let mut watch = Watch::default();
    assert!(watch.signal(&process, libc::SIGSTOP));
    until(process.pid, |process| process.state == 'T');
    assert!(watch.signal(&process, libc::SIGTERM));
    assert_eq!(watch.gone(), 0);
    let left = watch.survivors().unwrap();
    let pid = process.pid.as_raw_nonzero();
    let wanted = format!(r"\xff\xfe (process {pid}): it is stopped (state T)");
    assert_eq!(left, wanted);
    assert!(watch.signal(&process, libc::SIGKILL));
    wait(&mut watch);
    assert_eq!(watch.gone(), 1);
    reap(&process);
}

#[test]
fn somebody_else_with_the_same_id_is_left_alone() {
    let process = named(c"second");
    let first = Process {
        start: process.start - 1,
        ..process.clone()
    };
    for most_held in [0, MOST_HELD] {
        let mut watch = Watch {
            most_held,
            ..Watch::default()
        };
        assert!(!watch.signal(&first, libc::SIGKILL));
        assert!(watch.is_over());
        assert_eq!(watch.gone(), 0, "a signal that was not sent");
    }
    assert!(hold(&first).is_err());
    assert!(until(process.pid, |_| true).alive);
    hold(&process).unwrap();
    reap(&process);
}

#[test]
fn a_zombie_is_gone_and_was_not_killed() {
    let process = named(c"zombie");
    let mut watch = Watch::default();
    watch.add(&process);
    Child(process.pid).signal(libc::SIGKILL).unwrap();
    wait(&mut watch);
    assert_eq!(watch.gone(), 0, "not by a signal from here");
    assert!(!until(process.pid, |process| process.state == 'Z').alive);
    assert!(!watch.signal(&process, libc::SIGKILL));
    assert_eq!((watch.is_over(), watch.gone()), (true, 0));
    reap(&process);
    assert!(
        !watch.signal(&process, libc::SIGKILL),
        "nor when it is reaped"
    );
}

#[test]
fn more_than_can_be_held_are_killed_all_the_same() {
    let processes = [c"one", c"two", c"three"].map(named);
    for most_held in [0, 1] {
        let mut watch = Watch {
            most_held,
            ..Watch::default()
        };
        for process in &processes {
            watch.add(process);
        }
        assert_eq!(watch.pidfds().count(), most_held);
        assert!(watch.is_blind() && !watch.is_over());
    }
    let mut watch = Watch {
        most_held: 1,
        ..Watch::default()
    };
    for process in &processes {
        assert!(watch.signal(process, libc::SIGKILL));
    }
    wait(&mut watch);
    assert_eq!(watch.gone(), 3);
    for process in &processes {
        reap(process);
    }
}

/// A /proc in which a process is there and cannot be read.
#[test]
fn who_cannot_be_checked_is_neither_killed_nor_gone() {
    let process = named(c"hidden");
    let proc = tempfile::tempdir().unwrap();
    let number = process.pid.as_raw_nonzero().to_string();
    std::fs::create_dir_all(proc.path().join(number).join("stat")).unwrap();
    let mut watch = Watch {
        proc: proc.path().to_owned(),
        ..Watch::default()
    };
    assert!(!watch.signal(&process, libc::SIGKILL));
    assert!(watch.is_blind() && !watch.is_over());
    let left = watch.survivors().unwrap();
    assert!(left.contains("cannot be checked: "), "{left}");
    assert_eq!(watch.gone(), 0);
    watch.proc = "/proc".into();
    assert!(!watch.is_over(), "it lives");
    assert!(watch.signal(&process, libc::SIGKILL));
    wait(&mut watch);
    assert_eq!(watch.gone(), 1);
    reap(&process);
}

#[test]
fn a_refused_signal_is_told() {
    let process = named(c"refuses");
    let mut watch = Watch::default();
    assert!(!watch.signal(&process, 65));
    let left = watch.survivors().unwrap();
    assert!(left.contains("signal 65 is refused: "), "{left}");
    reap(&process);
    assert!(watch.is_over());
    assert_eq!(watch.gone(), 0);
}
