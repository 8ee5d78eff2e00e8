//! What holds of every conversation with the port driver's API, however its bytes are cut.

use dind_init::config::rootless::ChildSide;
use dind_init::ports::api::Call;
use dind_init::ports::api::answer::Answer;
use dind_init::ports::api::exchange::{Exchange, Next};
use dind_init::ports::api::info::{Info, NetworkDriver};
use dind_init::ports::api::request::{MAX_BODY, MAX_HEAD};
use dind_init::ports::table::Table;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// One conversation, all of it.
pub fn check(bytes: &[u8]) {
    let whole = converse(bytes, |_| usize::MAX);
    responses(&whole);
    let own = |at: usize| 1 + usize::from(bytes.get(at).copied().unwrap_or(0));
    assert_same(&whole, &converse(bytes, own));
    // Byte by byte, where that does not take as long as everything else.
    let step = 1 + bytes.len() / 1024;
    assert_same(&whole, &converse(bytes, |_| step));
}

/// One connection, as the relay serves it: what the client is sent.
fn converse(mut bytes: &[u8], cut: impl Fn(usize) -> usize) -> Vec<u8> {
    let total = bytes.len();
    let mut exchange = Exchange::default();
    let mut ports = Table::of_relay(0);
    let mut sent = Vec::new();
    loop {
        match exchange.advance() {
            Next::Answer(call, then) => {
                // As for a call that PID 1 is asked about first.
                exchange.park(then);
                assert_eq!(exchange.advance(), Next::Wait);
                exchange.answer(&answer(call, &mut ports), then);
            }
            Next::Close => return sent,
            Next::Send => {
                let outbox = exchange.outbox();
                assert!(!outbox.is_empty());
                let count = cut(sent.len()).min(outbox.len());
                sent.extend(&outbox[..count]);
                exchange.sent(count);
            }
            Next::Read(most) => {
                assert!((1..=MAX_HEAD + MAX_BODY).contains(&most), "{most}");
                let count = cut(total - bytes.len()).min(most).min(bytes.len());
                if count == 0 {
                    // The client is gone.
                    return sent;
                }
                let (now, later) = bytes.split_at(count);
                exchange.receive(now);
                bytes = later;
            }
            Next::Wait => unreachable!("nothing is parked"),
        }
    }
}

/// What the relay would say, if every port could be bound.
fn answer(call: Call, ports: &mut Table<()>) -> Answer {
    match call {
        Call::Add(spec) => match ports.accept(&spec) {
            Ok(()) => Answer::added(ports.add(spec.clone(), ()), &spec),
            Err(conflict) => Answer::refusal(conflict),
        },
        Call::Behind(backend) => Answer::refusal(backend.front),
        Call::Info => Answer::info(&info()),
        Call::List => Answer::list(ports),
        Call::Remove(id) => match ports.remove(id) {
            Some(()) => Answer::done(),
            None => Answer::refusal(format_args!("unknown id: {id}")),
        },
    }
}

fn info() -> Info {
    let network = NetworkDriver {
        driver: "slirp4netns".to_owned(),
        dns: Vec::new(),
        child_ip: None,
        dynamic_child_ip: false,
        ipv6: false,
    };
    Info::new("/run/x".into(), 1, network, Some(ChildSide::Tap))
}

/// Well-formed answers one after the other, and nothing after the one that ends the connection.
fn responses(mut sent: &[u8]) {
    while !sent.is_empty() {
        if let Some(rest) = sent.strip_prefix(CONTINUE) {
            sent = rest;
            continue;
        }
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut headers);
        let head = match response.parse(sent) {
            Ok(httparse::Status::Complete(head)) => head,
            other => panic!("{other:?}: {:?}", String::from_utf8_lossy(sent)),
        };
        let field = |name: &str| {
            let mut found = response.headers.iter().filter(|it| it.name == name);
            let first = found.next().map(|it| it.value);
            assert!(found.next().is_none(), "{name} twice");
            first.map(|value| std::str::from_utf8(value).expect("ASCII"))
        };
        let length = field("Content-Length").expect("a length");
        let length: usize = length.parse().expect("a number");
        let body = sent.get(head..head + length).expect("as long as it says");
        let text = std::str::from_utf8(body).expect("UTF-8");
        let object = || serde_json::from_str::<serde_json::Value>(text).expect(text);
        match (response.code.expect("a status"), field("Content-Type")) {
            (200, None) => assert_eq!(text, "", "a port was removed"),
            (200 | 201, Some("application/json")) => drop(object()),
            (400, Some(_)) if text.starts_with('{') => assert!(object()["message"].is_string()),
            (400 | 404 | 411 | 413 | 431, Some(_)) => assert!(!text.is_empty()),
            other => panic!("{other:?}: {text}"),
        }
        sent = &sent[head + length..];
        match field("Connection") {
            Some("close") => assert!(sent.is_empty(), "the connection is over"),
            other => assert_eq!(other, None),
        }
    }
}

/// A client that waits for a word gets it only where the body does not come by itself.
fn assert_same(whole: &[u8], cut: &[u8]) {
    let text = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        text.replace("HTTP/1.1 100 Continue\r\n\r\n", "")
    };
    assert_eq!(text(whole), text(cut));
}
