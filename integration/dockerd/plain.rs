//! Everyday work without TLS, over the unix socket and over plain TCP from a second container.

use crate::container::Container;
use crate::lab::{Lab, Network};
use crate::workload::{self, Builder};

/// A daemon, and a client of it in a second container.
fn pair(lab: &'static Lab, network: &Network) -> (Container, Container) {
    let dind = lab.dind().named_docker(network).start();
    let client = lab
        .client("forky", network)
        .env("DOCKER_HOST=tcp://docker:2375")
        .start();
    client.import_nested();
    (dind, client)
}

#[test]
fn nested_containers_run_over_unix_and_tcp() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let (dind, client) = pair(lab, &network);
    workload::run(&dind);
    workload::run(&client);
}

#[test]
fn both_builders_work_over_unix_and_tcp() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let (dind, client) = pair(lab, &network);
    for builder in [Builder::BuildKit, Builder::Classic] {
        workload::build(&dind, builder);
        workload::build(&client, builder);
    }
}

#[test]
fn a_local_registry_is_pushed_to_and_pulled_from_over_unix_and_tcp() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let (dind, client) = pair(lab, &network);
    workload::push_and_pull(&dind);
    workload::push_and_pull(&client);
}

#[test]
fn compose_brings_services_up_over_unix_and_tcp() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let (dind, client) = pair(lab, &network);
    workload::compose(&dind);
    workload::compose(&client);
}

/// GitLab hands a job's variables to its services as well.
#[test]
fn the_clients_variables_in_the_services_environment_change_nothing() {
    let Some(lab) = Lab::find() else { return };
    for suite in ["forky", "trixie", "bookworm"] {
        let network = lab.network();
        let dind = lab
            .dind_on(suite)
            .named_docker(&network)
            .env("DOCKER_HOST=tcp://docker:2376")
            .env("DOCKER_TLS_VERIFY=1")
            .env("DOCKER_CERT_PATH=/certs/client")
            .start();
        let client = lab
            .client(suite, &network)
            .env("DOCKER_HOST=tcp://docker:2375")
            .start();
        client.import_nested();
        workload::run(&client);
        dind.sh("DOCKER_HOST=unix:///var/run/docker.sock DOCKER_TLS_VERIFY= docker version");
        dind.dockerd_runs_as("dockerd --host=fd://", "");
        assert_eq!(dind.stop(), "0", "{suite}");
    }
}
