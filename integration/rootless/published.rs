//! Published ports and the API from another container.

use crate::container::Container;
use crate::lab::{Lab, NESTED, Network, until};
use crate::outer::{SOCKET, inside, unprivileged};
use crate::workload;

/// A daemon, and another container on the same network.
fn pair(lab: &'static Lab, network: &Network, options: &[&str]) -> (Container, Container) {
    let dind = unprivileged(lab)
        .named_docker(network)
        .options(options.iter().copied())
        .start();
    let peer = lab.client("forky", network).start();
    until("the API", || {
        (dind.exec(["docker", "version"]).code == 0).then_some(())
    });
    dind.import_nested();
    (dind, peer)
}

/// T4.
#[test]
fn published_ports_answer_and_keep_their_clients_addresses() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let (dind, peer) = pair(lab, &network, &[]);
    let web = ["httpd", "-f", "-v", "-p", "80", "-h", "/www"];
    let run = [
        "run",
        "--detach",
        "--name",
        "web",
        "--publish",
        "8080:80",
        NESTED,
    ];
    dind.docker(run.into_iter().chain(web));
    let get = "curl -sf --retry 20 --retry-connrefused http://docker:8080/";
    assert_eq!(peer.sh(get), "nested");
    let address = peer.sh("hostname -i");
    until("the peer's address", || {
        let log = dind.exec(["docker", "logs", "web"]);
        log.stderr.contains(&address).then_some(())
    });
    assert_eq!(dind.sh("curl -sf http://127.0.0.1:8080/"), "nested");
    dind.docker(["rm", "--force", "web"]);
    let refused = peer.exec(["curl", "-s", "http://docker:8080/"]);
    assert_eq!(refused.code, 7, "connection refused: {refused}");
}

#[test]
fn datagrams_are_relayed() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let (dind, peer) = pair(lab, &network, &[]);
    // The nested image has no program that serves datagrams; the outer one has.
    let run = "run --detach --volume /:/host:ro --publish 5353:53/udp";
    let echo = "busybox chroot /host socat UDP-LISTEN:53,fork EXEC:cat";
    let words = run.split(' ').chain([NESTED]).chain(echo.split(' '));
    dind.docker(words);
    let ask = "echo there | socat -t 5 - UDP:docker:5353";
    until("an answer", || {
        (peer.exec(["sh", "-c", ask]).stdout == "there\n").then_some(())
    });
}

/// The relay is not dockerd's end; dockerd can publish again.
#[test]
fn a_dead_relay_comes_back() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let (dind, peer) = pair(lab, &network, &[]);
    let relay = "pgrep -P $(cat /run/user/1000/dockerd-rootless/child_pid) dockerd-entrypo";
    let old = inside(&dind, relay);
    inside(&dind, &format!("kill -9 {old}"));
    until("another relay", || {
        let script = format!("sh -c '{relay}'");
        let new = dind.exec(["sh", "-c", &script]).stdout;
        (!new.trim().is_empty() && new.trim() != old).then_some(())
    });
    let web = ["httpd", "-f", "-p", "80", "-h", "/www"];
    let run = ["run", "--detach", "--publish", "8080:80", NESTED];
    dind.docker(run.into_iter().chain(web));
    let get = "curl -sf --retry 20 --retry-connrefused http://docker:8080/";
    assert_eq!(peer.sh(get), "nested");
}

/// S42: with the official arguments dockerd binds inside, and the port is published.
#[test]
fn the_api_that_dockerd_binds_itself_is_published() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let (dind, peer) = pair(lab, &network, &["--env", "DIND_SOCKETS=dockerd"]);
    workload::run(&dind);
    assert_eq!(
        peer.sh("docker -H tcp://docker:2375 run --rm nested:test echo in"),
        "in"
    );
}

/// Ports of the command line are there before dockerd is.
#[test]
fn ports_of_the_flags_are_published_or_refused() {
    let Some(lab) = Lab::find() else { return };
    let flags = "DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS=-p 0.0.0.0:7000:7000/tcp";
    let dind = unprivileged(lab).env(flags).start();
    dind.docker(["version"]);
    inside(&dind, "busybox httpd -p 7000 -h /etc");
    dind.sh("curl -sf http://127.0.0.1:7000/hostname");
    let taken = unprivileged(lab)
        .env("DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS=-p 0.0.0.0:2375:1/tcp")
        .run_to_end()
        .1;
    assert_eq!(taken.code, 78, "{taken}");
    assert!(taken.stderr.contains("address already in use"), "{taken}");
}

/// Outside the socket's group is the user's; inside it is what was asked for.
#[test]
fn the_sockets_group_is_one_of_the_namespace() {
    let Some(lab) = Lab::find() else { return };
    let dind = unprivileged(lab).env("DIND_SOCKET_GID=2375").start();
    dind.docker(["version"]);
    assert_eq!(dind.sh(&format!("stat -c %u:%g {SOCKET}")), "1000:102374");
    assert_eq!(inside(&dind, &format!("stat -c %u:%g {SOCKET}")), "0:2375");
}
