//! Clients in and beside the container mean the daemon that the docker CLI means: the real CLI is
//! the judge.

use crate::container::Container;
use crate::lab::{Lab, Network};

/// What GitLab hands a job, and its services as well.
const GITLAB: [&str; 4] = [
    "DOCKER_HOST=tcp://docker:2376",
    "DOCKER_TLS_CERTDIR=/certs",
    "DOCKER_TLS_VERIFY=1",
    "DOCKER_CERT_PATH=/certs/client",
];

const JOB: &str = "docker version --format '{{.Server.Version}}' >&2; env | grep ^DOCKER_ | sort";

/// By way of the client entrypoint, which guesses a `DOCKER_HOST` of its own, and without.
#[test]
fn the_job_of_exec_when_ready_has_our_daemon() {
    let Some(lab) = Lab::find() else { return };
    let by_entrypoint = ["dind-init", "exec-when-ready", "sh", "-ec", JOB];
    for variables in [&[][..], &GITLAB] {
        let create = lab.dind().args(by_entrypoint);
        let create = variables
            .iter()
            .fold(create, |create, pair| create.env(pair));
        let (_, output) = create.run_to_end();
        assert_eq!(output.code, 0, "{output}");
        let found: Vec<&str> = output.stdout.lines().collect();
        let certificates = variables.get(1).copied().unwrap_or("DOCKER_TLS_CERTDIR=");
        assert_eq!(
            found,
            ["DOCKER_HOST=unix:///var/run/docker.sock", certificates]
        );
    }
    // A daemon that is on TCP alone.
    let words = [
        "run",
        "dockerd",
        "--host=tcp://127.0.0.1:2399",
        "--exec",
        "--",
    ];
    let create = lab.dind().entrypoint("dind-init").args(words);
    let (_, output) = create.args(["sh", "-ec", JOB]).run_to_end();
    assert!(output.code == 0, "{output}");
    assert!(
        output.stdout.contains("DOCKER_HOST=tcp://127.0.0.1:2399\n"),
        "{output}"
    );
}

/// What `docker exec` runs finds the daemon wherever it is.
#[test]
fn every_command_finds_the_daemon_of_its_container() {
    let Some(lab) = Lab::find() else { return };
    for (words, host) in [
        (
            &["dockerd", "--host=unix:///run/other.sock"][..],
            "unix:///run/other.sock",
        ),
        (
            &["dockerd", "--host=tcp://127.0.0.1:2399"],
            "tcp://127.0.0.1:2399",
        ),
    ] {
        let dind = lab.dind().args(words.iter().copied()).start();
        dind.until_ours();
        dind.sh("dind-init wait --timeout 60s");
        let lines = dind.sh("dind-init env");
        assert!(
            lines.contains(&format!("export DOCKER_HOST={host}")),
            "{lines}"
        );
        dind.sh("docker-entrypoint.sh docker version");
    }
}

/// A daemon called `dind`, without and with TLS, and its certificates in a client's /certs/client.
struct Pair {
    _dind: Container,
    client: Container,
    _network: Network,
}

fn pair(lab: &'static Lab, suite: &str, certificates: &str) -> Pair {
    let network = lab.network();
    let dind = lab
        .dind()
        .options(["--network", &network.name, "--network-alias", "dind"])
        .env(&format!("DOCKER_TLS_CERTDIR={certificates}"))
        .start();
    // The binary is copied into the client of any engine.
    let client = lab.client_with_binary(suite, &network).start();
    Pair {
        _dind: dind,
        client,
        _network: network,
    }
}

/// Whether `wait` and the CLI agree, with these variables.
fn agree(client: &Container, variables: &str, works: bool) -> String {
    let run = |command: &str| client.exec(["sh", "-c", &format!("{variables} {command}")]);
    let cli = run("docker version");
    let ours = run("dind-init wait --timeout 2s");
    assert_eq!(cli.code == 0, works, "{variables}: {cli}");
    assert_eq!(ours.code == 0, works, "{variables}: {ours}");
    ours.stderr
}

const PROXY: &str = "HTTP_PROXY=http://127.0.0.1:1";

#[test]
fn proxies_and_contexts_are_as_the_cli_has_them() {
    let Some(lab) = Lab::find() else { return };
    for suite in ["bookworm", "trixie", "forky"] {
        let pair = pair(lab, suite, "");
        let client = &pair.client;
        client.sh("dind-init wait --host tcp://dind:2375");
        let host = "DOCKER_HOST=tcp://dind:2375";
        let told = agree(client, &format!("{host} {PROXY}"), false);
        assert!(told.contains("NO_PROXY=localhost,127.0.0.1,dind"), "{told}");
        agree(client, &format!("{host} {PROXY} NO_PROXY=dind"), true);
        agree(
            client,
            &format!("{host} HTTPS_PROXY=http://127.0.0.1:1"),
            true,
        );

        client.sh("docker context create good --docker host=tcp://dind:2375
            docker context create bad --docker host=tcp://dind:9");
        agree(client, "DOCKER_CONTEXT=good", true);
        agree(client, "DOCKER_CONTEXT=good DOCKER_TLS_VERIFY=1", true);
        agree(
            client,
            "DOCKER_CONTEXT=good DOCKER_HOST=tcp://dind:9",
            false,
        );
        let told = agree(client, "DOCKER_CONTEXT=none", false);
        assert!(told.contains("context 'none'"), "{told}");
        client.sh("docker context use bad");
        let told = agree(client, "", false);
        assert!(told.contains("docker context bad"), "{told}");
        client.sh("docker context use good");
        agree(client, "", true);
        client.sh("eval \"$(dind-init env)\"; docker version");
    }
}

/// In the daemon's own container the entrypoint decides for the unix socket.
#[test]
fn a_host_by_flag_speaks_as_the_cli_does() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().env("DOCKER_TLS_CERTDIR=/certs").start();
    dind.docker(["version"]);
    let at = "tcp://localhost:2376";
    let cli = dind.exec(["docker-entrypoint.sh", "docker", "-H", at, "version"]);
    let ours = dind.exec(["dind-init", "wait", "--timeout", "60s", "-H", at]);
    assert!(cli.code != 0 && ours.code == 1, "{cli} {ours}");
    assert!(ours.stderr.contains("DOCKER_TLS_VERIFY=1"), "{ours}");
    dind.sh("dind-init wait --timeout 60s --tlsverify -H tcp://localhost:2376");
}

/// Certificates of people's own; each is shown by a TLS server of openssl that answers.
const SHOW: &str = r#"
    set -e
    mkdir -p /c; cd /c
    san() { printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n%s\n' "$1" >ext; }
    new() { openssl req -new -nodes -newkey "$@" -subj /CN=x -keyout key.pem -out req.pem 2>/dev/null; }
    self() { openssl x509 -req -in req.pem -signkey key.pem -days 9 -extfile ext -out cert.pem "$@" 2>/dev/null; cp cert.pem ca.pem; }
    signed_by() {
        new ec:<(openssl ecparam -name $1); san basicConstraints=CA:TRUE; self; mv key.pem ca.key
        new rsa:2048; san basicConstraints=CA:FALSE
        openssl x509 -req -in req.pem -CA ca.pem -CAkey ca.key -days 9 -extfile ext -out cert.pem 2>/dev/null
    }
    serve() {
        printf 'HTTP/1.1 200 OK\r\nApi-Version: 1.40\r\nContent-Length: 2\r\n\r\nOK' >_ping
        openssl s_server -accept 2376 -cert cert.pem -key key.pem -HTTP -quiet >/dev/null 2>&1 &
        until nc -z 127.0.0.1 2376; do :; done
    }
    case $1 in
    ca_true) new rsa:2048; san basicConstraints=CA:TRUE; self ;;
    ca_false) new rsa:2048; san basicConstraints=CA:FALSE; self ;;
    sha1) new rsa:2048; san basicConstraints=CA:TRUE; self -sha1 ;;
    p521) new ec:<(openssl ecparam -name secp521r1); san basicConstraints=CA:TRUE; self ;;
    p521_ca) signed_by secp521r1 ;;
    p224_ca) signed_by secp224r1 ;;
    esac
    serve
    export DOCKER_HOST=tcp://localhost:2376 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=/c
    exec dind-init wait --timeout 60s
"#;

#[test]
fn a_certificate_that_is_its_own_ca_is_trusted_as_the_cli_does() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    for (kind, ready) in [
        ("ca_true", true),
        ("ca_false", true),
        ("sha1", true),
        ("p521", true),
        ("p521_ca", true),
        // The cryptography of the binary has no such key; nobody waits for it.
        ("p224_ca", false),
    ] {
        let client = lab.client_with_binary("forky", &network).start();
        let output = client.exec(["bash", "-c", SHOW, "bash", kind]);
        assert_eq!(output.code, i32::from(!ready), "{kind}: {output}");
        assert!(!output.stderr.contains("Other("), "{output}");
        if !ready {
            assert!(output.stderr.contains("EC on another curve"), "{output}");
        }
    }
}
