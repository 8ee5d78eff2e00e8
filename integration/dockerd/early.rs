//! Clients and signals that are faster than dockerd.

use crate::container::{Container, Create};
use crate::lab::{Lab, Network};
use crate::workload::{self, Builder};

/// Every generation of clients: 20.10, 26.1, 28.5.
const SUITES: [&str; 3] = ["bookworm", "trixie", "forky"];

/// Counts what waits in the backlog of port 2375 (hexadecimal 0947, ESTABLISHED is 01) at the
/// moment in which dockerd is executed.
const COUNT_WAITING: &str =
    "cat /proc/net/tcp /proc/net/tcp6 | awk '$2 ~ /:0947$/ && $4 == \"01\"' | wc -l >/run/waiting";

/// The first call is made before dockerd exists; the client must still come to speak the version
/// of the API that both know, run and build.
fn works_from_the_start(client: &Container) {
    client.import_nested();
    workload::run(client);
    for builder in [Builder::BuildKit, Builder::Classic] {
        workload::build(client, builder);
    }
    let format = "{{.Client.APIVersion}} {{.Client.DefaultAPIVersion}} {{.Server.APIVersion}}";
    let versions = client.docker(["version", "--format", format]);
    let minor = |version: &str| -> Option<u32> { version.strip_prefix("1.")?.parse().ok() };
    let minors: Vec<_> = versions.split(' ').filter_map(minor).collect();
    let [agreed, newest, server] = minors[..] else {
        panic!("{versions}");
    };
    assert_eq!(agreed, newest.min(server), "{versions}");
}

/// Starts a late daemon, and all clients at once while it is not there yet.
fn late(lab: &'static Lab, network: &Network, dind: Create, seconds: u32) {
    let clients = SUITES.map(|suite| {
        lab.client(suite, network)
            .env("DOCKER_HOST=tcp://docker:2375")
            .start()
    });
    let dind = dind
        .named_docker(network)
        .before_dockerd(&format!("sleep {seconds}\n{COUNT_WAITING}"))
        .start();
    std::thread::scope(|scope| {
        for client in &clients {
            scope.spawn(|| works_from_the_start(client));
        }
        scope.spawn(|| dind.docker(["version"]));
    });
    let waiting: u32 = dind.sh("cat /run/waiting").parse().expect("a number");
    assert!(
        waiting >= 3,
        "{waiting} of 3 clients were connected before dockerd"
    );
}

#[test]
fn clients_of_all_generations_are_answered_though_dockerd_is_20_seconds_late() {
    let Some(lab) = Lab::find() else { return };
    late(lab, &lab.network(), lab.dind(), 20);
}

/// The client gives up its first `/_ping` after 2 seconds, and must still find the version that
/// an older engine speaks.
#[test]
fn newer_clients_agree_with_an_older_engine_that_is_late() {
    let Some(lab) = Lab::find() else { return };
    late(lab, &lab.network(), lab.dind_on("trixie"), 5);
    late(lab, &lab.network(), lab.dind_on("bookworm"), 5);
}

#[test]
fn a_client_that_is_started_in_the_same_instant_is_answered() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let dind = lab.dind().named_docker(&network).create();
    let client = lab
        .base("forky")
        .options(["--network", &network.name])
        .env("DOCKER_HOST=tcp://docker:2375")
        .args(["docker", "version"]);
    dind.start();
    let (_client, output) = client.run_to_end();
    assert!(output.ok().contains("Server:"));
}

/// dockerd sets its handlers only when containerd runs: until then a TERM kills it, and leaves
/// its pid file.
#[test]
fn a_stop_before_dockerd_can_handle_it_ends_with_0_and_leaves_no_pid_file() {
    let Some(lab) = Lab::find() else { return };
    let at_once = "[ -e /tried ] || {
        touch /tried
        (until [ -s /run/docker.pid ]; do :; done; kill -TERM 1) &
    }";
    let dind = lab.dind().before(at_once).start();
    assert_eq!(dind.wait(), "0", "{}", dind.log());
    for path in [
        "/run/docker.pid",
        "/run/docker.sock",
        "/run/dind-init/notify.sock",
    ] {
        dind.assert_untouched(path);
    }
    dind.start();
    dind.until_ours();
    dind.docker(["version"]);
}

#[test]
fn a_stop_while_dockerd_is_late_ends_with_0_and_the_next_start_works() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab
        .dind()
        .before_dockerd("[ -e /tried ] || { touch /tried; sleep infinity; }")
        .start();
    dind.sh("until [ -e /tried ]; do :; done; [ -S /run/docker.sock ]");
    assert_eq!(dind.stop(), "0");
    dind.assert_tidy();
    dind.start();
    dind.docker(["version"]);
}

/// By default these two kill a process; dockerd reloads and dumps its stacks once it is ready.
#[test]
fn hup_and_usr1_before_ready_reach_dockerd_afterwards() {
    let Some(lab) = Lab::find() else { return };
    let at_once = "(until [ -s /run/docker.pid ]; do :; done; kill -HUP 1; kill -USR1 1) &";
    let dind = lab.dind().before(at_once).start();
    dind.until_ours();
    dind.docker(["version"]);
    dind.until_log("Got signal to reload configuration");
    dind.sh("until ls /run/docker/goroutine-stacks-*.log; do :; done");
    assert_eq!(dind.stop(), "0");
}
