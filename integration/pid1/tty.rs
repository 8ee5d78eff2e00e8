//! Terminals: the program's group is the foreground group, so that keys reach it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::harness::{Init, pid1, script, status, until};

fn terminal() -> (File, OwnedFd) {
    let (mut master, mut slave) = (-1, -1);
    let none = std::ptr::null_mut();
    // SAFETY: two places for descriptors; name, modes and size may be null.
    let result = unsafe { libc::openpty(&mut master, &mut slave, none, none.cast(), none.cast()) };
    assert_eq!(result, 0);
    // SAFETY: just opened, owned by nobody else.
    unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) }
}

/// Starts a script with all three streams on a terminal, and waits until it says `ready`.
fn on_terminal(options: &[&str], text: &str) -> (Init, File) {
    let (master, slave) = terminal();
    let (out, err) = (slave.try_clone().unwrap(), slave.try_clone().unwrap());
    let init = script(options, text)
        .terminal(slave)
        .stdout(out)
        .stderr(err)
        .start();
    let mut reader = BufReader::new(master.try_clone().unwrap());
    let mut line = String::new();
    while !line.ends_with("ready\r\n") {
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "{line}");
    }
    (init, master)
}

fn foreground(master: &File) -> i32 {
    // SAFETY: an open terminal.
    unsafe { libc::tcgetpgrp(master.as_raw_fd()) }
}

#[test]
fn the_program_is_the_foreground_group_and_gets_the_keys() {
    pid1(|| {
        for (key, signal) in [(b"\x03", libc::SIGINT), (b"\x1c", libc::SIGQUIT)] {
            let text = "ulimit -c 0; echo ready; exec sleep 1000";
            let (init, mut master) = on_terminal(&[], text);
            assert_eq!(foreground(&master), init.program());
            master.write_all(key).unwrap();
            assert_eq!(init.code(), 128 + signal);
        }
    });
}

#[test]
fn the_stop_key_stops_the_program_and_not_the_init() {
    pid1(|| {
        let (init, mut master) = on_terminal(&[], "echo ready; exec sleep 1000");
        let program = init.program().to_string();
        master.write_all(b"\x1a").unwrap();
        until("it is stopped", || {
            status(&program, "State")?.starts_with('T').then_some(())
        });
        init.signal(libc::SIGCONT);
        until("it goes on", || {
            status(&program, "State")?.starts_with('S').then_some(())
        });
        init.signal(libc::SIGTERM);
        assert_eq!(init.code(), 143);
    });
}

#[test]
fn a_shell_has_job_control() {
    pid1(|| {
        let (init, mut master) = on_terminal(&[], "echo ready; exec sh -m -i");
        master.write_all(b"sleep 1000\n").unwrap();
        let shell = init.program();
        until("the job is in the foreground", || {
            let group = foreground(&master);
            (group != shell && group > 0).then_some(())
        });
        master.write_all(b"\x03").unwrap();
        until("the shell is back", || {
            (foreground(&master) == shell).then_some(())
        });
        master.write_all(b"exit 9\n").unwrap();
        assert_eq!(init.code(), 9);
    });
}

#[test]
fn a_terminal_that_goes_away_hangs_the_program_up() {
    pid1(|| {
        let (init, master) = on_terminal(&[], "echo ready; exec sleep 1000");
        drop(master);
        assert_eq!(init.code(), 129);
    });
}

#[test]
fn messages_of_an_init_in_the_background_do_not_stop_it() {
    pid1(|| {
        let text = "stty tostop; echo ready; exec sleep 1000";
        let (init, _master) = on_terminal(&["-s", "-vvv"], text);
        init.signal(libc::SIGTERM);
        assert_eq!(init.code(), 143);
    });
}
