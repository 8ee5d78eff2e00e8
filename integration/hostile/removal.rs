//! What is removed as left over: never through a link, never across a mount, never a stranger's.

use crate::lab::Lab;
use crate::scene::{Scene, comes_true, works, works_stops_and_works_again};

/// The neighbour's own exec root, whose runtime directory leads elsewhere: what is two levels
/// below it would be removed as the left-over of a container.
fn leads_to(target: &str) -> String {
    format!(
        "[ ! -e docker ] || mv docker moved-away
        mkdir -p docker/containerd/daemon docker/runtime-y docker/libnetwork
        ln -s {target} docker/runtime-z
        ln -s {target} docker/runtime-y/moby
        ln -s {target} docker/containerd/daemon/io.containerd.runtime.v2.task
        ln -s {target} docker/netns"
    )
}

#[test]
fn nothing_is_removed_through_links_that_were_there_before_the_start() {
    let Some(lab) = Lab::find() else { return };
    let scene = Scene::new(lab);
    scene.attack(&leads_to("/outside"));
    scene.attack("rm docker/containerd/daemon/io* docker/netns");
    let dind = scene.dind("/run").start();
    works(&dind);
    scene.assert_nothing_outside_changed();
    works_stops_and_works_again(&dind);
    scene.assert_nothing_outside_changed();
}

#[test]
fn nothing_is_removed_through_links_that_were_planted_while_dockerd_ran() {
    let Some(lab) = Lab::find() else { return };
    for target in ["/outside", "/outside/tree", "/"] {
        let scene = Scene::new(lab);
        let dind = scene.dind("/run").start();
        works(&dind);
        dind.sh("mkdir -p /var/lib/docker/mine/deep; touch /var/lib/docker/mine/deep/file");
        scene.attack(&leads_to(target));
        assert_eq!(dind.stop(), "0", "{target}: {}", dind.log());
        scene.assert_nothing_outside_changed();
        scene.attack("rm -rf docker; [ ! -e moved-away ] || mv moved-away docker");
        dind.start();
        works(&dind);
        dind.sh("[ -e /var/lib/docker/mine/deep/file ]");
        assert_eq!(dind.stop(), "0", "{target}");
        scene.assert_nothing_outside_changed();
    }
}

/// The number of the device says nothing of a mount of the same file system.
#[test]
fn what_is_mounted_in_a_left_over_directory_is_left_alone() {
    let Some(lab) = Lab::find() else { return };
    let mount = "
        state=/run/docker/runtime-runc/moby/feed
        task=/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/feed
        [ -e /kept ] || {
            mkdir -p /kept/deep $state/mine $task/mine
            touch /kept/file /kept/deep/file
            mount --bind /kept $state/mine
            mount --bind /kept $task/mine
        }";
    // containerd goes through what is left itself, and across mounts: we must not have been there.
    let look = r#"case "$*" in *version*) ;; *) find /kept -type f >/seen ;; esac"#;
    let dind = lab.dind().before(mount).before_dockerd(look).start();
    dind.until_ours();
    comes_true(&dind, "[ -e /seen ]");
    assert_eq!(dind.sh("sort /seen"), "/kept/deep/file\n/kept/file");
    works_stops_and_works_again(&dind);
}

/// A pid file is looked for in every directory below /run: the neighbour's links and pipes among
/// them hold nobody up, and lead nowhere.
#[test]
fn pid_files_of_a_neighbour_lead_nowhere() {
    let Some(lab) = Lab::find() else { return };
    let scene = Scene::new(lab);
    scene.attack(
        "ln -s /outside/secret docker-a.pid; mkfifo docker-b.pid; ln -s /dev/zero docker-c.pid
        ln -s /outside docker-d; mkdir -p deep/docker.pid; truncate -s 1G docker-e.pid",
    );
    let dind = scene.dind("/run").start();
    works(&dind);
    scene.assert_nothing_outside_changed();
    works_stops_and_works_again(&dind);
    scene.assert_nothing_outside_changed();
}
