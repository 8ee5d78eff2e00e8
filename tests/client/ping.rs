//! One exchange and every way in which it fails.

use std::fs;
use std::path::Path;
use std::sync::mpsc;

use dind_init::base::explain::Explain;
use dind_init::client::credentials::{Credentials, CredentialsError};
use dind_init::client::ping::{Phase, PingError, TlsReason, ping};
use dind_init::endpoint::{Endpoint, Security, TlsFiles};
use dind_init::net::deadline::Deadline;
use dind_init::net::http::Head;
use dind_init::net::resolve::Resolver;

use crate::authority::{Authority, Pair, RSA_PKCS1, RSA_PKCS8, server_config, write_files};
use crate::server::{self, PONG, answers, behaviour};
use crate::{SHORT, deadline, plain, secure};

fn once(host: &str) -> Result<Head, PingError> {
    explained(ping(&plain(host), &Resolver::default(), &mut deadline()))
}

fn once_secure(host: &str, certificates: &Path) -> Result<Head, PingError> {
    let endpoint = secure(host, certificates);
    explained(ping(&endpoint, &Resolver::default(), &mut deadline()))
}

/// Every failure that comes by here has its words.
fn explained(result: Result<Head, PingError>) -> Result<Head, PingError> {
    if let Err(error) = &result {
        assert!(!error.why().is_empty() && !error.fix().is_empty());
    }
    result
}

fn tls_reason(result: Result<Head, PingError>) -> TlsReason {
    match result {
        Err(PingError::Tls { source, .. }) => source.reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_unix_socket_answers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("docker.sock");
    let (sender, receiver) = mpsc::channel();
    let act = behaviour(move |stream| {
        sender.send(server::request(stream)).unwrap();
        stream.write_all(PONG).unwrap();
    });
    server::unix(&path, act);
    let head = once(&format!("unix://{}", path.display())).unwrap();
    assert_eq!(head.engine(), "docker 28.5.2 api 1.51");
    let request = receiver.recv().unwrap();
    assert!(request.starts_with("GET /_ping HTTP/1.1\r\nHost: docker\r\n"));
}

#[test]
fn a_tcp_port_answers_below_its_prefix() {
    let (sender, receiver) = mpsc::channel();
    let act = behaviour(move |stream| {
        sender.send(server::request(stream)).unwrap();
        stream.write_all(PONG).unwrap();
    });
    let (address, _) = server::tcp(act);
    once(&format!("tcp://{address}/engine")).unwrap();
    let request = receiver.recv().unwrap();
    let want = format!("GET /engine/_ping HTTP/1.1\r\nHost: {address}\r\n");
    assert!(request.starts_with(&want), "{request}");
}

/// As the CLI: with the version of the environment, and below a path with that of the daemon.
#[test]
fn the_version_of_the_api_is_asked_for_where_it_decides() {
    let act = behaviour(|stream| {
        let request = server::request(stream);
        let known = [
            "/_ping ",
            "/v1.40/_ping ",
            "/x/_ping ",
            "/x/v1.51/_ping ",
            "/v1.30/_ping ",
        ];
        let answer = match known
            .iter()
            .any(|path| request.starts_with(&format!("GET {path}")))
        {
            true => PONG,
            false => {
                b"HTTP/1.1 400 Bad Request\r\nContent-Length: 37\r\n\r\n\
                {\"message\":\"client version is bad\"}\r\n"
            }
        };
        stream.write_all(answer).unwrap();
    });
    let (address, _) = server::tcp(act);
    let at = |path: &str, api: Option<&str>| {
        let api = api.map(Into::into);
        let direct = plain(&format!("tcp://{address}{path}"));
        let endpoint = Endpoint { api, ..direct };
        ping(&endpoint, &Resolver::default(), &mut deadline())
    };
    assert!(at("", None).is_ok() && at("", Some("1.40")).is_ok() && at("/x", None).is_ok());
    for (path, api) in [("", Some("9.9")), ("/v1.30", None)] {
        let refused = at(path, api).unwrap_err();
        assert!(
            refused.fix().contains("DOCKER_API_VERSION"),
            "{}",
            refused.fix()
        );
    }
}

#[test]
fn an_answer_in_single_bytes_is_an_answer() {
    let act = behaviour(|stream| {
        server::request(stream);
        for byte in PONG {
            stream.write_all(&[*byte]).unwrap();
            stream.flush().unwrap();
        }
    });
    let (address, _) = server::tcp(act);
    assert_eq!(once(&format!("tcp://{address}")).unwrap().status, 200);
}

#[test]
fn refusals_of_the_kernel_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let host = |path: &Path| format!("unix://{}", path.display());
    assert!(matches!(
        once(&host(&dir.path().join("absent"))),
        Err(PingError::NoSocket { .. })
    ));
    assert!(matches!(once(&host(&file)), Err(PingError::Refused { .. })));
    assert!(matches!(
        once(&format!("tcp://{}", server::nobody())),
        Err(PingError::Refused { .. })
    ));
    let long = dir.path().join("x".repeat(200));
    assert!(matches!(once(&host(&long)), Err(PingError::Io { .. })));
}

#[test]
fn a_daemon_that_takes_the_connection_and_is_silent_is_starting() {
    let (address, _) = server::tcp(behaviour(server::until_closed));
    let silent = ping(
        &plain(&format!("tcp://{address}")),
        &Resolver::default(),
        &mut Deadline::new(SHORT),
    );
    assert!(matches!(
        explained(silent),
        Err(PingError::Silent {
            phase: Phase::Answer,
            ..
        })
    ));
}

#[test]
fn half_an_answer_and_then_silence_ends_at_the_deadline() {
    let act = behaviour(|stream| {
        stream.write_all(&PONG[..30]).unwrap();
        server::until_closed(stream);
    });
    let (address, _) = server::tcp(act);
    let silent = ping(
        &plain(&format!("tcp://{address}")),
        &Resolver::default(),
        &mut Deadline::new(SHORT),
    );
    assert!(matches!(silent, Err(PingError::Silent { .. })));
}

#[test]
fn an_endless_head_is_cut_off() {
    let act = behaviour(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
        while stream.write_all(&[b'x'; 1000]).is_ok() {}
    });
    let (address, _) = server::tcp(act);
    assert!(matches!(
        once(&format!("tcp://{address}")),
        Err(PingError::NotHttp { .. })
    ));
}

#[test]
fn closing_early_is_no_answer() {
    for answer in [&PONG[..0], &PONG[..40]] {
        let (address, _) = server::tcp(answers(answer));
        assert!(matches!(
            once(&format!("tcp://{address}")),
            Err(PingError::ClosedEarly { .. })
        ));
    }
    // Without having read the request: the client sees a reset.
    let (address, _) = server::tcp(behaviour(|_| {}));
    assert!(matches!(
        once(&format!("tcp://{address}")),
        Err(PingError::ClosedEarly { .. })
    ));
}

#[test]
fn another_status_carries_the_daemons_message() {
    let (address, _) = server::tcp(answers(
        b"HTTP/1.1 503 Service Unavailable\r\n\r\n{\"message\":\"not yet\"}",
    ));
    match once(&format!("tcp://{address}")) {
        Err(PingError::Status { code, message, .. }) => {
            assert_eq!((code, message.as_str()), (503, "not yet"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn tls_with_both_sides_verified_answers() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    ca.write_client(dir.path());
    let server = ca.server(&["localhost", "127.0.0.1"]);
    let (address, _) = server::tls(server_config(&server, &ca), answers(PONG));
    for host in ["localhost", "127.0.0.1"] {
        let head = once_secure(&format!("tcp://{host}:{}", address.port()), dir.path());
        assert_eq!(head.unwrap().api_version.as_deref(), Some("1.51"));
    }
}

#[test]
fn every_pem_form_of_a_key_is_taken() {
    let ca = Authority::new();
    let server = ca.server(&["127.0.0.1"]);
    let (address, _) = server::tls(server_config(&server, &ca), answers(PONG));
    let rsa = ca.client_with(&rcgen::KeyPair::from_pem(RSA_PKCS8).unwrap());
    let pkcs1 = Pair {
        key: RSA_PKCS1.into(),
        ..rsa.clone()
    };
    for client in [ca.client(), sec1(&ca), rsa, pkcs1] {
        let dir = tempfile::tempdir().unwrap();
        write_files(dir.path(), &ca.pem(), &client);
        once_secure(&format!("tcp://{address}"), dir.path()).unwrap();
    }
}

/// An EC key in SEC1 form: it is the octet string at the end of its PKCS#8 form.
fn sec1(ca: &Authority) -> Pair {
    let key = rcgen::KeyPair::generate().unwrap();
    let der = key.serialize_der();
    let start = der
        .windows(7)
        .position(|bytes| bytes[0] == 0x30 && bytes[2..] == [2, 1, 1, 4, 32])
        .unwrap();
    let text = {
        use std::fmt::Write;
        let mut text = String::from("-----BEGIN EC PRIVATE KEY-----\n");
        for line in base64(&der[start..]).as_bytes().chunks(64) {
            writeln!(text, "{}", std::str::from_utf8(line).unwrap()).unwrap();
        }
        text + "-----END EC PRIVATE KEY-----\n"
    };
    Pair {
        key: text,
        ..ca.client_with(&key)
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let number = chunk
                .iter()
                .chain([0, 0].iter())
                .take(3)
                .fold(0u32, |number, byte| number << 8 | u32::from(*byte));
            (0..4u32).map(
                move |place| match place <= u32::try_from(chunk.len()).unwrap() {
                    true => DIGITS[(number >> (18 - 6 * place) & 63) as usize] as char,
                    false => '=',
                },
            )
        })
        .collect()
}

#[test]
fn a_daemon_of_another_ca_is_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(), Authority::new());
    ours.write_client(dir.path());
    let server = theirs.server(&["127.0.0.1"]);
    let (address, _) = server::tls(server_config(&server, &ours), answers(PONG));
    let result = once_secure(&format!("tcp://{address}"), dir.path());
    assert_eq!(tls_reason(result), TlsReason::UnknownAuthority);
}

#[test]
fn a_wrong_name_says_which_names_are_right() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    ca.write_client(dir.path());
    let server = ca.server(&["docker", "10.0.0.1"]);
    let (address, _) = server::tls(server_config(&server, &ca), answers(PONG));
    let result = once_secure(&format!("tcp://{address}"), dir.path());
    let presented = vec!["docker".to_owned(), "10.0.0.1".to_owned()];
    assert_eq!(tls_reason(result), TlsReason::NameMismatch { presented });
}

#[test]
fn an_expired_daemon_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    ca.write_client(dir.path());
    let server = ca.expired_server("127.0.0.1");
    let (address, _) = server::tls(server_config(&server, &ca), answers(PONG));
    let result = once_secure(&format!("tcp://{address}"), dir.path());
    assert_eq!(tls_reason(result), TlsReason::Expired);
}

#[test]
fn a_client_certificate_of_another_ca_or_none_is_refused_by_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(), Authority::new());
    write_files(dir.path(), &ours.pem(), &theirs.client());
    let server = ours.server(&["127.0.0.1"]);
    let (address, _) = server::tls(server_config(&server, &ours), answers(PONG));
    let mut endpoint = secure(&format!("tcp://{address}"), dir.path());
    for _ in 0..2 {
        let result = ping(&endpoint, &Resolver::default(), &mut deadline());
        assert!(matches!(
            tls_reason(explained(result)),
            TlsReason::ClientRefused { .. }
        ));
        if let Security::Tls(files) = &mut endpoint.security {
            files.identity = None;
        }
    }
}

#[test]
fn tls_on_one_side_only_is_told_on_both() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    ca.write_client(dir.path());
    let (plain, _) = server::tcp(answers_anything(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    let result = once_secure(&format!("tcp://{plain}"), dir.path());
    assert_eq!(tls_reason(result), TlsReason::NotTls);

    let server = ca.server(&["127.0.0.1"]);
    let (secure, _) = server::tls(server_config(&server, &ca), answers(PONG));
    match once(&format!("tcp://{secure}")) {
        Err(PingError::NotHttp { looks_like_tls, .. }) => assert!(looks_like_tls),
        other => panic!("{other:?}"),
    }
    // What Go's server says in that case.
    let (go, _) = server::tcp(answers(
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
    ));
    let error = once(&format!("tcp://{go}")).unwrap_err();
    assert!(error.fix().contains("DOCKER_TLS_VERIFY=1"));
}

fn answers_anything(bytes: &'static [u8]) -> server::Behaviour {
    behaviour(move |stream| {
        let mut first = [0; 1];
        let _ = stream.read(&mut first);
        let _ = stream.write_all(bytes);
        server::until_closed(stream);
    })
}

#[test]
fn a_handshake_that_never_ends_is_silence() {
    let dir = tempfile::tempdir().unwrap();
    Authority::new().write_client(dir.path());
    let (address, _) = server::tcp(behaviour(server::until_closed));
    let silent = ping(
        &secure(&format!("tcp://{address}"), dir.path()),
        &Resolver::default(),
        &mut Deadline::new(SHORT),
    );
    assert!(matches!(
        silent,
        Err(PingError::Silent {
            phase: Phase::Handshake,
            ..
        })
    ));
}

#[test]
fn files_count_only_when_they_are_complete_and_fit() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    let client = ca.client();
    let load = || Credentials::load(&TlsFiles::in_directory(dir.path()));
    let half = |text: &str| text[..text.len() / 2].to_owned();
    type Check = fn(&CredentialsError) -> bool;
    let incomplete: Check = |error| matches!(error, CredentialsError::Incomplete { .. });
    let table: [(&str, String, Check); 7] = [
        ("ca.pem", half(&ca.pem()), incomplete),
        ("ca.pem", String::new(), incomplete),
        ("cert.pem", half(&client.cert), incomplete),
        ("key.pem", half(&client.key), incomplete),
        ("key.pem", String::new(), incomplete),
        ("key.pem", ca.client().key, |error| {
            matches!(error, CredentialsError::Mismatch { .. })
        }),
        (
            "key.pem",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
                .into(),
            |error| matches!(error, CredentialsError::Encrypted { .. }),
        ),
    ];
    for (file, text, check) in table {
        write_files(dir.path(), &ca.pem(), &client);
        fs::write(dir.path().join(file), &text).unwrap();
        let error = load().unwrap_err();
        assert!(check(&error), "{file} {text:?}: {error:?}");
        assert!(!error.why().is_empty() && !error.fix().is_empty());
    }
    write_files(dir.path(), &ca.pem(), &client);
    let before = load().unwrap();
    assert!(before.same_files(&load().unwrap()));
    assert!(!format!("{before:?}").contains("PRIVATE"));
    ca.write_client(dir.path());
    assert!(!before.same_files(&load().unwrap()));
    fs::remove_file(dir.path().join("key.pem")).unwrap();
    assert!(matches!(load(), Err(CredentialsError::Unreadable { .. })));
}
