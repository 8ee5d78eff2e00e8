//! Whom the services behind published ports see.

use crate::container::Container;
use crate::lab::{Lab, NESTED, until};
use crate::outer::{Engine, inside, unprivileged, unprivileged_on};
use crate::published::{GET, global, pair, pair_of, serve, until_seen};

/// A nested service that answers with the address of its client. The nested image has no program
/// for that; the outer one has.
fn mirror(dind: &Container, listen: &str, network: &str, publish: &str) -> String {
    let run = [
        "run",
        "--detach",
        "--volume",
        "/:/host:ro",
        "--network",
        network,
    ];
    let listen = format!("{listen},fork,reuseaddr");
    let mirror = [
        "chroot",
        "/host",
        "socat",
        &listen,
        "SYSTEM:read x; echo $SOCAT_PEERADDR",
    ];
    let words = run
        .into_iter()
        .chain(["--publish", publish, NESTED, "busybox"]);
    dind.docker(words.chain(mirror))
}

/// Asks until there is an answer: a datagram may come before socat does. The first line of it:
/// socat's UDP-LISTEN forks a second time where it sees a datagram that its child has not taken yet,
/// and both children answer (1 of 60 on a busy machine, without dind-init between the two).
#[track_caller]
fn seen(from: &Container, to: &str) -> String {
    let ask = format!("echo x | socat -t 5 -T 5 - {to} 2>/dev/null");
    until("an answer", || {
        let answer = from.exec(["sh", "-c", &ask]).stdout;
        answer.lines().next().map(str::to_owned)
    })
}

/// What `[::1]` of the outer container leads to, without any IPv6 address beside it; what it does
/// not have is refused.
#[test]
fn ipv6_on_loopback_is_published() {
    let Some(lab) = Lab::find() else { return };
    for engine in Engine::ALL {
        let dind = unprivileged_on(lab, engine).start();
        dind.import_nested();
        assert_eq!(global(&dind), "");
        serve(&dind, "[::1]:7080:80", "loopback");
        assert_eq!(dind.sh(&format!("{GET} http://[::1]:7080/")), "nested");
        let run = ["run", "--detach", "--name", "both"];
        let ports = ["--publish", "[::]:7081:80", "--publish", "7082:80", NESTED];
        let web = ["httpd", "-f", "-p", "80", "-h", "/www"];
        dind.docker(run.into_iter().chain(ports).chain(web));
        for url in ["[::1]:7081", "[::1]:7082", "127.0.0.1:7082"] {
            assert_eq!(dind.sh(&format!("{GET} http://{url}/")), "nested", "{url}");
        }
        dind.docker(["rm", "--force", "loopback"]);
        let refused = dind.exec(["curl", "-s", "http://[::1]:7080/"]);
        assert_eq!(refused.code, 7, "connection refused: {refused}");
        let foreign = ["run", "--publish", "[2001:db8::9]:80:80", NESTED, "true"];
        let refused = dind.exec(["docker"].into_iter().chain(foreign));
        assert_eq!(refused.code, 125, "{refused}");
        assert!(
            refused.stderr.contains("cannot assign requested address"),
            "{refused}"
        );
    }
}

/// Over TCP and UDP, over IPv4 and, to a container that has it, over IPv6.
#[test]
fn clients_keep_their_addresses() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network_with(&["--ipv6", "--subnet", "fd00:d1d:4::/64"]);
    let peer = lab.client("forky", &network).start();
    let four = peer.sh("hostname -I | tr ' ' '\\n' | grep -v :");
    for engine in Engine::ALL {
        let dind = unprivileged_on(lab, engine).named_docker(&network).start();
        dind.import_nested();
        let six = [
            "network",
            "create",
            "--ipv6",
            "--subnet",
            "fd00:d1d:5::/64",
            "six",
        ];
        dind.docker(six);
        for proto in ["tcp", "udp"] {
            let name = proto.to_uppercase();
            let to = |host: &str, port: u16| format!("{name}:{host}:{port}");
            mirror(
                &dind,
                &format!("{name}4-LISTEN:53"),
                "bridge",
                &format!("5353:53/{proto}"),
            );
            mirror(
                &dind,
                &format!("{name}6-LISTEN:53"),
                "six",
                &format!("5354:53/{proto}"),
            );
            let outer = dind.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
            assert_eq!(seen(&peer, &to(&outer, 5353)), four, "{engine:?} {proto}");
            assert_eq!(
                seen(&dind, &to("127.0.0.1", 5353)),
                "172.17.0.1",
                "{engine:?} {proto}"
            );
            let outer = format!("[{}]", global(&dind));
            // As from docker-proxy: the container has no IPv6.
            assert_eq!(
                seen(&peer, &to(&outer, 5353)),
                "172.17.0.1",
                "{engine:?} {proto}"
            );
            let six = seen(&peer, &to(&outer, 5354));
            assert_eq!(
                six.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>(),
                global(&peer).parse(),
                "{engine:?} {proto}"
            );
        }
    }
}

/// dockerd counts the port as published until it takes it back.
#[test]
fn a_killed_docker_proxy_costs_nothing() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let (dind, peer) = pair(lab, &network, &[]);
    serve(&dind, "8080:80", "web");
    assert_eq!(peer.sh(&format!("{GET} http://docker:8080/")), "nested");
    // dockerd's own command line names it as well.
    let proxies = "^[^ ]*/docker-proxy -proto";
    inside(&dind, &format!("pkill -9 -f \"{proxies}\""));
    until("no docker-proxy", || {
        (dind.exec(["pgrep", "-f", proxies]).code != 0).then_some(())
    });
    assert_eq!(peer.sh(&format!("{GET} http://docker:8080/")), "nested");
    until_seen(&dind, "web", &peer.sh("hostname -i"));
    dind.docker(["rm", "--force", "web"]);
    let refused = peer.exec(["curl", "-s", "http://docker:8080/"]);
    assert_eq!(refused.code, 7, "connection refused: {refused}");
}

/// Nobody tells of the container then: datagrams go by dockerd's rules, from an address of ours.
#[test]
fn without_docker_proxy_datagrams_are_answered_and_it_is_said_whose_address_is_lost() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let off = "--userland-proxy=false";
    let (dind, peer) = pair_of(lab, &network, |create| create.args([off]));
    mirror(&dind, "UDP4-LISTEN:53", "bridge", "5353:53/udp");
    // dockerd masquerades what would have to come back by the bridge.
    assert_eq!(seen(&peer, "UDP4:docker:5353"), "172.17.0.1");
    dind.until_log("docker-proxy has not told which container is behind 10.0.2.100:5353");
}

/// A docker-proxy of the user's is the one that dockerd starts.
#[test]
fn a_docker_proxy_of_the_users_is_left_alone() {
    let Some(lab) = Lab::find() else { return };
    let program = "#!/bin/sh\n: >/tmp/started\nexec docker-proxy \"$@\"\n";
    let dind = unprivileged(lab)
        .file("/usr/local/bin/mine", 0o755, program)
        .args(["--userland-proxy-path=/usr/local/bin/mine"])
        .start();
    dind.import_nested();
    serve(&dind, "8080:80", "web");
    assert_eq!(dind.sh(&format!("{GET} http://127.0.0.1:8080/")), "nested");
    dind.sh("test -e /tmp/started");
}
