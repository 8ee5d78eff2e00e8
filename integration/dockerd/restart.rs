//! The container is killed, with work going on, and comes up again on what it left: ten times.

use crate::container::Create;
use crate::lab::Lab;
use crate::workload::{first_life, killed_and_started_again, lives};

const TIMES: u32 = 10;

#[test]
fn a_killed_container_starts_again_ten_times() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().start();
    first_life(&dind, &[], &[]);
    killed_and_started_again(&dind, TIMES, &[]);
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
    first_life(&dind, &[], &[]);
    for life in 1..=TIMES {
        dind.signal("KILL");
        assert_eq!(dind.wait(), "137");
        let next = create().start();
        drop(std::mem::replace(&mut dind, next));
        lives(&dind, life, &[]);
    }
    assert_eq!(dind.stop(), "0");
}
