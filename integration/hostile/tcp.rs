//! `DIND_TCP`: what was refused or narrowed is not served to neighbours, whoever binds it.

use crate::container::{Container, Create};
use crate::lab::{Lab, Network};
use crate::scene::answers_or_ends;
use crate::sockets::ACTIVATE;

/// A daemon on a network, told not to serve plain TCP to others.
fn dind(lab: &'static Lab, network: &Network, request: &str) -> Create {
    lab.dind()
        .named_docker(network)
        .env(&format!("DIND_TCP={request}"))
}

/// Nobody on the network gets an answer; a daemon that will not start says why.
#[track_caller]
fn is_closed_to_neighbours(lab: &'static Lab, network: &Network, dind: &Container) {
    let neighbour = lab
        .client("forky", network)
        .options(["--user", "1000", "--cap-drop", "ALL"])
        .start();
    if !answers_or_ends(dind) {
        let log = dind.log();
        assert!(
            log.stderr.contains("error: ") && log.stderr.contains("DIND_TCP"),
            "{log}"
        );
        return;
    }
    for port in ["2375", "2390"] {
        let url = format!("http://docker:{port}/version");
        let answer = neighbour.exec(["timeout", "10", "curl", "-sS", &url]);
        assert!(
            !answer.stdout.contains("ApiVersion"),
            "{answer}\n{}",
            dind.log()
        );
    }
    assert_eq!(dind.stop(), "0");
}

fn closed(request: &str, make: impl Fn(Create) -> Create) {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let dind = make(dind(lab, &network, request)).start();
    is_closed_to_neighbours(lab, &network, &dind);
}

#[test]
fn refused_and_narrowed_by_default() {
    for request in ["refuse", "loopback"] {
        closed(request, |create| create);
    }
}

#[test]
fn refused_and_narrowed_where_dockerd_binds() {
    for request in ["refuse", "loopback"] {
        closed(request, |create| create.env("DIND_SOCKETS=dockerd"));
        closed(request, |create| {
            let create = create.env("DIND_SOCKETS=dockerd");
            create.args(["--host=tcp://0.0.0.0:2390"])
        });
        // With TLS asked for and taken back in the same breath.
        closed(request, |create| {
            let create = create.env("DIND_SOCKETS=dockerd");
            create.args([
                "dockerd",
                "--host=tcp://0.0.0.0:2390",
                "--tls=false",
                "-H",
                "unix://",
            ])
        });
    }
}

#[test]
fn refused_and_narrowed_where_the_file_says_so() {
    let json = r#"{"hosts": ["unix:///var/run/docker.sock", "tcp://0.0.0.0:2375"]}"#;
    for request in ["refuse", "loopback"] {
        closed(request, |create| {
            create.file("/etc/docker/daemon.json", 0o644, json)
        });
        // Another file of the user's.
        closed(request, |create| {
            let create = create.file("/etc/mine.json", 0o644, json);
            create.args(["--config-file", "/etc/mine.json"])
        });
        closed(request, |create| {
            let create = create.file("/etc/docker/daemon.json", 0o644, json);
            create.env("DIND_SOCKETS=dockerd").args(["dockerd"])
        });
    }
}

#[test]
fn refused_and_narrowed_where_somebody_else_has_bound() {
    for request in ["refuse", "loopback"] {
        for holder in ["held", "dockerd"] {
            closed(request, |create| {
                let create = create.env(&format!("DIND_SOCKETS={holder}"));
                create.entrypoint("sh").args(["-c"]).args([&*format!(
                    "{ACTIVATE} dockerd-entrypoint.sh dockerd --host=fd:// --host=unix://"
                )])
            });
        }
    }
}
