use super::*;
use crate::base::explain::{Explain, exit};

fn resolve(flags: &[&str], env: &str, around: Surroundings) -> Result<String, EndpointError> {
    let mut wanted = Wanted::default();
    for flag in flags {
        match flag.split_once('=').unwrap_or((flag, "")) {
            ("host", value) => wanted.host = Some(value.into()),
            ("dir", value) => wanted.cert_dir = Some(value.into()),
            ("ca", value) => wanted.ca = Some(value.into()),
            ("cert", value) => wanted.cert = Some(value.into()),
            ("key", value) => wanted.key = Some(value.into()),
            ("tls", _) => wanted.tls = Some(TlsFlag::Unverified),
            ("tlsverify", _) => wanted.tls = Some(TlsFlag::Verified),
            other => panic!("{other:?}"),
        }
    }
    let env = crate::base::changes::from_text(env);
    Endpoint::resolve(&wanted, &env, &around).map(|endpoint| match &endpoint.security {
        Security::Plain => endpoint.to_string(),
        Security::Tls(files) => format!(
            "{endpoint} {}{}",
            files.ca.display(),
            files
                .identity
                .as_ref()
                .map(|i| format!(" {} {}", i.cert.display(), i.key.display()))
                .unwrap_or_default()
        ),
    })
}

const NOTHING: Surroundings = Surroundings {
    standard_socket: false,
    runtime_socket: false,
    client_certificates: false,
    uid: 0,
    own: None,
    context: Chosen::None,
};
const SOCKET: Surroundings = Surroundings {
    standard_socket: true,
    ..NOTHING
};
const CERTIFICATES: Surroundings = Surroundings {
    client_certificates: true,
    ..NOTHING
};

#[test]
fn flags_beat_the_environment_and_the_environment_beats_defaults() {
    let files = |dir: &str| format!("{dir}/ca.pem {dir}/cert.pem {dir}/key.pem");
    let table: [(&[&str], &str, Surroundings, String); 17] = [
        (&[], "", SOCKET, "unix:///var/run/docker.sock".into()),
        (&[], "", NOTHING, "tcp://docker:2375".into()),
        (
            &[],
            "DOCKER_HOST=tcp://e:1",
            SOCKET,
            "tcp://e:1".to_string(),
        ),
        (
            &["host=tcp://f:1"],
            "DOCKER_HOST=tcp://e:1",
            SOCKET,
            "tcp://f:1".into(),
        ),
        (
            &[],
            "DOCKER_TLS_CERTDIR=/certs",
            NOTHING,
            "tcp://docker:2375".into(),
        ),
        (
            &[],
            "DOCKER_TLS_CERTDIR=/certs",
            CERTIFICATES,
            format!("tcp://docker:2376 (TLS) {}", files("/certs/client")),
        ),
        (
            &["host=tcp://f:1"],
            "DOCKER_TLS_CERTDIR=/certs",
            CERTIFICATES,
            format!("tcp://f:1 (TLS) {}", files("/certs/client")),
        ),
        (
            &[],
            "DOCKER_HOST=tcp://e:1 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=/p",
            NOTHING,
            format!("tcp://e:1 (TLS) {}", files("/p")),
        ),
        (
            &[],
            "DOCKER_HOST=tcp://e:1 DOCKER_TLS_VERIFY=1 HOME=/h",
            NOTHING,
            format!("tcp://e:1 (TLS) {}", files("/h/.docker")),
        ),
        (
            &["tlsverify"],
            "DOCKER_CONFIG=/d HOME=/h",
            SOCKET,
            format!("tcp://docker:2376 (TLS) {}", files("/d")),
        ),
        (
            &["dir=/c"],
            "",
            SOCKET,
            format!("tcp://docker:2376 (TLS) {}", files("/c")),
        ),
        (
            &["dir=/c", "ca=/other.pem"],
            "",
            NOTHING,
            "tcp://docker:2376 (TLS) /other.pem /c/cert.pem /c/key.pem".into(),
        ),
        (
            &["ca=/other.pem"],
            "",
            NOTHING,
            "tcp://docker:2376 (TLS) /other.pem".into(),
        ),
        (
            &["cert=/c", "key=/k", "host=tcp://f:1"],
            "HOME=/h",
            NOTHING,
            "tcp://f:1 (TLS) /h/.docker/ca.pem /c /k".into(),
        ),
        (
            &["tls", "dir=/c"],
            "",
            NOTHING,
            format!("tcp://docker:2376 (TLS) {}", files("/c")),
        ),
        // A unix socket never speaks TLS, whatever the environment of a CI system says.
        (
            &["host=unix:///s"],
            "DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=/p DOCKER_TLS=1",
            NOTHING,
            "unix:///s".into(),
        ),
        (
            &[],
            "DOCKER_TLS_VERIFY=1",
            SOCKET,
            "unix:///var/run/docker.sock".into(),
        ),
    ];
    for (flags, env, around, want) in table {
        assert_eq!(
            resolve(flags, env, around.clone()),
            Ok(want),
            "{flags:?} {env:?} {around:?}"
        );
    }
}

#[test]
fn mistakes_are_named_and_are_usage_errors() {
    let table: [(&[&str], &str, EndpointError); 6] = [
        (&["tls"], "", EndpointError::Unverified { by: "--tls" }),
        (
            &[],
            "DOCKER_TLS=1",
            EndpointError::Unverified { by: "DOCKER_TLS" },
        ),
        (
            &["cert=/c"],
            "",
            EndpointError::HalfIdentity {
                given: "--tlscert",
                missing: "--tlskey",
            },
        ),
        (
            &["key=/k"],
            "",
            EndpointError::HalfIdentity {
                given: "--tlskey",
                missing: "--tlscert",
            },
        ),
        (
            &["dir=/c", "host=unix:///s"],
            "",
            EndpointError::TlsOnUnix {
                address: "unix:///s".into(),
            },
        ),
        (
            &["host=ssh://x"],
            "",
            EndpointError::Host(HostError::Scheme {
                text: "ssh://x".into(),
                scheme: "ssh".into(),
            }),
        ),
    ];
    for (flags, env, want) in table {
        assert_eq!(want.exit_code(), exit::USAGE);
        assert!(!want.why().is_empty() && !want.fix().is_empty());
        assert_eq!(resolve(flags, env, NOTHING), Err(want), "{flags:?} {env:?}");
    }
}

/// `docker -H tcp://…` in the daemon's own container, where the entrypoint decides for the unix
/// socket: plain, although there are certificates.
#[test]
fn a_host_by_flag_alone_turns_no_tls_on() {
    let daemon = Surroundings {
        standard_socket: true,
        ..CERTIFICATES
    };
    let env = "DOCKER_TLS_CERTDIR=/certs";
    let found = |flags: &[&str], env| resolve(flags, env, daemon.clone()).unwrap();
    let host = "host=tcp://localhost:2376";
    assert_eq!(found(&[host], env), "tcp://localhost:2376");
    let files = "/certs/client/ca.pem /certs/client/cert.pem /certs/client/key.pem";
    let secure = format!("tcp://localhost:2376 (TLS) {files}");
    assert_eq!(found(&[host, "tlsverify"], env), secure);
    let variable = "DOCKER_TLS_CERTDIR=/certs DOCKER_HOST=tcp://localhost:2376";
    assert_eq!(found(&[], variable), secure);
}

#[test]
fn a_chosen_context_names_the_daemon_unless_somebody_said_one() {
    let context = |host: &str, tls: bool, unverified| Surroundings {
        context: Chosen::Context(Context {
            name: "ctx".into(),
            by: context::By::Variable,
            host: host.into(),
            tls: tls.then(|| TlsFiles::in_directory("/x".as_ref())),
            unverified,
        }),
        ..SOCKET
    };
    let plain = context("tcp://c:1", false, false);
    // The TLS variables are not for a context.
    let found = resolve(&[], "DOCKER_TLS_VERIFY=1", plain.clone());
    assert_eq!(found.as_deref(), Ok("tcp://c:1 (docker context ctx)"));
    for (flags, env, want) in [
        (&["host=tcp://f:1"][..], "", "tcp://f:1"),
        (&[], "DOCKER_HOST=tcp://e:1", "tcp://e:1"),
    ] {
        assert_eq!(
            resolve(flags, env, plain.clone()).as_deref(),
            Ok(want),
            "{env}"
        );
    }
    let found = resolve(&[], "", context("tcp://c:1", true, false));
    let want = "tcp://c:1 (TLS) (docker context ctx) /x/ca.pem /x/cert.pem /x/key.pem";
    assert_eq!(found.as_deref(), Ok(want));
    let skipped = resolve(&[], "", context("tcp://c:1", true, true));
    assert!(matches!(skipped, Err(EndpointError::Unverified { .. })));
    let ssh = resolve(&[], "", context("ssh://c", false, false));
    assert!(matches!(ssh, Err(EndpointError::Host(_))));
    let broken = Surroundings {
        context: Chosen::Broken {
            name: "nope".into(),
            by: context::By::Configuration,
            reason: "missing",
        },
        ..SOCKET
    };
    let error = resolve(&[], "", broken).unwrap_err();
    assert!(error.to_string().contains("nope") && error.fix().contains("DOCKER_CONTEXT"));
}

#[test]
fn a_proxy_is_in_the_way_of_tcp_and_never_of_a_unix_socket() {
    let env = "HTTP_PROXY=http://proxy:3128";
    let found = |env, around| resolve(&[], env, around);
    let through = "tcp://docker:2375 through the proxy proxy:3128";
    assert_eq!(found(env, NOTHING).as_deref(), Ok(through));
    let excepted = "HTTP_PROXY=http://proxy:3128 NO_PROXY=docker";
    assert_eq!(found(excepted, NOTHING).as_deref(), Ok("tcp://docker:2375"));
    assert_eq!(
        found(env, SOCKET).as_deref(),
        Ok("unix:///var/run/docker.sock")
    );
    let error = found("ALL_PROXY=socks5://x:1", NOTHING).unwrap_err();
    assert_eq!(error.exit_code(), exit::USAGE);
    assert!(error.fix().contains("NO_PROXY=") && error.fix().contains("docker"));
}

#[test]
fn the_version_of_the_environment_is_a_version() {
    let api = |text| {
        let env = crate::base::changes::from_text("").with("DOCKER_API_VERSION", text);
        Endpoint::resolve(&Wanted::default(), &env, &NOTHING).map(|endpoint| endpoint.api)
    };
    assert_eq!(api(""), Ok(None));
    for text in ["1.40", "v1.40"] {
        assert_eq!(api(text), Ok(Some("1.40".into())));
    }
    for text in [
        "abc",
        "1.",
        "vv1.4",
        "1.40/x",
        "1.40 HTTP/1.0",
        "1.2.3.4.5.6.7.8.9",
    ] {
        let error = api(text).unwrap_err();
        assert!(error.fix().contains("DOCKER_API_VERSION=1.44"), "{text}");
    }
}
