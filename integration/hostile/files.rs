//! Files that we write beside a neighbour: the ready file, the status, the marker of a data root,
//! and the directory from which root executes.

use crate::lab::Lab;
use crate::scene::{
    Scene, answers_or_ends, comes_true, in_time, works, works_stops_and_works_again,
};

/// A terminal at /dev/pts/0, as a device that shows whether somebody wrote to it.
const TERMINAL: &str = r#"
    [ -e /terminal ] || python3 -c '
import os
held, device = os.openpty()
assert os.ttyname(device) == "/dev/pts/0"
out = os.open("/terminal", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
while True: os.write(out, os.read(held, 4096))' &
    until [ -e /terminal ]; do :; done"#;

/// What stands in the way, as the neighbour makes it, for a name that follows.
const IN_THE_WAY: [&str; 3] = ["ln -s /outside/secret", "ln -s /dev/pts/0", "mkfifo"];

fn all(plant: &str, names: &[&str]) -> String {
    let lines = names.iter().map(|name| format!("{plant} {name}\n"));
    lines.collect()
}

#[test]
fn the_ready_file_is_written_through_nothing_that_a_neighbour_planted() {
    let Some(lab) = Lab::find() else { return };
    for plant in IN_THE_WAY {
        let scene = Scene::new(lab);
        scene.attack(&all(
            plant,
            &["ready", "ready.new", ".ready.new", "ready.tmp"],
        ));
        let dind = scene
            .dind("/job")
            .env("DIND_READY_FILE=/job/ready")
            .before(TERMINAL)
            .start();
        dind.until_ours();
        works(&dind);
        scene.assert_nothing_outside_changed();
        // Whoever waits for the file must come to see one.
        comes_true(&dind, "[ -f /job/ready ] && [ ! -L /job/ready ]");
        assert_eq!(dind.sh("cat /job/ready"), "ready", "{plant}");
        assert_eq!(dind.sh("cat /terminal"), "", "{plant}");
        assert_eq!(dind.stop(), "0", "{plant}: {}", dind.log());
        assert_eq!(scene.guard("ls /shared | grep -cx ready || :"), "0");
    }
}

/// A directory cannot be replaced by a file: that is said, and dockerd is none the worse for it.
#[test]
fn a_directory_in_place_of_the_ready_file_is_told() {
    let Some(lab) = Lab::find() else { return };
    let scene = Scene::new(lab);
    scene.attack("mkdir -p ready/mine ready.new/mine");
    let dind = scene
        .dind("/job")
        .env("DIND_READY_FILE=/job/ready")
        .create();
    dind.start();
    // Either way the reader is told what is wrong.
    dind.until_log("/job/ready");
    scene.assert_nothing_outside_changed();
    assert_eq!(
        scene.guard("ls -d /shared/ready/mine"),
        "/shared/ready/mine"
    );
}

#[test]
fn the_status_is_written_through_nothing_that_a_neighbour_planted() {
    let Some(lab) = Lab::find() else { return };
    for plant in IN_THE_WAY {
        let scene = Scene::new(lab);
        let names = [
            "status.json.new",
            "status.json",
            "status.sock",
            "notify.sock",
        ]
        .map(|name| format!("dind-init/{name}"));
        scene.attack("mkdir dind-init");
        scene.attack(&all(plant, &names.each_ref().map(String::as_str)));
        let dind = scene.dind("/run").before(TERMINAL).start();
        dind.until_ours();
        works(&dind);
        scene.assert_nothing_outside_changed();
        let status = in_time(&dind, &["dind-init", "status"]).ok();
        assert!(status.contains("ready"), "{plant}: {status}");
        assert_eq!(dind.sh("cat /terminal"), "", "{plant}");
        assert_eq!(dind.stop(), "0", "{plant}: {}", dind.log());
        scene.assert_nothing_outside_changed();
    }
}

#[test]
fn the_marker_of_a_data_root_is_written_through_nothing_that_was_planted() {
    let Some(lab) = Lab::find() else { return };
    for plant in IN_THE_WAY {
        for names in [
            &[".dind-init.json.new", ".dind-init.json"][..],
            &[".dind-init.lock"],
        ] {
            let scene = Scene::new(lab);
            scene.attack(&all(plant, names));
            let dind = scene.dind("/var/lib/docker").before(TERMINAL).create();
            dind.start();
            // A lock that cannot be trusted may be refused, but in so many words.
            if answers_or_ends(&dind) {
                assert_eq!(dind.sh("cat /terminal"), "", "{plant} {names:?}");
                works_stops_and_works_again(&dind);
            } else {
                let log = dind.log();
                assert!(names.iter().any(|name| log.stderr.contains(name)), "{log}");
            }
            scene.assert_nothing_outside_changed();
        }
    }
}

/// What root runs instead of iptables, when the neighbour has its way.
const TOOLS: &str = "
    mkdir -p dind-init/iptables-legacy dind-init/iptables-nft
    for kind in legacy nft; do for tool in iptables ip6tables; do
        for suffix in '' -save -restore; do
            file=dind-init/iptables-$kind/$tool$suffix
            rm -f $file
            printf '#!/bin/sh\\necho \"$0\" >>/run/executed\\nexec %s-%s%s \"$@\"\\n' \
                /usr/sbin/$tool $kind \"$suffix\" >$file
            chmod 0755 $file
        done
    done; done";

/// The image has no directory with the legacy tools: they are found under other names.
const OTHER_NAMES: &str = "rm -rf /usr/local/sbin/.iptables-legacy";

/// The neighbour moves the directory of the tools away, and puts its own in its place. A mount on
/// it does not hold: in the neighbour's namespace there is none.
#[test]
fn root_runs_no_tool_that_a_neighbour_put_in_place() {
    let Some(lab) = Lab::find() else { return };
    for planted_before in [false, true] {
        let scene = Scene::new(lab);
        if planted_before {
            scene.attack(TOOLS);
        }
        let dind = scene
            .dind("/run")
            .env("DOCKER_IPTABLES_LEGACY=1")
            .before(OTHER_NAMES)
            .start();
        dind.until_ours();
        works(&dind);
        scene.try_to(&format!(
            "[ ! -e dind-init ] || mv dind-init moved-away || :\n{TOOLS}"
        ));
        dind.docker(["network", "create", "another"]);
        let executed = scene.guard("cat /shared/executed 2>/dev/null || :");
        assert_eq!(executed, "", "planted before: {planted_before}");
        // The directory that was moved away may be removed, which takes a mount on it along.
        scene.try_to("rm -rf moved-away");
        dind.docker(["network", "create", "one-more"]);
        let executed = scene.guard("cat /shared/executed 2>/dev/null || :");
        assert_eq!(executed, "", "planted before: {planted_before}");
        works_stops_and_works_again(&dind);
        assert_eq!(scene.guard("cat /shared/executed 2>/dev/null || :"), "");
        scene.assert_nothing_outside_changed();
    }
}

/// The directory of the ready file, or of a socket, is a neighbour's link.
#[test]
fn directories_that_lead_elsewhere_are_not_followed() {
    let Some(lab) = Lab::find() else { return };
    for target in ["/outside/tree", "/outside/nothing"] {
        let scene = Scene::new(lab);
        scene.attack(&format!("ln -s {target} state; ln -s {target} sockets"));
        for setting in [
            "DIND_READY_FILE=/job/state/ready",
            "DIND_SOCKET_PATHS=/job/sockets/docker.sock",
        ] {
            let dind = scene.dind("/job").env(setting).create();
            dind.start();
            if answers_or_ends(&dind) {
                assert_eq!(dind.stop(), "0", "{setting}: {}", dind.log());
            }
            scene.assert_nothing_outside_changed();
            // Who waits there waits for ever, so it is told.
            let log = dind.log();
            let told = |line: &str| {
                let serious = [
                    "level=warning",
                    "level=error",
                    "error: ",
                    "  step ",
                    "  why ",
                ];
                line.contains("/job/s") && serious.iter().any(|word| line.contains(word))
            };
            assert!(log.stderr.lines().any(told), "{setting}: {log}");
        }
    }
}
