//! `probe --live` and `status`: what PID 1 itself says, and nobody else.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Stdio};

use rustix::process::Signal;

use crate::harness::{Dind, can_run, start};

const SOCKET: &str = "/run/dind-init/status.sock";

/// A status with which everything would be fine.
fn status(pid: u32) -> String {
    format!(
        r#"{{"state":"ready","pid":{pid},"dockerd":7,"socket":null,"endpoints":[],"warnings":[],"phases":[]}}"#
    )
}

/// Not a test: the body of an impostor, which a test starts beside PID 1.
#[test]
fn impostor() {
    let Ok(path) = std::env::var("IMPOSTOR") else {
        return;
    };
    let listener = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
    std::io::stderr().write_all(b"impostor: here\n").unwrap();
    for client in listener.incoming() {
        let _ = client
            .unwrap()
            .write_all(status(std::process::id()).as_bytes());
    }
}

/// Puts an impostor's socket in the place of PID 1's.
fn replace(dind: &Dind, by: &[&str]) -> Child {
    let socket = dind.inside(SOCKET);
    let _ = std::fs::remove_file(&socket);
    let everybody = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(socket.parent().unwrap(), everybody).unwrap();
    let program = std::env::current_exe().unwrap();
    let words = [program.to_str().unwrap(), "--exact", "live::impostor"];
    let mut child = dind
        .beside(&[by, &words, &["--nocapture"]].concat())
        .env("IMPOSTOR", SOCKET)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(
        lines
            .map_while(Result::ok)
            .any(|line| line == "impostor: here")
    );
    child
}

fn running() -> Dind {
    let mut dind = start("").run();
    dind.says("ready after");
    dind
}

#[test]
fn a_loop_that_turns_is_live_and_one_that_was_stopped_is_not() {
    if !can_run() {
        return;
    }
    let mut dind = running();
    let (code, said) = dind.asks(&["probe", "--live"]);
    assert_eq!(
        (code, said.as_str()),
        (
            0,
            "live: PID 1 answers (state ready) at unix:///run/dind-init/status.sock\n"
        )
    );
    dind.signal(Signal::STOP);
    let (code, said) = dind.asks(&["probe", "--live", "--timeout=200ms"]);
    assert_eq!(code, 1);
    assert!(
        said.starts_with("not live: PID 1 does not answer within 200 ms: it is stopped (state T"),
        "{said}"
    );
    // The API socket takes connections all the while, and dockerd answers.
    let (code, said) = dind.asks(&["probe"]);
    assert!(code == 0 && said.starts_with("ready: "), "{said}");
    let (code, said) = dind.asks(&["status"]);
    assert!(
        code == 1 && said.contains("state      ready") && said.contains("error: PID 1 does not"),
        "{said}"
    );
    dind.signal(Signal::CONT);
    assert_eq!(dind.asks(&["probe", "--live"]).0, 0);
    assert_eq!(dind.asks(&["status"]).0, 0);
    dind.stops();
}

#[test]
fn a_backlog_full_of_strangers_does_not_hold_the_question_up() {
    if !can_run() {
        return;
    }
    let dind = running();
    dind.signal(Signal::STOP);
    let mut held: Vec<UnixStream> = Vec::new();
    loop {
        let socket = rustix::net::socket_with(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::NONBLOCK,
            None,
        )
        .unwrap();
        let address = rustix::net::SocketAddrUnix::new(dind.inside(SOCKET)).unwrap();
        match rustix::net::connect(&socket, &address) {
            Ok(()) => held.push(socket.into()),
            Err(error) => {
                assert_eq!(error, rustix::io::Errno::AGAIN);
                break;
            }
        }
    }
    let (code, said) = dind.asks(&["probe", "--live", "--timeout=200ms"]);
    assert_eq!(code, 1);
    assert!(
        said.contains("it is stopped (state T") && said.contains("no other one fits"),
        "{said}"
    );
    drop(held);
    dind.signal(Signal::CONT);
    assert_eq!(dind.asks(&["probe", "--live"]).0, 0);
}

#[test]
fn an_impostor_is_not_believed_whoever_it_is() {
    if !can_run() {
        return;
    }
    let mut dind = running();
    for (by, who) in [
        (
            &["setpriv", "--reuid=65534", "--clear-groups"][..],
            "of uid 65534",
        ),
        (
            &["unshare", "--pid", "--fork", "--kill-child"],
            "of a nested container",
        ),
    ] {
        let mut child = replace(&dind, by);
        let (code, said) = dind.asks(&["probe", "--live"]);
        assert_eq!(code, 1);
        assert!(
            said.contains("is not dind-init's") && said.contains(who),
            "{said}"
        );
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // A process of another container: in a pid namespace that is not seen from there.
    std::fs::remove_file(dind.inside(SOCKET)).unwrap();
    let outside = UnixListener::bind(dind.inside(SOCKET)).unwrap();
    let text = status(1);
    std::thread::spawn(move || {
        for client in outside.incoming() {
            let _ = client.unwrap().write_all(text.as_bytes());
        }
    });
    let (code, said) = dind.asks(&["probe", "--live"]);
    assert!(
        code == 1 && said.contains("a process of another container"),
        "{said}"
    );
    dind.stops();
}

#[test]
fn what_strangers_wrote_does_not_reach_a_terminal_as_it_is() {
    if !can_run() {
        return;
    }
    let mut dind = running();
    dind.signal(Signal::STOP);
    let hostile = r#"{"state":"ready\u001b[2J\nerror: forged","pid":1,"dockerd":7,"socket":null,
        "endpoints":[],"warnings":["\u009b2J"],"phases":[]}"#;
    std::fs::write(dind.inside("/run/dind-init/status.json"), hostile).unwrap();
    for form in [&["status"][..], &["status", "--json"]] {
        let (_, said) = dind.asks(form);
        assert!(said.contains("forged"), "{said}");
        let bad = |c: char| c.is_control() && c != '\n';
        assert!(!said.contains(bad), "{said:?}");
        let forged = |line: &str| line.starts_with("error: forged");
        assert!(!said.lines().any(forged), "{said}");
    }
    dind.signal(Signal::CONT);
    dind.stops();
}
