//! Everyday work with TLS: certificates appear in a volume, a client in a second container has it.

use crate::container::{Container, Create};
use crate::lab::{Lab, Network, Volume};
use crate::workload::{self, Builder};

/// The variables of a client as every recipe has them.
const CLIENT: [&str; 3] = [
    "DOCKER_HOST=tcp://docker:2376",
    "DOCKER_TLS_VERIFY=1",
    "DOCKER_CERT_PATH=/certs/client",
];

/// What is said of every port that serves without client certificates.
const WARNING: &str = "whoever reaches it is root here";

fn daemon(lab: &'static Lab, network: &Network, certificates: &Volume) -> Create {
    let create = lab
        .dind()
        .named_docker(network)
        .env("DOCKER_TLS_CERTDIR=/certs");
    create.volume(certificates, "/certs/client")
}

fn client(lab: &'static Lab, suite: &str, network: &Network, certificates: &Volume) -> Container {
    let create = lab
        .client(suite, network)
        .volume(certificates, "/certs/client:ro");
    let client = CLIENT.into_iter().fold(create, Create::env).start();
    // The certificates are there before dockerd is, but a client may be faster still.
    client.sh("for f in ca cert key; do until [ -s /certs/client/$f.pem ]; do :; done; done");
    client
}

/// A network, certificates, a daemon, and a client of it in a second container.
struct Pair {
    dind: Container,
    client: Container,
    _certificates: Volume,
    _network: Network,
}

fn pair(lab: &'static Lab) -> Pair {
    let (network, certificates) = (lab.network(), lab.volume());
    let dind = daemon(lab, &network, &certificates).start();
    let client = client(lab, "forky", &network, &certificates);
    client.import_nested();
    Pair {
        dind,
        client,
        _certificates: certificates,
        _network: network,
    }
}

#[test]
fn nested_containers_run_over_unix_and_tls() {
    let Some(lab) = Lab::find() else { return };
    let pair = pair(lab);
    workload::run(&pair.dind);
    workload::run(&pair.client);
}

#[test]
fn both_builders_work_over_unix_and_tls() {
    let Some(lab) = Lab::find() else { return };
    let pair = pair(lab);
    for builder in [Builder::BuildKit, Builder::Classic] {
        workload::build(&pair.dind, builder);
        workload::build(&pair.client, builder);
    }
}

#[test]
fn a_local_registry_is_pushed_to_and_pulled_from_over_unix_and_tls() {
    let Some(lab) = Lab::find() else { return };
    let pair = pair(lab);
    workload::push_and_pull(&pair.dind);
    workload::push_and_pull(&pair.client);
}

#[test]
fn compose_brings_services_up_over_unix_and_tls() {
    let Some(lab) = Lab::find() else { return };
    let pair = pair(lab);
    workload::compose(&pair.dind);
    workload::compose(&pair.client);
}

/// The handshake waits, too, while dockerd is late.
#[test]
fn clients_of_all_generations_speak_tls_with_a_late_dockerd() {
    let Some(lab) = Lab::find() else { return };
    let (network, certificates) = (lab.network(), lab.volume());
    let daemon = daemon(lab, &network, &certificates);
    let _dind = daemon.before_dockerd("sleep 5").start();
    std::thread::scope(|scope| {
        for suite in ["bookworm", "trixie", "forky"] {
            scope.spawn(|| {
                let client = client(lab, suite, &network, &certificates);
                client.import_nested();
                workload::run(&client);
                workload::build(&client, Builder::BuildKit);
            });
        }
    });
}

/// GitLab hands a job's variables to its services as well.
#[test]
fn the_clients_variables_in_the_services_environment_change_nothing() {
    let Some(lab) = Lab::find() else { return };
    let (network, certificates) = (lab.network(), lab.volume());
    let create = daemon(lab, &network, &certificates);
    let dind = CLIENT.into_iter().fold(create, Create::env).start();
    let client = client(lab, "forky", &network, &certificates);
    client.docker(["version"]);
    dind.sh("DOCKER_HOST=unix:///var/run/docker.sock DOCKER_TLS_VERIFY= docker version");
    dind.docker(["version"]);
    assert_eq!(dind.stop(), "0");
}

#[test]
fn nobody_gets_in_without_a_certificate() {
    let Some(lab) = Lab::find() else { return };
    let pair = pair(lab);
    let refused = |words: &[&str]| {
        let output = pair.client.exec(words.iter().copied());
        assert!(
            !output.stdout.contains("OK") && output.code != 0,
            "{output}"
        );
    };
    refused(&["curl", "-sSf", "http://docker:2376/_ping"]);
    refused(&["curl", "-sSf", "--insecure", "https://docker:2376/_ping"]);
    refused(&["curl", "-sSf", "http://docker:2375/_ping"]);
    refused(&["sh", "-c", "DOCKER_TLS_VERIFY= docker version"]);
    assert!(!pair.dind.log().stderr.contains(WARNING));
}

/// `--tls` alone asks for client certificates, and only `--tlsverify=false` does not.
#[test]
fn the_warning_of_an_open_port_is_given_when_dockerd_lets_everybody_in() {
    let Some(lab) = Lab::find() else { return };
    let files = [
        "--tlscacert=/certs/server/ca.pem",
        "--tlscert=/certs/server/cert.pem",
        "--tlskey=/certs/server/key.pem",
    ];
    for (flag, open) in [("--tls", false), ("--tlsverify=false", true)] {
        let dind = lab
            .dind()
            .env("DOCKER_TLS_CERTDIR=/certs")
            .args(["dockerd", "--host=tcp://0.0.0.0:2376", flag])
            .args(files)
            .before("dind-init certs issue")
            .start();
        dind.until_ours();
        let ping = dind.exec(["curl", "-sS", "--insecure", "https://localhost:2376/_ping"]);
        assert_eq!(ping.stdout == "OK", open, "{flag}: {ping}");
        assert_eq!(dind.log().stderr.contains(WARNING), open, "{flag}");
    }
}

/// openssl is the judge: chain, names, and what each certificate may be used for.
#[test]
fn openssl_finds_the_certificates_in_order() {
    let Some(lab) = Lab::find() else { return };
    let pair = pair(lab);
    pair.dind.sh(
        "openssl verify -x509_strict -purpose sslserver -CAfile /certs/ca/cert.pem /certs/server/cert.pem
        openssl verify -x509_strict -purpose sslclient -CAfile /certs/ca/cert.pem /certs/client/cert.pem",
    );
    let own = pair.dind.sh("hostname -i | cut -d' ' -f1");
    for check in [
        "-checkhost docker",
        "-checkhost localhost",
        "-checkip 127.0.0.1",
        &format!("-checkip {own}"),
    ] {
        let verdict = pair.dind.sh(&format!(
            "openssl x509 -noout -in /certs/server/cert.pem {check}"
        ));
        assert!(verdict.contains("does match"), "{check}: {verdict}");
    }
    let modes = pair
        .dind
        .sh("stat -c '%a' /certs/ca/key.pem /certs/server/key.pem /certs/client/key.pem");
    assert_eq!(modes, "600\n600\n644");
}

/// A client keeps its certificate while the daemon is restarted.
#[test]
fn a_restart_keeps_keys_and_clients() {
    let Some(lab) = Lab::find() else { return };
    let pair = pair(lab);
    let files = "sha256sum /certs/ca/*.pem /certs/server/*.pem /certs/client/*.pem";
    let before = pair.dind.sh(files);
    assert_eq!(pair.dind.stop(), "0");
    pair.dind.start();
    pair.client.docker(["version"]);
    assert_eq!(pair.dind.sh(files), before);
}

#[test]
fn dockerd_binds_with_the_official_arguments_when_it_is_asked_to() {
    let Some(lab) = Lab::find() else { return };
    let (network, certificates) = (lab.network(), lab.volume());
    let dind = daemon(lab, &network, &certificates)
        .env("DIND_SOCKETS=dockerd")
        .start();
    let client = client(lab, "forky", &network, &certificates);
    client.sh("until docker version; do :; done");
    dind.dockerd_runs_as(
        "dockerd --host=unix:///var/run/docker.sock --host=tcp://0.0.0.0:2376 --tlsverify \
         --tlscacert /certs/server/ca.pem --tlscert /certs/server/cert.pem \
         --tlskey /certs/server/key.pem",
        "",
    );
}

/// With the word `dockerd` nothing is added, and no certificate is made.
#[test]
fn the_dockerd_form_makes_no_certificates() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab
        .dind()
        .env("DOCKER_TLS_CERTDIR=/certs")
        .args(["dockerd"])
        .start();
    dind.docker(["version"]);
    dind.assert_untouched("/certs");
    dind.dockerd_runs_as("dockerd --host=fd://", "");
}

/// Never a fall back to plain TCP.
#[test]
fn certificates_that_cannot_be_made_are_refused_and_nothing_is_left() {
    let Some(lab) = Lab::find() else { return };
    let certificates = || lab.dind().env("DOCKER_TLS_CERTDIR=/certs");
    let read_only = certificates().options(["--tmpfs", "/certs:ro"]);
    let bad_name = certificates().env("DOCKER_TLS_SAN=b@d");
    for (create, what) in [(read_only, "/certs"), (bad_name, "b@d")] {
        let (container, output) = create.run_to_end();
        output.assert_refused(what);
        container.assert_untouched("/run");
        container.assert_untouched("/certs");
    }
}

/// What the usual guides write: a compose service that is called `dind`, reached by that name.
#[test]
fn names_of_ours_in_the_network_are_in_the_certificate() {
    let Some(lab) = Lab::find() else { return };
    let (network, certificates) = (lab.network(), lab.volume());
    let dind = lab
        .dind()
        .options(["--network", &network.name, "--network-alias", "dind"])
        .env("DOCKER_TLS_CERTDIR=/certs")
        .volume(&certificates, "/certs/client")
        .start();
    let client = client(lab, "forky", &network, &certificates);
    client.sh("DOCKER_HOST=tcp://dind:2376 docker version");
    assert!(dind.log().stderr.contains("certificates: issue server"));
    // A network of dockerd's own, and its links, are no reason to make certificates again.
    dind.sh("docker network create more");
    dind.sh("dind-init certs check");
    let files = "sha256sum /certs/ca/*.pem /certs/server/*.pem /certs/client/*.pem";
    let before = dind.sh(files);
    assert_eq!(dind.stop(), "0");
    dind.start();
    client.sh("DOCKER_HOST=tcp://dind:2376 docker version");
    assert_eq!(dind.sh(files), before);
}

#[test]
fn a_name_that_cannot_be_one_is_left_out_and_told() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab
        .dind()
        .env("DOCKER_TLS_CERTDIR=/certs")
        .env("DOCKER_TLS_SAN=DNS.1:dind,IP.1:192.0.2.7,b@d")
        .start();
    dind.docker(["version"]);
    assert!(dind.log().stderr.contains("\\\"b@d\\\""), "{}", dind.log());
    for check in ["-checkhost dind", "-checkip 192.0.2.7"] {
        let verdict = dind.sh(&format!(
            "openssl x509 -noout -in /certs/server/cert.pem {check}"
        ));
        assert!(verdict.contains("does match"), "{check}: {verdict}");
    }
}

/// Keys on a curve that we can read and not sign with: what is complete is used.
#[test]
fn certificates_of_a_ca_that_cannot_sign_here_are_used() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab
        .dind()
        .env("DOCKER_TLS_CERTDIR=/certs")
        .before(&format!("{P224}; make server serverAuth"))
        .start();
    dind.until_ours();
    dind.docker(["version"]);
    let log = dind.log();
    assert!(
        log.stderr
            .contains("server/cert.pem: the CA's signature is of a kind (EC on another curve)")
            && log.stderr.contains("client/cert.pem cannot be made"),
        "{log}"
    );
    dind.sh(&format!("{P224}; make client clientAuth"));
    dind.sh(
        "DOCKER_HOST=tcp://localhost:2376 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=/certs/client \
         docker version",
    );
    let (_, output) = lab
        .dind()
        .env("DOCKER_TLS_CERTDIR=/certs")
        .before(P224)
        .run_to_end();
    output.assert_refused("cannot make /certs/server/cert.pem");
    assert!(output.stderr.contains("server/ca.pem"), "{output}");
}

/// A CA on P-224, which Go accepts, and what makes certificates with it.
const P224: &str = "\
    mkdir -p /certs/ca; cd /certs/ca; \
    [ -e key.pem ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:secp224r1 -nodes \
        -keyout key.pem -out cert.pem -days 800 -subj /CN=mine 2>/dev/null; \
    make() { \
        mkdir -p /certs/$1; cd /certs/$1; cp ../ca/cert.pem ca.pem; \
        openssl req -newkey rsa:2048 -nodes -keyout key.pem -subj /CN=$1 2>/dev/null | \
        openssl x509 -req -CA ../ca/cert.pem -CAkey ../ca/key.pem -days 700 -out cert.pem -extfile \
            /dev/fd/3 3<<END 2>/dev/null\n\
subjectAltName=DNS:docker,DNS:localhost\nextendedKeyUsage=$2\nEND\n\
    }";
