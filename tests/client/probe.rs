//! The health of our own daemon.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use dind_init::base::environment::Environment;
use dind_init::client::own::Place;
use dind_init::client::probe::{ProbeArgs, own_socket, run};
use dind_init::supervise::status::Status;

use crate::server::{self, PONG, answers};
use crate::{LONG, SHORT};

fn ready() -> ProbeArgs {
    ProbeArgs {
        live: false,
        ready: true,
        json: false,
        timeout: LONG,
    }
}

fn live(timeout: Duration) -> ProbeArgs {
    ProbeArgs {
        live: true,
        ready: false,
        timeout,
        ..ready()
    }
}

/// A place that is ours.
fn place(dir: &Path) -> Vec<Place> {
    vec![Place {
        dir: dir.to_owned(),
        owner: rustix::process::geteuid().as_raw(),
    }]
}

fn probe(args: &ProbeArgs, socket: &Path) -> (u8, String) {
    let mut text = Vec::new();
    let dir = socket.parent().unwrap();
    let code = run(args, &place(dir), socket, &mut text);
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().count(), 1);
    (code, text.replace(dir.to_str().unwrap(), "DIR"))
}

fn status(pid: u32) -> String {
    let status = Status {
        state: "ready".into(),
        pid,
        ..Status::default()
    };
    serde_json::to_string(&status).unwrap() + "\n"
}

/// Says this to whoever connects.
fn says(text: String) -> server::Behaviour {
    server::behaviour(move |stream| drop(stream.write_all(text.as_bytes())))
}

#[test]
fn a_daemon_that_answers_is_ready() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    server::unix(&socket, answers(PONG));
    assert_eq!(
        probe(&ready(), &socket),
        (
            0,
            "ready: docker 28.5.2 api 1.51 at unix://DIR/s\n".to_owned()
        )
    );
}

#[test]
fn a_daemon_that_is_starting_is_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let _nobody_accepts = UnixListener::bind(&socket).unwrap();
    let args = ProbeArgs {
        timeout: SHORT,
        ..ready()
    };
    let (code, text) = probe(&args, &socket);
    assert_eq!(code, 1);
    assert!(
        text.starts_with("not ready: unix://DIR/s is connected but has not answered yet"),
        "{text}"
    );
}

#[test]
fn alive_is_who_answers_and_not_a_socket_that_takes_connections() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("status.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (code, text) = probe(&live(SHORT), &path);
    assert_eq!(code, 1);
    let own = std::process::id();
    assert!(
        text.starts_with(&format!("not live: PID {own} does not answer within")),
        "{text}"
    );
    drop(listener);
    let (code, text) = probe(&live(SHORT), &path);
    assert!(
        code == 1 && text.starts_with("not live: nobody listens on DIR/status.sock"),
        "{text}"
    );
    std::fs::remove_file(&path).unwrap();
    let (code, text) = probe(&live(SHORT), &path);
    assert!(
        code == 1 && text.starts_with("not live: no daemon of dind-init's runs here"),
        "{text}"
    );
    server::unix(&path, says(status(own)));
    assert_eq!(
        probe(&live(LONG), &path),
        (
            0,
            format!("live: PID {own} answers (state ready) at unix://DIR/status.sock\n")
        )
    );
}

#[test]
fn a_full_backlog_ends_with_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("status.sock");
    let listener = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let _first = UnixStream::connect(&path).unwrap();
    let (code, text) = probe(&live(SHORT), &path);
    assert_eq!(code, 1);
    assert!(text.contains("no other one fits"), "{text}");
}

#[test]
fn who_answers_for_another_process_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("status.sock");
    let other = std::process::id() + 1;
    server::unix(&path, says(status(other)));
    let (code, text) = probe(&live(LONG), &path);
    assert_eq!(code, 1);
    assert!(
        text.contains("is not dind-init's") && text.contains(&other.to_string()),
        "{text}"
    );
}

#[test]
fn an_endless_or_senseless_answer_is_not_believed() {
    let long = "x".repeat(2 << 20);
    for answer in [long.as_str(), "", "{}", "null"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status.sock");
        server::unix(&path, says(answer.to_owned()));
        let (code, text) = probe(&live(LONG), &path);
        assert!(code == 1 && text.starts_with("not live: "), "{text}");
    }
}

#[test]
fn a_watchdog_that_answers_says_what_hangs_and_cannot_draw_on_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("status.sock");
    let call = libc::SYS_openat;
    let text = format!(
        r#"{{"stalled":{{"doing":"writes\u001b[2J it","seconds":12,"call":{call},"path":"/x\ny"}}}}"#
    );
    server::unix(&path, says(text));
    let (code, text) = probe(&live(LONG), &path);
    assert_eq!(code, 1);
    assert!(
        text.contains(r"hangs for 12 s: it writes\u{1b}[2J it, in openat of /x\ny;"),
        "{text}"
    );
}

#[test]
fn json_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let args = ProbeArgs {
        json: true,
        ..ready()
    };
    let (code, text) = probe(&args, &socket);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, 1);
    assert_eq!(value["ready"], false);
    assert_eq!(value["failure"]["error"], "there is no socket DIR/s");
    server::unix(&socket, answers(PONG));
    let (code, text) = probe(&args, &socket);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, 0);
    assert_eq!(value["ready"], true);
    assert_eq!(value["daemon"], "docker 28.5.2 api 1.51");
}

#[test]
fn our_own_socket_is_never_the_clients() {
    let client = ("DOCKER_HOST", "tcp://x:1");
    let table = [
        (vec![client], 0, "/var/run/docker.sock"),
        (vec![client], 1000, "/run/user/1000/docker.sock"),
        (
            vec![client, ("XDG_RUNTIME_DIR", "/x")],
            1000,
            "/x/docker.sock",
        ),
        (
            vec![client, ("DIND_SOCKET_PATHS", " ,unix:///a, /b")],
            1000,
            "/a",
        ),
    ];
    for (env, uid, want) in table {
        let env: Environment = env.into_iter().collect();
        assert_eq!(own_socket(&env, uid), Path::new(want), "{env:?}");
    }
}
