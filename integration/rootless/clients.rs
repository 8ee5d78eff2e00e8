//! Everyday work with a rootless daemon, also from a second container over plain TCP.

use crate::container::{Container, Create};
use crate::lab::{Lab, NESTED, until};
use crate::outer::{Engine, inside, open_to_everybody, privileged, unprivileged, unprivileged_on};
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

/// Whoever looks: the daemon's user, root, and with a runtime directory in another place.
#[test]
fn every_command_finds_the_daemon_of_its_container() {
    let Some(lab) = Lab::find() else { return };
    let as_root = privileged(lab)
        .options(["--user", "0"])
        .env("DIND_ROOTLESS=1");
    let elsewhere = privileged(lab).env("XDG_RUNTIME_DIR=/proc/none");
    for create in [privileged(lab), as_root, elsewhere] {
        let dind = create.start();
        for user in ["0", "1000"] {
            for command in [
                "dind-init wait --timeout 60s",
                "dind-init probe --timeout 10s",
                "docker-entrypoint.sh docker version",
            ] {
                let words = ["exec", "--user", user, &dind.id, "sh", "-c", command];
                let output = lab.docker(words);
                assert_eq!(output.code, 0, "{user}: {output}");
            }
        }
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

/// A daemon whose data root is on the container's own file system, where no overlay can be mounted.
fn without_a_volume(lab: &'static Lab, engine: Engine) -> Create {
    unprivileged_on(lab, engine).env("XDG_DATA_HOME=/home/rootless/data")
}

#[track_caller]
fn lives_on(driver: &str, dind: &Container) {
    dind.import_nested();
    workload::run(dind);
    assert_eq!(
        dind.docker(["info", "--format", "{{.Driver}}"]),
        driver,
        "{}",
        dind.log()
    );
    assert_eq!(inside(dind, "id -u"), "0");
    dind.docker(["image", "inspect", NESTED]);
}

/// With any engine.
#[test]
fn without_a_volume_images_are_copied_and_it_is_said() {
    let Some(lab) = Lab::find() else { return };
    for engine in Engine::ALL {
        let dind = without_a_volume(lab, engine).start();
        lives_on("vfs", &dind);
        let version = dind.docker(["info", "--format", "{{.ServerVersion}}"]);
        assert!(version.starts_with(engine.version()), "{version}");
        let log = dind.log();
        assert!(
            log.stderr.contains("SLOW: the vfs storage driver")
                && log
                    .stderr
                    .contains("docker run -v NAME:/home/rootless/data/docker"),
            "{log}"
        );
    }
    let (_dind, output) = without_a_volume(lab, Engine::V28)
        .env("DIND_STORAGE=strict")
        .run_to_end();
    output.assert_refused("only the slow storage driver vfs");
}

/// With the device.
#[test]
fn without_a_volume_fuse_overlayfs_is_used_where_there_is_its_device() {
    let Some(lab) = Lab::find() else { return };
    open_to_everybody("/dev/fuse");
    let dind = without_a_volume(lab, Engine::V28)
        .options(["--device", "/dev/fuse"])
        .start();
    lives_on("fuse-overlayfs", &dind);
}

/// On a volume the probe in a user namespace says what dockerd will find.
#[test]
fn on_a_volume_overlay_is_tried_as_the_user() {
    let Some(lab) = Lab::find() else { return };
    let dind = unprivileged(lab).start();
    lives_on("overlay2", &dind);
    let probe = dind.sh("dind-init facts --json | jq -c .storage.root.probe");
    assert_eq!(
        probe,
        r#"{"known":{"writing":"works","overlay":{"missing":[],"error":null,"user_xattr":true}}}"#
    );
}

/// With a volume, engines before 28 use overlays as well.
#[test]
fn older_engines_run_on_an_overlay() {
    let Some(lab) = Lab::find() else { return };
    for engine in [Engine::V20_10, Engine::V26_1] {
        let dind = unprivileged_on(lab, engine).start();
        dind.import_nested();
        workload::run(&dind);
        let driver = dind.docker(["info", "--format", "{{.Driver}}"]);
        assert_eq!(driver, "overlay2", "{engine:?}");
        assert_eq!(dind.stop(), "0");
    }
}
