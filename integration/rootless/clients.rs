//! Everyday work with a rootless daemon, also from a second container over plain TCP.

use crate::lab::{Lab, NESTED, until};
use crate::outer::{bare, inside, privileged, unprivileged};
use crate::workload::{self, Builder};

#[test]
fn both_builders_and_compose_work_in_an_unprivileged_container() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let dind = unprivileged(lab).named_docker(&network).start();
    let client = lab
        .client("forky", &network)
        .env("DOCKER_HOST=tcp://docker:2375")
        .start();
    client.import_nested();
    workload::run(&client);
    for builder in [Builder::BuildKit, Builder::Classic] {
        workload::build(&dind, builder);
        workload::build(&client, builder);
    }
    workload::compose(&client);
    assert_eq!(dind.stop(), "0");
}

/// The daemon itself asks for a port that is published on loopback.
#[test]
fn a_local_registry_is_pushed_to_and_pulled_from() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    for create in [privileged(lab), unprivileged(lab)] {
        let dind = create.named_docker(&network).start();
        dind.import_nested();
        workload::push_and_pull(&dind);
        let client = lab
            .client("forky", &network)
            .env("DOCKER_HOST=tcp://docker:2375")
            .start();
        workload::push_and_pull(&client);
    }
}

/// The API's own address outside is the client's to see: nothing forwards it.
#[test]
fn the_daemon_sees_the_address_of_an_api_client() {
    let Some(lab) = Lab::find() else { return };
    let network = lab.network();
    let dind = unprivileged(lab).named_docker(&network).start();
    let client = lab.client("forky", &network).start();
    client.sh("docker -H tcp://docker:2375 version");
    let address = client.sh("hostname -i");
    let follow = "docker -H tcp://docker:2375 events >/dev/null & echo $! >/tmp/events";
    client.sh(follow);
    until("the connection of the client", || {
        let seen = dind.exec(["ss", "-Htn", "state", "established", "sport = :2375"]);
        seen.stdout.contains(&address).then_some(())
    });
}

/// T16: no overlay can be mounted on the container's own file system.
#[test]
fn without_a_volume_images_are_copied_and_it_is_said() {
    let Some(lab) = Lab::find() else { return };
    let dind = bare(lab)
        .options(crate::outer::UNPRIVILEGED)
        .env("XDG_DATA_HOME=/home/rootless/data")
        .start();
    dind.import_nested();
    workload::run(&dind);
    let driver = dind.docker(["info", "--format", "{{.Driver}}"]);
    assert_eq!(driver, "vfs");
    let log = dind.log();
    assert!(log.stderr.contains("mount a volume on"), "{log}");
    assert_eq!(inside(&dind, "id -u"), "0");
    dind.docker(["image", "inspect", NESTED]);
}
