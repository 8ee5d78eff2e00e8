//! The container is killed, with work going on, and comes up again on what it left: ten times.

use crate::container::{Container, Create};
use crate::lab::{Lab, NESTED};

const TIMES: u32 = 10;

/// The image survived; a container of an earlier life is gone or over; a new one runs.
#[track_caller]
fn lives(dind: &Container, life: u32) {
    dind.docker(["image", "inspect", NESTED]);
    let running = dind.docker(["ps", "--quiet", "--filter", "name=old"]);
    assert_eq!(
        running, "",
        "life {life}: a container of an earlier life runs"
    );
    let name = format!("old{life}");
    dind.docker(["run", "--detach", "--name", &name, NESTED, "sleep", "1000"]);
    dind.sh(&format!("docker exec {name} true"));
    // A restart policy is honoured, as after a power cut.
    dind.sh("until docker exec again true; do :; done");
}

#[track_caller]
fn first_life(dind: &Container) {
    dind.import_nested();
    dind.docker([
        "run",
        "--detach",
        "--name",
        "again",
        "--restart=always",
        NESTED,
        "sleep",
        "1000",
    ]);
    lives(dind, 0);
}

#[test]
fn a_killed_container_starts_again_ten_times() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().start();
    first_life(&dind);
    for life in 1..=TIMES {
        dind.signal("KILL");
        assert_eq!(dind.wait(), "137");
        dind.start();
        lives(&dind, life);
    }
    assert_eq!(dind.stop(), "0");
}

/// As on Kubernetes, where a new container gets the volumes of the old one, /run among them.
#[test]
fn a_new_container_starts_ten_times_on_the_volumes_of_a_killed_one() {
    let Some(lab) = Lab::find() else { return };
    let (data, run) = (lab.volume(), lab.volume());
    let create = || -> Create {
        lab.dind()
            .volume(&data, "/var/lib/docker")
            .volume(&run, "/run")
    };
    let mut dind = create().start();
    first_life(&dind);
    for life in 1..=TIMES {
        dind.signal("KILL");
        assert_eq!(dind.wait(), "137");
        let next = create().start();
        drop(std::mem::replace(&mut dind, next));
        lives(&dind, life);
    }
    assert_eq!(dind.stop(), "0");
}
