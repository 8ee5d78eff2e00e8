//! Transcripts: what rootlesskit 2.0.2 answered to the same requests, but for its `Date`.

use std::path::PathBuf;

use proptest::prelude::*;

use super::answer::Then;
use super::info::{Info, NetworkDriver};
use super::request::{MAX_BODY, MAX_HEAD, Parsed, parse};
use super::*;
use crate::config::rootless::ChildSide;
use crate::ports::table::Table;

fn call(raw: &str) -> Result<Call, String> {
    match parse(raw.as_bytes()) {
        Parsed::Request(request) => Call::parse(&request).map_err(|answer| text(&answer)),
        Parsed::Refused(answer) => Err(text(&answer)),
        Parsed::Incomplete { .. } => panic!("incomplete: {raw}"),
    }
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.bytes(Then::KeepAlive)).unwrap()
}

fn bare(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: rootlesskit\r\n\r\n")
}

fn refusal(message: &str) -> String {
    format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n\r\n{message}\n",
        message.len() + 1
    )
}

const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\n\
    X-Content-Type-Options: nosniff\r\nContent-Length: 19\r\n\r\n404 page not found\n";

#[test]
fn every_call_is_found() {
    assert_eq!(call(&bare("GET", "/v1/info")), Ok(Call::Info));
    assert_eq!(call(&bare("GET", "/v1/info?x=1")), Ok(Call::Info));
    assert_eq!(call(&bare("GET", "http://any/v1/info")), Ok(Call::Info));
    assert_eq!(call(&bare("GET", "/v1/ports")), Ok(Call::List));
    assert_eq!(call(&bare("DELETE", "/v1/ports/7")), Ok(Call::Remove(7)));
    assert_eq!(call(&bare("DELETE", "/v1/ports/-1")), Ok(Call::Remove(-1)));
    assert_eq!(call(&bare("DELETE", "/v1/ports/+3")), Ok(Call::Remove(3)));
    let body = r#"{"proto":"tcp","parentPort":1,"childPort":2}"#;
    let post = format!(
        "POST /v1/ports HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(call(&post), Ok(Call::Add(":1:2/tcp".parse().unwrap())));
}

#[test]
fn other_paths_and_methods_are_not_found() {
    for (method, path) in [
        ("PUT", "/v1/ports"),
        ("GET", "/v1/ports/"),
        ("GET", "/v1/ports/1"),
        ("DELETE", "/v1/ports/"),
        ("DELETE", "/v1/ports/1/2"),
        ("DELETE", "/v1/info"),
        ("GET", "/"),
        ("GET", "http://any"),
        ("OPTIONS", "*"),
    ] {
        assert_eq!(call(&bare(method, path)), Err(NOT_FOUND.to_owned()));
    }
}

#[test]
fn refusals_are_texts_with_a_message() {
    for (id, message) in [
        (
            "abc",
            r#"{"message":"bad id abc: strconv.Atoi: parsing \"abc\": invalid syntax"}"#,
        ),
        (
            "99999999999999999999",
            r#"{"message":"bad id 99999999999999999999: strconv.Atoi: parsing \"99999999999999999999\": value out of range"}"#,
        ),
    ] {
        let got = call(&bare("DELETE", &format!("/v1/ports/{id}")));
        assert_eq!(got, Err(refusal(message)));
    }
    let empty = "POST /v1/ports HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(call(empty), Err(refusal(r#"{"message":"EOF"}"#)));
}

#[test]
fn info_tells_dockerd_where_to_map_ports() {
    let network = NetworkDriver {
        driver: "slirp4netns".to_owned(),
        dns: vec![[10, 0, 2, 3].into()],
        child_ip: Some([10, 0, 2, 100].into()),
        dynamic_child_ip: false,
        ipv6: false,
    };
    let info = |side| {
        let info = Info::new(PathBuf::from("/run/x"), 42, network.clone(), side);
        let text = text(&Answer::info(&info));
        text.split_once("\r\n\r\n")
            .unwrap()
            .1
            .replace(env!("CARGO_PKG_VERSION"), "0")
    };
    expect_test::expect![[r#"{"apiVersion":"1.1.2","version":"0+dind-init","stateDir":"/run/x","childPID":42,"networkDriver":{"driver":"slirp4netns","dns":["10.0.2.3"],"childIP":"10.0.2.100"},"portDriver":{"driver":"builtin","protos":["tcp","tcp4","udp","udp4"],"disallowLoopbackChildIP":true}}"#]]
        .assert_eq(&info(Some(ChildSide::Tap)));
    expect_test::expect![[r#"{"apiVersion":"1.1.2","version":"0+dind-init","stateDir":"/run/x","childPID":42,"networkDriver":{"driver":"slirp4netns","dns":["10.0.2.3"],"childIP":"10.0.2.100"},"portDriver":{"driver":"builtin","protos":["tcp","tcp4","tcp6","udp","udp4","udp6"]}}"#]]
        .assert_eq(&info(Some(ChildSide::Loopback)));
    assert!(!info(None).contains("portDriver"));
}

#[test]
fn ports_are_listed_and_answered_with_their_ids() {
    let mut table = Table::of_relay(0);
    assert_eq!(
        text(&Answer::list(&table)),
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"
    );
    let spec: PortSpec = "0.0.0.0:18090:80/tcp4".parse().unwrap();
    let id = table.add(spec.clone(), ());
    assert_eq!(
        text(&Answer::added(id, &spec)),
        "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 87\r\n\r\n\
         {\"id\":1,\"spec\":{\"proto\":\"tcp4\",\"parentIP\":\"0.0.0.0\",\"parentPort\":18090,\"childPort\":80}}"
    );
    assert_eq!(
        text(&Answer::list(&table)),
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 89\r\n\r\n\
         [{\"id\":1,\"spec\":{\"proto\":\"tcp4\",\"parentIP\":\"0.0.0.0\",\"parentPort\":18090,\"childPort\":80}}]"
    );
    assert_eq!(
        text(&Answer::done()),
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn the_connection_lives_on_unless_one_side_says_otherwise() {
    let then = |raw: &str| match parse(raw.as_bytes()) {
        Parsed::Request(request) => request.then,
        other => panic!("{other:?}"),
    };
    assert_eq!(then("GET / HTTP/1.1\r\n\r\n"), Then::KeepAlive);
    assert_eq!(
        then("GET / HTTP/1.1\r\nconnection: Close\r\n\r\n"),
        Then::Close
    );
    assert_eq!(then("GET / HTTP/1.0\r\n\r\n"), Then::Close);
}

#[test]
fn a_request_is_incomplete_until_its_last_byte() {
    let raw =
        b"POST /v1/ports HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nnullGET";
    let (head, whole) = (raw.len() - 7, raw.len() - 3);
    for length in 0..whole {
        let waits_for_continue = length >= head;
        assert_eq!(
            parse(&raw[..length]),
            Parsed::Incomplete { waits_for_continue },
            "{length}"
        );
    }
    let Parsed::Request(request) = parse(raw) else {
        panic!("complete");
    };
    assert_eq!((request.body, request.length), (&b"null"[..], whole));
}

#[test]
fn what_is_above_the_limits_or_no_http_is_refused() {
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(MAX_HEAD));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(65));
    let body = format!(
        "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
        MAX_BODY + 1
    );
    for (raw, status) in [
        (long.as_str(), "431 "),
        (&long[..MAX_HEAD], "431 "),
        (&many, "431 "),
        (&body, "413 "),
        (
            "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "413 ",
        ),
        ("POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", "400 "),
        (
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "400 ",
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "411 ",
        ),
        ("garbage\r\n\r\n", "400 "),
        ("\x16\x03\x01", "400 "),
    ] {
        let Parsed::Refused(answer) = parse(raw.as_bytes()) else {
            panic!("{raw:?}");
        };
        let text = text(&answer);
        assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{text}");
    }
}

/// The limit is refused before what stands behind it is read: cut there, it is not known yet.
#[test]
fn what_stands_behind_the_limit_changes_no_answer() {
    let line = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(MAX_HEAD));
    for end in [
        "\r\n\r\n",
        "\r\n\0: y\r\n\r\n",
        "\r\nContent-Length: x\r\n\r\n",
    ] {
        let whole = format!("{line}{end}");
        assert_eq!(parse(whole.as_bytes()), parse(&line.as_bytes()[..MAX_HEAD]));
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, path in "[/v1portsinfo0-9?#:]{0,20}") {
        let _ = parse(&bytes);
        let raw = bare("DELETE", &path);
        if let Parsed::Request(request) = parse(raw.as_bytes()) {
            let _ = Call::parse(&request);
        }
    }
}
