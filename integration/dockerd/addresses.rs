//! Where the API is served: the addresses that dockerd would have served, whoever binds them.

use crate::container::Container;
use crate::lab::Lab;

const UNIX_DEFAULT: &str = "unix:///run/docker.sock";
const TCP_DEFAULT: &str = "tcp://127.0.0.1:2375";
const HELD: &str = "dockerd --host=fd://";

/// Whether a client inside reaches the API there.
fn answers(dind: &Container, address: &str) -> bool {
    let ping = match address.strip_prefix("unix://") {
        Some(path) => dind.exec(["curl", "-sS", "--unix-socket", path, "http://docker/_ping"]),
        None => dind.exec([
            "curl",
            "-sSg",
            &address.replace("tcp", "http"),
            "--request-target",
            "/_ping",
        ]),
    };
    ping.code == 0 && ping.stdout == "OK"
}

#[track_caller]
fn all_answer(dind: &Container, addresses: &[&str]) {
    for address in addresses {
        assert!(answers(dind, address), "{address}");
    }
}

#[test]
fn localhost_is_served_on_both_loopback_addresses_and_nowhere_else() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab
        .dind()
        .options(["--sysctl", "net.ipv6.conf.all.disable_ipv6=0"])
        .args(["dockerd", "--host=tcp://localhost:2380"])
        .start();
    all_answer(
        &dind,
        &[
            "tcp://127.0.0.1:2380",
            "tcp://[::1]:2380",
            "tcp://localhost:2380",
        ],
    );
    dind.docker(["--host", "tcp://localhost:2380", "version"]);
    let outside = format!("tcp://{}:2380", dind.sh("hostname -i | cut -d' ' -f1"));
    assert!(!answers(&dind, &outside), "{outside}");
}

#[test]
fn the_default_port_is_served_over_ipv4_and_ipv6() {
    let Some(lab) = Lab::find() else { return };
    let ipv6 = ["--sysctl", "net.ipv6.conf.all.disable_ipv6=0"];
    let dind = lab.dind().options(ipv6).start();
    let own = format!("tcp://{}:2375", dind.sh("hostname -i | cut -d' ' -f1"));
    all_answer(
        &dind,
        &[
            "tcp://127.0.0.1:2375",
            "tcp://[::1]:2375",
            "tcp://localhost:2375",
            &own,
        ],
    );
    dind.docker(["--host", "tcp://localhost:2375", "version"]);
    // dockerd warns of such a port by itself only when it has opened it.
    let warning = "API on tcp://[::]:2375 without client certificates: whoever reaches it is root";
    assert_eq!(dind.log().stderr.matches(warning).count(), 1);
}

/// Every way to write `--host`.
const OWN_HOSTS: [&str; 8] = [
    "-H",
    "unix:///run/a.sock",
    "-Hunix:///run/b.sock",
    "-H=unix:///run/c.sock",
    "--host",
    "tcp://127.0.0.1:2381",
    "--host=tcp://0.0.0.0:2382",
    "-DHunix:///run/d.sock",
];

const OWN_ADDRESSES: [&str; 6] = [
    "unix:///run/a.sock",
    "unix:///run/b.sock",
    "unix:///run/c.sock",
    "unix:///run/d.sock",
    "tcp://127.0.0.1:2381",
    "tcp://127.0.0.1:2382",
];

#[test]
fn a_users_hosts_are_served_beside_the_defaults_in_the_default_form() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().args(OWN_HOSTS).start();
    all_answer(&dind, &OWN_ADDRESSES);
    all_answer(&dind, &[UNIX_DEFAULT, TCP_DEFAULT]);
    dind.dockerd_runs_as(HELD, " --debug");
}

#[test]
fn a_users_hosts_are_served_alone_in_the_dockerd_form() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().args(["dockerd"]).args(OWN_HOSTS).start();
    all_answer(&dind, &OWN_ADDRESSES);
    assert!(!answers(&dind, UNIX_DEFAULT) && !answers(&dind, TCP_DEFAULT));
    dind.dockerd_runs_as(HELD, " --debug");
}

#[test]
fn the_dockerd_form_without_a_host_serves_the_unix_socket_only() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().args(["dockerd"]).start();
    all_answer(&dind, &[UNIX_DEFAULT]);
    assert!(!answers(&dind, TCP_DEFAULT));
    dind.dockerd_runs_as(HELD, "");
}

#[test]
fn a_unix_docker_host_moves_the_default_socket() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().env("DOCKER_HOST=unix:///run/moved.sock").start();
    all_answer(&dind, &["unix:///run/moved.sock", TCP_DEFAULT]);
    assert!(!answers(&dind, UNIX_DEFAULT));
}

/// dockerd refuses a `--host` beside them, so ours are dropped; the user is told.
#[test]
fn hosts_in_the_file_are_left_to_dockerd_and_ours_are_dropped() {
    let Some(lab) = Lab::find() else { return };
    let json = r#"{"hosts": ["unix:///run/mine.sock"]}"#;
    let dind = lab
        .dind()
        .file("/etc/docker/daemon.json", 0o644, json)
        .start();
    dind.until_log("/etc/docker/daemon.json has a key \\\"hosts\\\"");
    dind.sh("until docker --host unix:///run/mine.sock version; do :; done");
    assert!(!answers(&dind, UNIX_DEFAULT) && !answers(&dind, TCP_DEFAULT));
    dind.dockerd_runs_as("dockerd", "");
    assert_eq!(dind.stop(), "0");
}

#[test]
fn dockerd_binds_with_the_official_arguments_when_it_is_asked_to() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab
        .dind()
        .env("DIND_SOCKETS=dockerd")
        .args(["--debug"])
        .start();
    dind.sh("until docker version; do :; done");
    all_answer(&dind, &[UNIX_DEFAULT, TCP_DEFAULT]);
    let official = "dockerd --host=unix:///var/run/docker.sock --host=tcp://0.0.0.0:2375";
    dind.dockerd_runs_as(&format!("{official} --tls=false"), " --debug");
    let environment = dind.sh("tr '\\0' '\\n' </proc/$(cat /run/docker.pid)/environ");
    assert!(!environment.contains("LISTEN_"), "{environment}");
    assert_eq!(dind.stop(), "0");
}
