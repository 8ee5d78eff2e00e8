//! Published ports and the API from another container.

use crate::container::{Container, Create};
use crate::lab::{Lab, NESTED, Network, until};
use crate::outer::{Engine, SOCKET, inside, unprivileged, unprivileged_on};
use crate::workload;

/// A daemon, and another container on the same network.
pub(crate) fn pair(
    lab: &'static Lab,
    network: &Network,
    options: &[&str],
) -> (Container, Container) {
    pair_of(lab, network, |create| {
        create.options(options.iter().copied())
    })
}

/// The same, created otherwise.
pub(crate) fn pair_of(
    lab: &'static Lab,
    network: &Network,
    with: impl FnOnce(Create) -> Create,
) -> (Container, Container) {
    let dind = with(unprivileged(lab).named_docker(network)).start();
    let peer = lab.client("forky", network).start();
    until("the API", || {
        (dind.exec(["docker", "version"]).code == 0).then_some(())
    });
    dind.import_nested();
    (dind, peer)
}

pub(crate) const GET: &str = "curl -sf --retry 20 --retry-all-errors";

/// A nested web server that tells its clients' addresses.
pub(crate) fn serve(dind: &Container, publish: &str, name: &str) {
    let run = ["run", "--detach", "--name", name, "--publish", publish];
    let web = ["httpd", "-f", "-v", "-p", "80", "-h", "/www"];
    dind.docker(run.into_iter().chain([NESTED]).chain(web));
}

/// Waits until a web server has told of a client with an address.
#[track_caller]
pub(crate) fn until_seen(dind: &Container, name: &str, address: &str) {
    until("the address of a client", || {
        let log = dind.exec(["docker", "logs", name]);
        log.stderr.contains(address).then_some(())
    });
}

fn ports_answer_and_keep_addresses(flags: &[&str]) {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let (dind, peer) = pair_of(lab, &network, |create| create.args(flags.iter().copied()));
    serve(&dind, "8080:80", "web");
    assert_eq!(peer.sh(&format!("{GET} http://docker:8080/")), "nested");
    until_seen(&dind, "web", &peer.sh("hostname -i"));
    assert_eq!(dind.sh("curl -sf http://127.0.0.1:8080/"), "nested");
    let proxies = dind.exec(["pgrep", "-f", "docker-proxy"]).code == 0;
    assert_eq!(proxies, flags.is_empty(), "who serves it");
    dind.docker(["rm", "--force", "web"]);
    let refused = peer.exec(["curl", "-s", "http://docker:8080/"]);
    assert_eq!(refused.code, 7, "connection refused: {refused}");
}

#[test]
fn published_ports_answer_and_keep_their_clients_addresses() {
    ports_answer_and_keep_addresses(&[]);
}

/// Where dockerd's rules alone lead to the container.
#[test]
fn without_docker_proxy_ports_answer_and_keep_addresses() {
    ports_answer_and_keep_addresses(&["--userland-proxy=false"]);
}

/// Outside is docker's usual 172.17.0.0/16, which would be dockerd's choice inside as well: it
/// keeps clear, so that nested containers reach servers outside, and clients keep their addresses.
#[test]
fn inner_networks_keep_clear_of_the_outer_one() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network_with(&["--subnet", "172.17.0.0/16"]);
    for engine in Engine::ALL {
        let dind = unprivileged_on(lab, engine).named_docker(&network).start();
        let peer = lab.client("forky", &network).start();
        dind.import_nested();
        dind.docker(["network", "create", "new"]);
        let address = peer.sh("hostname -i");
        peer.sh("mkdir /www && echo outside >/www/index.html && busybox httpd -p 80 -h /www");
        for (network, expected) in [("bridge", "172.18.0.0/16"), ("new", "172.19.0.0/16")] {
            assert_eq!(dind.subnet(network), expected, "{engine:?}");
            let run = ["run", "--rm", "--network", network, NESTED];
            let url = format!("http://{address}/");
            let answer = dind.docker(run.into_iter().chain(["wget", "-q", "-O", "-", &url]));
            assert_eq!(answer, "outside", "{engine:?} {network}");
        }
        if engine == Engine::V28 {
            serve(&dind, "8080:80", "web");
            assert_eq!(peer.sh(&format!("{GET} http://docker:8080/")), "nested");
            until_seen(&dind, "web", &address);
        }
    }

    // A docker0 that dockerd remembers moves as well, and keeps clear of what else it remembers.
    let data = lab.volume();
    let start = |network: &Network| {
        unprivileged(lab)
            .volume(&data, "/home/rootless/.local/share/docker")
            .named_docker(network)
            .start()
    };
    let elsewhere = lab.network();
    let earlier = start(&elsewhere);
    earlier.import_nested();
    earlier.docker(["network", "create", "kept"]);
    assert_eq!(earlier.subnet("bridge"), "172.17.0.0/16");
    assert_eq!(earlier.stop(), "0");
    let dind = start(&network);
    dind.sh("dind-init wait --quiet");
    let subnets = ["kept", "bridge"].map(|name| dind.subnet(name));
    assert_eq!(subnets, ["172.18.0.0/16", "172.19.0.0/16"]);
}

/// Where the user wants the same network inside, clients are answered, and it is said that
/// their addresses are lost.
#[test]
fn clients_that_an_inner_network_hides_are_answered() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network_with(&["--subnet", "172.31.0.0/16"]);
    let (dind, peer) = pair_of(lab, &network, |create| create.args(["--bip=172.31.0.1/16"]));
    assert_eq!(dind.subnet("bridge"), "172.31.0.0/16");
    serve(&dind, "8080:80", "web");
    assert_eq!(peer.sh(&format!("{GET} http://docker:8080/")), "nested");
    until_seen(&dind, "web", "172.31.0.1");
    let address = peer.sh("hostname -i");
    dind.until_log(&format!(
        "client {address} is in a network that is inside as well"
    ));
}

/// An engine before 28 publishes by a program of rootlesskit's, which we are as well.
#[test]
fn older_engines_publish_by_our_docker_proxy() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let peer = lab.client("forky", &network).start();
    for engine in [Engine::V20_10, Engine::V26_1] {
        let dind = unprivileged_on(lab, engine).named_docker(&network).start();
        dind.import_nested();
        serve(&dind, "8080:80", "web");
        assert_eq!(peer.sh(&format!("{GET} http://docker:8080/")), "nested");
        until_seen(&dind, "web", &peer.sh("hostname -i"));
        serve(&dind, "127.0.0.1:8081:80", "local");
        assert_eq!(
            inside(&dind, &format!("{GET} http://127.0.0.1:8081/")),
            "nested"
        );
        assert_eq!(dind.sh("curl -sf http://127.0.0.1:8081/"), "nested");
        assert_eq!(
            peer.exec(["curl", "-s", "http://docker:8081/"]).code,
            7,
            "loopback only"
        );
        echo(&dind, "5353:53/udp");
        until_echoed(&peer);

        let program = "for p in $(pgrep -f \"^[^ ]*/rootlesskit-docker-proxy -proto\"); do readlink /proc/$p/exe; done | sort -u";
        assert!(inside(&dind, program).ends_with("/dind-init"), "{engine:?}");
        let taken = dind.exec(["docker", "run", "--publish", "2375:80", NESTED, "true"]);
        let text = "error while calling PortManager.AddPort(): \
                    listen tcp4 0.0.0.0:2375: bind: address already in use.\n";
        assert!(taken.stderr.contains(text), "{taken}");

        dind.docker(["rm", "--force", "web"]);
        let refused = peer.exec(["curl", "-s", "http://docker:8080/"]);
        assert_eq!(refused.code, 7, "connection refused: {refused}");
        // dockerd's rules lead to the container without docker-proxy.
        serve(&dind, "8082:80", "kept");
        inside(&dind, r#"pkill -9 -f "^docker-proxy .* 8082""#);
        assert_eq!(peer.sh(&format!("{GET} http://docker:8082/")), "nested");
        dind.docker(["restart", "--time", "0", "local"]);
        assert_eq!(
            inside(&dind, &format!("{GET} http://127.0.0.1:8081/")),
            "nested"
        );
    }
}

/// The IPv6 address that a container has on a network.
pub(crate) fn global(container: &Container) -> String {
    container.inspect("{{range .NetworkSettings.Networks}}{{.GlobalIPv6Address}}{{end}}")
}

/// Where ports are mapped to the tap device there is no IPv6 side for dockerd, but what is published
/// on every address takes IPv6 clients, too.
#[test]
fn ports_of_every_address_answer_over_ipv6() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network_with(&["--ipv6", "--subnet", "fd00:d1d:1::/64"]);
    let tap = ["--env", "DIND_ROOTLESS_PORTS=tap"];
    let (dind, peer) = pair(lab, &network, &tap);
    serve(&dind, "8080:80", "web");
    let address = global(&dind);
    assert!(address.starts_with("fd00:d1d:1::"), "{address}");
    for host in [&format!("[{address}]"), "docker"] {
        assert_eq!(peer.sh(&format!("{GET} http://{host}:8080/")), "nested");
    }
    let refused = peer.exec(["curl", "-s", &format!("http://[{address}]:8081/")]);
    assert_eq!(refused.code, 7, "connection refused: {refused}");
}

/// IPv6 by itself, on every address or on one.
#[test]
fn ipv6_is_published_by_itself() {
    let Some(lab) = Lab::find() else { return };
    for (subnet, options) in [
        ("2001:db8:d1d:2::/64", &[][..]),
        ("fd00:d1d:3::/64", &[][..]),
    ] {
        let network = lab.network_with(&["--ipv6", "--subnet", subnet]);
        let (dind, peer) = pair(lab, &network, options);
        let address = global(&dind);
        serve(&dind, "[::]:8080:80", "every");
        serve(&dind, &format!("[{address}]:8081:80"), "one");
        for port in [8080, 8081] {
            let url = format!("http://[{address}]:{port}/");
            assert_eq!(peer.sh(&format!("{GET} {url}")), "nested", "{subnet}");
        }
        let listed = dind.docker(["ps", "--format", "{{.Ports}}"]);
        assert!(listed.contains("[::]:8080->80/tcp"), "{listed}");
        // Nobody asked for IPv4.
        let refused = peer.exec(["curl", "-4", "-s", "http://docker:8080/"]);
        assert_eq!(refused.code, 7, "connection refused: {refused}");
    }
}

/// Waits until the echo of docker:5353 answers.
#[track_caller]
fn until_echoed(peer: &Container) {
    let ask = "echo there | socat -t 5 - UDP:docker:5353";
    until("an answer", || {
        (peer.exec(["sh", "-c", ask]).stdout == "there\n").then_some(())
    });
}

/// A nested service that returns datagrams. The nested image has no program for that; the outer
/// one has.
fn echo(dind: &Container, publish: &str) {
    let run = ["run", "--detach", "--volume", "/:/host:ro", "--publish"];
    let echo = "busybox chroot /host socat UDP-LISTEN:53,fork EXEC:cat";
    let words = run.into_iter().chain([publish, NESTED]);
    dind.docker(words.chain(echo.split(' ')));
}

#[test]
fn datagrams_are_relayed() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let (dind, peer) = pair(lab, &network, &[]);
    echo(&dind, "5353:53/udp");
    until_echoed(&peer);
}

/// As with a rootful daemon, and as TCP: outside, and for containers of the host network.
#[test]
fn datagrams_on_loopback_are_relayed_outside_and_inside() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let (dind, peer) = pair(lab, &network, &[]);
    echo(&dind, "127.0.0.1:5353:53/udp");
    let ask = |to: &str| format!("echo there | socat -t 5 - UDP:{to}:5353");
    until("an answer", || {
        let answer = dind.exec(["sh", "-c", &ask("127.0.0.1")]);
        (answer.stdout == "there\n").then_some(())
    });
    // A datagram may be lost while socat makes room for the next client.
    until("an answer inside", || {
        let answer = inside(&dind, &format!("{} || true", ask("127.0.0.1")));
        (answer == "there").then_some(())
    });
    let refused = peer.exec(["sh", "-c", &ask("docker")]);
    assert_eq!(refused.stdout, "", "loopback is not for others");
}

/// The relay is not dockerd's end; dockerd can publish again.
#[test]
fn a_dead_relay_comes_back() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let (dind, peer) = pair(lab, &network, &[]);
    let relay = "pgrep -P $(cat /run/user/1000/dockerd-rootless/child_pid) dind-init";
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

/// With the official arguments dockerd binds inside, and the port is published.
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
