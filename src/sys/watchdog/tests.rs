use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::process::{WaitOptions, waitpid};

use super::*;

/// A process that opens a FIFO whose other end nobody has, under the eyes of a watchdog.
fn hang(
    json: bool,
) -> (
    tempfile::TempDir,
    BufReader<std::fs::File>,
    rustix::process::Pid,
) {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fi\nfo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    listener.set_nonblocking(true).unwrap();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let kept = [listener.as_raw_fd(), writer.as_raw_fd()];
    let pid = crate::sys::service::fork(&kept, || {
        TIMEOUT.store(20, Ordering::Relaxed);
        let started = start(json).is_ok();
        log_to(writer.as_fd());
        answer_on(Some(listener.as_fd()));
        turn(Doing::ReadyFile);
        let opened = std::fs::read(&fifo).is_ok_and(|bytes| bytes == b"x");
        rest();
        u8::from(started && opened)
    });
    (dir, BufReader::new(reader.into()), pid.unwrap())
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
fn a_call_that_hangs_is_named_and_answered_for_and_goes_on_unharmed() {
    for json in [false, true] {
        let (dir, mut log, pid) = hang(json);
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        assert!(
            line.contains("it writes or removes the ready file, in openat"),
            "{line}"
        );
        assert!(line.contains("fo"), "{line}");
        if json {
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert!(
                value["msg"].as_str().unwrap().ends_with(r"/fi\nfo"),
                "{line}"
            );
        }
        let mut answer = String::new();
        let mut client = UnixStream::connect(dir.path().join("s")).unwrap();
        client.read_to_string(&mut answer).unwrap();
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let stall: Stall = serde_json::from_value(answer["stalled"].clone()).unwrap();
        assert_eq!(stall.call, Some(libc::SYS_openat));
        assert!(stall.path.unwrap().ends_with(r"/fi\nfo"));
        // The signal came often by now; the call still waits for its other end.
        std::fs::write(dir.path().join("fi\nfo"), "x").unwrap();
        let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
        assert_eq!(status.exit_status(), Some(1));
    }
}

#[test]
fn a_trap_of_somebody_else_still_ends_a_process() {
    let pid = crate::sys::service::fork(&[], || {
        let started = start(false);
        let own = rustix::process::getpid();
        let _ = rustix::process::kill_process(own, rustix::process::Signal::TRAP);
        u8::from(started.is_ok())
    });
    let (_, status) = waitpid(Some(pid.unwrap()), WaitOptions::empty())
        .unwrap()
        .unwrap();
    assert_eq!(status.terminating_signal(), Some(libc::SIGTRAP));
}

#[test]
fn each_thing_that_is_done_has_its_words() {
    for (number, doing) in Doing::ALL.into_iter().enumerate() {
        assert_eq!(doing as usize, number);
    }
}
