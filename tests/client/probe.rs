//! The health of our own daemon.

use std::os::unix::net::UnixListener;
use std::path::Path;

use dind_init::cli::environment::Environment;
use dind_init::client::probe::{ProbeArgs, own_socket, run};

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

fn probe(args: &ProbeArgs, socket: &Path) -> (u8, String) {
    let mut text = Vec::new();
    let code = run(args, socket, &mut text);
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().count(), 1);
    let name = socket.parent().unwrap().to_str().unwrap();
    (code, text.replace(name, "DIR"))
}

#[test]
fn a_daemon_that_answers_is_ready_and_live() {
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
    let live = ProbeArgs {
        live: true,
        ..ready()
    };
    assert_eq!(
        probe(&live, &socket),
        (0, "live: takes connections at unix://DIR/s\n".to_owned())
    );
}

#[test]
fn a_daemon_that_is_starting_is_live_but_not_ready() {
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
    let live = ProbeArgs { live: true, ..args };
    assert_eq!(probe(&live, &socket).0, 0);
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
