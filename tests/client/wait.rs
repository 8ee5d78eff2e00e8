//! Waiting: whatever is missing appears when the client has found out that it is missing.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use dind_init::base::environment::Environment;
use dind_init::base::explain::{Explain, frame};
use dind_init::client::ping::PingError;
use dind_init::client::wait::{Ready, Target, WaitError, until_ready};
use dind_init::endpoint::Wanted;
use dind_init::net::deadline::Deadline;
use dind_init::net::resolve::Resolver;

use crate::authority::{Authority, server_config, write_files};
use crate::server::{self, PONG, answers, behaviour};
use crate::{LONG, SHORT};

fn host(host: &str) -> Target {
    Target {
        wanted: Wanted {
            host: Some(host.into()),
            ..Wanted::default()
        },
        ..Target::default()
    }
}

fn secure(address: &str, certificates: &Path) -> Target {
    let mut target = host(address);
    target.wanted.cert_dir = Some(certificates.into());
    target
}

/// Waits; `then` runs at the client's first pause or blocking moment, with what it says then.
fn wait(target: &Target, then: impl FnMut(&str)) -> Result<Ready, WaitError> {
    let mut deadline = Deadline::new(LONG).with_notice(Duration::ZERO, then);
    until_ready(target, &Environment::default(), &mut deadline)
}

#[test]
fn a_socket_that_appears_late_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("docker.sock");
    let target = host(&format!("unix://{}", path.display()));
    let ready = wait(&target, |activity| {
        assert!(activity.contains("there is no socket"), "{activity}");
        server::unix(&path, answers(PONG));
    })
    .unwrap();
    assert_eq!(
        ready.line(Duration::from_millis(590)),
        format!(
            "ready after 0.59s: docker 28.5.2 api 1.51 at unix://{}",
            path.display()
        )
    );
}

#[test]
fn one_request_waits_for_a_daemon_that_answers_late() {
    let (sender, receiver) = mpsc::channel::<()>();
    let receiver = Mutex::new(receiver);
    let act = behaviour(move |stream| {
        server::request(stream);
        // Only when the client says that it waits for the answer.
        receiver.lock().unwrap().recv().unwrap();
        stream.write_all(PONG).unwrap();
    });
    let (address, count) = server::tcp(act);
    wait(&host(&format!("tcp://{address}")), |activity| {
        sender.send(()).unwrap();
        assert!(activity.starts_with("tcp://"), "{activity}");
    })
    .unwrap();
    assert_eq!(count.get(), 1);
}

#[test]
fn certificates_that_appear_late_and_by_halves_are_used_when_complete() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    let server = ca.server(&["127.0.0.1"]);
    let (address, count) = server::tls(server_config(&server, &ca), answers(PONG));
    fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
    fs::write(dir.path().join("cert.pem"), "-----BEGIN CERT").unwrap();
    let ready = wait(
        &secure(&format!("tcp://{address}"), dir.path()),
        |activity| {
            assert!(activity.contains("cert.pem") || activity.contains("key.pem"));
            ca.write_client(dir.path());
        },
    )
    .unwrap();
    assert!(ready.line(Duration::ZERO).ends_with(" (TLS)"));
    assert_eq!(count.get(), 1, "no handshake was tried before");
}

#[test]
fn the_official_rules_are_asked_anew_when_certificates_appear() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    let server = ca.server(&["127.0.0.1"]);
    // As Go does, this one answers plain HTTP with status 400: not yet, but not final either. The
    // second attempt proves that, and ends the wait.
    let (stop, stopper) = UnixStream::pair().unwrap();
    let stopper = Mutex::new((stopper, 0));
    let act = behaviour(move |stream| {
        let (stopper, attempts) = &mut *stopper.lock().unwrap();
        *attempts += 1;
        if *attempts == 2 {
            stopper.write_all(b"x").unwrap();
        }
        server::request(stream);
        let _ = stream.write_all(
            b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
        );
    });
    let (plain, _) = server::tcp(act);
    let (secure, _) = server::tls(server_config(&server, &ca), answers(PONG));
    // By variable: a flag for the host says nothing about TLS.
    let env = |address| -> Environment {
        let host = OsString::from(format!("tcp://{address}"));
        let directory = ("DOCKER_TLS_CERTDIR", dir.path().as_os_str().to_owned());
        [directory, ("DOCKER_HOST", host)].into_iter().collect()
    };
    let target = Target::default();
    let mut deadline = Deadline::new(LONG).with_stop(stop.as_fd());
    let ended = until_ready(&target, &env(plain), &mut deadline);
    assert!(matches!(ended, Err(WaitError::Stopped)), "{ended:?}");

    ca.write_client(&dir.path().join("client"));
    let mut deadline = Deadline::new(LONG);
    until_ready(&target, &env(secure), &mut deadline).unwrap();
}

#[test]
fn a_name_that_appears_late_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let (address, _) = server::tcp(answers(PONG));
    let mut target = host(&format!("tcp://docker:{}", address.port()));
    target.resolver = Resolver {
        hosts: dir.path().join("hosts"),
        resolv_conf: dir.path().join("resolv.conf"),
        dns_port: server::nobody().port(),
    };
    wait(&target, |activity| {
        assert!(activity.contains("docker"), "{activity}");
        fs::write(dir.path().join("hosts"), "127.0.0.1 docker\n").unwrap();
    })
    .unwrap();
}

#[test]
fn files_are_waited_for_before_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let (address, count) = server::tcp(answers(PONG));
    let mut target = host(&format!("tcp://{address}"));
    target.files = vec![dir.path().join("a"), dir.path().join("b")];
    fs::write(&target.files[0], "").unwrap();
    let late = target.files[1].clone();
    wait(&target, |activity| {
        assert_eq!(activity, format!("file {}", late.display()));
        assert_eq!(count.get(), 0);
        fs::write(&late, "").unwrap();
    })
    .unwrap();

    fs::remove_file(&target.files[1]).unwrap();
    let ended = until_ready(&target, &Environment::default(), &mut Deadline::new(SHORT));
    match ended {
        Err(error @ WaitError::MissingFile { .. }) => assert_eq!(error.exit_code(), 1),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wrong_name_ends_the_wait_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    ca.write_client(dir.path());
    let server = ca.server(&["docker"]);
    let (address, count) = server::tls(server_config(&server, &ca), answers(PONG));
    let error = wait(&secure(&format!("tcp://{address}"), dir.path()), |_| {}).unwrap_err();
    assert!(matches!(error, WaitError::Permanent(_)), "{error:?}");
    assert_eq!(error.exit_code(), 1);
    assert!(
        frame(&error).contains("DOCKER_TLS_SAN"),
        "{}",
        frame(&error)
    );
    assert_eq!(count.get(), 1);
}

#[test]
fn an_unknown_ca_is_final_when_the_files_have_settled() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(), Authority::new());
    ours.write_client(dir.path());
    let server = theirs.server(&["127.0.0.1"]);
    let (address, count) = server::tls(server_config(&server, &theirs), answers(PONG));
    let target = secure(&format!("tcp://{address}"), dir.path());
    let error = wait(&target, |_| {}).unwrap_err();
    assert!(matches!(error, WaitError::Permanent(_)), "{error:?}");
    assert_eq!(count.get(), 3);
}

#[test]
fn an_unknown_ca_is_not_final_while_files_change() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(), Authority::new());
    old.write_client(dir.path());
    let server = new.server(&["127.0.0.1"]);
    let seen = Arc::new(Mutex::new(0));
    let attempts = Arc::clone(&seen);
    let files = dir.path().to_owned();
    let (ca, client) = (new.pem(), new.client());
    // With each connection the files are other ones of the old CA; with the fourth, the new.
    let act = behaviour(move |stream| {
        let mut attempts = attempts.lock().unwrap();
        *attempts += 1;
        match *attempts {
            1..4 => old.write_client(&files),
            4 => write_files(&files, &ca, &client),
            _ => {}
        }
        if !server::request(stream).is_empty() {
            let _ = stream.write_all(PONG);
        }
    });
    let (address, _) = server::tls(server_config(&server, &new), act);
    wait(&secure(&format!("tcp://{address}"), dir.path()), |_| {}).unwrap();
    assert!(*seen.lock().unwrap() >= 5);
}

#[test]
fn the_time_ends_with_the_last_reason() {
    let target = host(&format!("tcp://{}", server::nobody()));
    let ended = until_ready(&target, &Environment::default(), &mut Deadline::new(SHORT));
    match ended {
        Err(error @ WaitError::TimedOut { .. }) => {
            assert_eq!(error.exit_code(), 1);
            let text = frame(&error);
            assert!(text.contains("refuses connections"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    let (address, _) = server::tcp(behaviour(server::until_closed));
    let target = host(&format!("tcp://{address}"));
    let ended = until_ready(&target, &Environment::default(), &mut Deadline::new(SHORT));
    match ended {
        Err(WaitError::TimedOut { source, .. }) => {
            assert!(matches!(*source, PingError::Silent { .. }));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn bad_words_end_the_wait_before_it_begins() {
    for bad in ["ssh://docker", "tcp://a:b", "npipe:////./pipe/docker"] {
        let error = wait(&host(bad), |_| panic!("waited")).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{bad}");
    }
}

#[test]
fn a_stop_ends_a_pause_and_a_pending_request() {
    let (address, _) = server::tcp(behaviour(server::until_closed));
    for address in [address, server::nobody()] {
        let (reader, mut writer) = UnixStream::pair().unwrap();
        let mut deadline = Deadline::new(LONG)
            .with_stop(reader.as_fd())
            .with_notice(Duration::ZERO, move |_| writer.write_all(b"x").unwrap());
        let target = host(&format!("tcp://{address}"));
        let ended = until_ready(&target, &Environment::default(), &mut deadline);
        assert!(matches!(ended, Err(WaitError::Stopped)), "{ended:?}");
    }
}

/// What a proxy answers, and the requests that it got.
fn proxy(answer: &'static [u8]) -> (std::net::SocketAddr, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let act = behaviour(move |stream| {
        let request = server::request(stream);
        seen.lock().unwrap().push(request);
        let _ = stream.write_all(answer);
    });
    (server::tcp(act).0, asked)
}

fn with_proxy(variable: &'static str, proxy: std::net::SocketAddr) -> Environment {
    let url = format!("http://user:pass@{proxy}");
    [("DOCKER_HOST", "tcp://docker:2375"), (variable, &url)]
        .into_iter()
        .collect()
}

/// As `docker` does, which would fail after a `wait` that went another way.
#[test]
fn the_proxy_of_the_environment_is_asked_and_its_refusal_ends_the_wait() {
    let (address, asked) = proxy(PONG);
    let env = with_proxy("HTTP_PROXY", address);
    until_ready(&Target::default(), &env, &mut Deadline::new(LONG)).unwrap();
    let request = asked.lock().unwrap()[0].clone();
    assert!(
        request.starts_with("GET http://docker:2375/_ping HTTP/1.1\r\nHost: docker:2375\r\n")
            && request.contains("\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n"),
        "{request}"
    );

    let (address, asked) = proxy(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let env = with_proxy("HTTP_PROXY", address);
    let error = until_ready(&Target::default(), &env, &mut Deadline::new(LONG)).unwrap_err();
    let text = frame(&error);
    assert!(matches!(error, WaitError::Permanent(_)), "{text}");
    assert!(
        text.contains("NO_PROXY=localhost,127.0.0.1,docker"),
        "{text}"
    );
    assert!(!text.contains("pass@"), "{text}");
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[test]
fn tls_goes_through_a_tunnel_of_the_proxy() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    ca.write_client(dir.path());
    let server = ca.server(&["docker"]);
    let (daemon, _) = server::tls(server_config(&server, &ca), answers(PONG));
    // A proxy that connects whomever is asked for to the daemon.
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = proxy.local_addr().unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut client, _) = proxy.accept().unwrap();
        sender.send(server::request(&mut client)).unwrap();
        client
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .unwrap();
        let mut daemon = std::net::TcpStream::connect(daemon).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), daemon.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let _ = std::io::copy(&mut daemon, &mut client);
    });
    let mut target = Target::default();
    target.wanted.cert_dir = Some(dir.path().into());
    let env = with_proxy("HTTPS_PROXY", address);
    until_ready(&target, &env, &mut Deadline::new(LONG)).unwrap();
    let request = receiver.recv().unwrap();
    assert!(
        request.starts_with("CONNECT docker:2375 HTTP/1.1\r\n"),
        "{request}"
    );
}

/// Each would be waited for until the end of all time otherwise.
#[test]
fn what_does_not_cure_itself_ends_the_wait() {
    let dir = tempfile::tempdir().unwrap();
    let https =
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    let (speaks_tls, count) = server::tcp(answers(https));
    let (speaks_ssh, _) = server::tcp(behaviour(|stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9\r\n");
        server::until_closed(stream);
    }));
    for address in [speaks_tls, speaks_ssh] {
        let error = wait(&host(&format!("tcp://{address}")), |_| {}).unwrap_err();
        assert!(matches!(error, WaitError::Permanent(_)), "{error:?}");
    }
    assert_eq!(count.get(), 3);
    let ca = Authority::new();
    ca.write_client(dir.path());
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    fs::write(dir.path().join("key.pem"), encrypted).unwrap();
    let error = wait(&secure("tcp://127.0.0.1:1", dir.path()), |_| {}).unwrap_err();
    assert!(matches!(error, WaitError::Permanent(_)), "{error:?}");
}
