//! The API as its clients meet it: raw bytes.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use dind_init::config::rootless::ChildSide;

use crate::harness::{Plan, World, answer as answer_bind, asked, eventually, network};

/// Sends bytes and compares what comes back with what is wanted, byte for byte.
fn transcript(stream: &mut UnixStream, request: &str, want: &str) {
    stream.write_all(request.as_bytes()).unwrap();
    let mut got = vec![0; want.len()];
    let mut length = 0;
    while length < got.len() {
        match stream.read(&mut got[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) => panic!(
                "{error} after {:?}",
                String::from_utf8_lossy(&got[..length])
            ),
        }
    }
    assert_eq!(
        String::from_utf8_lossy(&got[..length]),
        want,
        "to {request:?}"
    );
}

fn post(body: &str) -> String {
    format!(
        "POST /v1/ports HTTP/1.1\r\nHost: rootlesskit\r\nUser-Agent: Go-http-client/1.1\r\n\
         Content-Length: {}\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n{body}",
        body.len()
    )
}

fn bare(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: rootlesskit\r\n\r\n")
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

#[test]
fn a_whole_life_of_ports_on_one_connection() {
    network(|| {
        let world = World::new();
        let mut api = world.api();
        let version = env!("CARGO_PKG_VERSION");
        let info = format!(
            "{{\"apiVersion\":\"1.1.2\",\"version\":\"{version}+dind-init\",\"stateDir\":\"/run/state\",\
             \"childPID\":42,\"networkDriver\":{{\"driver\":\"slirp4netns\",\"dns\":[\"10.0.2.3\"],\
             \"childIP\":\"10.0.2.100\"}},\"portDriver\":{{\"driver\":\"builtin\",\"protos\":[\"tcp\",\
             \"tcp4\",\"udp\",\"udp4\"],\"disallowLoopbackChildIP\":true}}}}"
        );
        transcript(
            &mut api,
            &bare("GET", "/v1/info"),
            &answer("200 OK", JSON, &info),
        );
        transcript(
            &mut api,
            &bare("GET", "/v1/ports"),
            &answer("200 OK", JSON, "[]"),
        );
        let spec = r#"{"proto":"tcp4","parentIP":"0.0.0.0","parentPort":8090,"childPort":8090,"childIP":"::ffff:10.0.2.100"}"#;
        let one = format!(r#"{{"id":1,"spec":{spec}}}"#);
        transcript(&mut api, &post(spec), &answer("201 Created", JSON, &one));
        for (body, text) in [
            (
                spec.replace("8090,\"childPort\":8090", "8090,\"childPort\":1"),
                "conflict with ID 1",
            ),
            (
                spec.replace("tcp4", "tcp"),
                "listen tcp 0.0.0.0:8090: bind: address already in use",
            ),
            (
                spec.replace("0.0.0.0", "10.99.99.99"),
                "listen tcp4 10.99.99.99:8090: bind: cannot assign requested address",
            ),
            (
                spec.replace("tcp4", "sctp"),
                "unsupported port protocol sctp",
            ),
            (spec.replace("0.0.0.0", "zz"), r#"invalid ParentIP: \"zz\""#),
            (
                spec.replace("tcp4", "udp4").replace("0.0.0.0", "::1"),
                "address ::1: no suitable address found",
            ),
        ] {
            let message = format!("{{\"message\":\"{text}\"}}\n");
            transcript(
                &mut api,
                &post(&body),
                &answer("400 Bad Request", TEXT, &message),
            );
        }
        let list = format!("[{one}]");
        transcript(
            &mut api,
            &bare("GET", "/v1/ports"),
            &answer("200 OK", JSON, &list),
        );
        transcript(
            &mut api,
            &bare("DELETE", "/v1/ports/77"),
            &answer(
                "400 Bad Request",
                TEXT,
                "{\"message\":\"unknown id: 77\"}\n",
            ),
        );
        transcript(
            &mut api,
            &bare("DELETE", "/v1/ports/1"),
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        );
        let two = one.replace("\"id\":1", "\"id\":2");
        transcript(&mut api, &post(spec), &answer("201 Created", JSON, &two));
        transcript(
            &mut api,
            &bare("PUT", "/v1/ports"),
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\n\
             X-Content-Type-Options: nosniff\r\nContent-Length: 19\r\n\r\n404 page not found\n",
        );
    });
}

#[test]
fn requests_that_come_at_once_are_answered_in_order() {
    network(|| {
        let world = World::new();
        let mut api = world.api();
        let spec = |port| format!(r#"{{"proto":"tcp4","parentPort":{port},"childPort":1}}"#);
        let added = |id, port| {
            let body = format!(r#"{{"id":{id},"spec":{}}}"#, spec(port));
            answer("201 Created", JSON, &body)
        };
        let all = [
            post(&spec(8001)),
            post(&spec(8002)),
            bare("DELETE", "/v1/ports/1"),
        ]
        .concat();
        let want = [
            added(1, 8001),
            added(2, 8002),
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ];
        transcript(&mut api, &all, &want.concat());
    });
}

#[test]
fn without_a_port_driver_ports_are_refused_and_info_says_so() {
    network(|| {
        let world = World::start(Plan {
            side: None,
            ..Plan::default()
        });
        let none = "{\"message\":\"no PortDriver is available\"}\n".to_owned();
        assert_eq!(world.try_publish(":80:80/tcp"), (400, none.clone()));
        assert_eq!(world.call("GET", "/v1/ports", ""), (400, none));
        assert!(!world.call("GET", "/v1/info", "").1.contains("portDriver"));
    });
}

#[test]
fn loopback_mode_offers_ipv6() {
    network(|| {
        let world = World::start(Plan {
            side: Some(ChildSide::Loopback),
            ..Plan::default()
        });
        let (_, info) = world.call("GET", "/v1/info", "");
        assert!(
            info.contains(r#""protos":["tcp","tcp4","tcp6","udp","udp4","udp6"]}"#),
            "{info}"
        );
    });
}

#[test]
fn ports_of_the_command_line_are_there_from_the_start() {
    network(|| {
        let world = World::start(Plan {
            publish: vec!["0.0.0.0:2375:2375/tcp", "127.0.0.1:53:53/udp"],
            ..Plan::default()
        });
        let (_, list) = world.call("GET", "/v1/ports", "");
        assert!(
            list.starts_with(r#"[{"id":1,"spec":{"proto":"tcp","parentIP":"0.0.0.0""#),
            "{list}"
        );
        let _connected = world.client.connect("192.0.2.1:2375");
    });
}

#[test]
fn a_port_of_the_command_line_that_cannot_be_had_ends_the_start() {
    network(|| {
        let (mut world, ready) = World::begin(Plan {
            publish: vec!["0.0.0.0:80:80/tcp", "0.0.0.0:80:81/tcp4"],
            ..Plan::default()
        });
        assert_eq!(std::fs::File::from(ready).read(&mut [0]).unwrap(), 0);
        let log = world.last_words();
        assert!(
            log.contains("error: could not publish 0.0.0.0:80:81/tcp4: listen tcp4 0.0.0.0:80: bind: address already in use"),
            "{log}"
        );
    });
}

#[test]
fn the_relay_has_few_rights() {
    network(|| {
        let world = World::new();
        let path = format!("/proc/{}/task", world.relay.id());
        let statuses: Vec<String> = std::fs::read_dir(path)
            .unwrap()
            .map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap())
            .collect();
        // The other task is the test runner's, which waits for this one.
        let relay = statuses
            .iter()
            .find(|text| text.contains("NoNewPrivs:\t1"))
            .unwrap();
        for line in [
            "Uid:\t65534\t",
            "CapEff:\t0000000000002000",
            "CapBnd:\t0000000000000000",
        ] {
            assert!(relay.contains(line), "{line}: {relay}");
        }
    });
}

#[test]
fn a_client_that_went_away_leaves_no_port_behind() {
    network(|| {
        let world = World::start(Plan {
            held: true,
            ..Plan::default()
        });
        let service = world.service.as_deref().unwrap();
        let before = world.descriptors();
        let mut api = world.api();
        let spec = r#"{"proto":"tcp4","parentPort":8000,"childPort":1}"#;
        api.write_all(post(spec).as_bytes()).unwrap();
        asked(service); // before that, the relay may see the hang-up first and ask nothing
        drop(api);
        eventually("it is gone", || world.descriptors() == before);
        world.outer.inside(|| answer_bind(service));
        let (_, list) = world.call("GET", "/v1/ports", "");
        assert_eq!(list, "[]");
        std::thread::scope(|scope| {
            scope.spawn(|| world.outer.inside(|| answer_bind(service)));
            world.publish(":8000:1/tcp4");
        });
    });
}

#[test]
fn the_seventeenth_client_takes_the_place_of_an_idle_one() {
    network(|| {
        let world = World::new();
        let mut clients: Vec<UnixStream> = (0..16).map(|_| world.api()).collect();
        for client in &mut clients[1..] {
            // Under way, and not idle.
            client.write_all(b"GET /v1/ports HTTP/1.1\r\n").unwrap();
        }
        let info = world.call("GET", "/v1/info", "");
        assert_eq!(info.0, 200);
        assert_eq!(
            clients[0].read(&mut [0; 1]).unwrap(),
            0,
            "the idle one was let go"
        );
        for client in &mut clients[1..] {
            transcript(client, "\r\n", &answer("200 OK", JSON, "[]"));
        }
    });
}

#[test]
fn what_is_too_long_is_refused_at_once() {
    network(|| {
        let world = World::new();
        let head = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(9000));
        let body = format!(
            "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
            64 * 1024 + 1
        );
        for (request, status) in [(head, "431"), (body, "413")] {
            let mut api = world.api();
            api.write_all(request.as_bytes()).unwrap();
            let mut text = String::new();
            // What was not read makes the end a reset.
            let result = api.read_to_string(&mut text);
            assert!(
                text.starts_with(&format!("HTTP/1.1 {status} ")),
                "{text} {result:?}"
            );
        }
        assert_eq!(world.call("GET", "/v1/ports", "").0, 200);
    });
}

const CONNECT: &str = "PORTS_TEST_CONNECT";

#[test]
fn only_root_of_the_namespace_may_use_the_api() {
    network(|| {
        let world = World::new();
        let mode = std::fs::metadata(&world.socket)
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        // Even where somebody opens the doors.
        let directory = world.socket.parent().unwrap();
        std::fs::set_permissions(directory, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::set_permissions(&world.socket, PermissionsExt::from_mode(0o666)).unwrap();
        let program = directory.join("client");
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let output = Command::new(&program)
            .args(["--exact", "api::stranger", "--nocapture"])
            .env(CONNECT, &world.socket)
            .current_dir(directory)
            .uid(65_533)
            .gid(65_533)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("HTTP/1.1 403 Forbidden"), "{text} {output:?}");
        assert!(
            text.contains("uid 65533 may not use the port driver"),
            "{text}"
        );
        assert!(!text.contains("apiVersion"), "{text}");
    });
}

/// The client of the test above, as another user.
#[test]
fn stranger() {
    let Some(path) = std::env::var_os(CONNECT) else {
        return;
    };
    let mut api = UnixStream::connect(path).unwrap();
    let _ = api.write_all(bare("GET", "/v1/info").as_bytes());
    let mut text = String::new();
    match api.read_to_string(&mut text) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    println!("{text}");
}
