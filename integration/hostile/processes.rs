//! Processes that do not want to be found, or ended.

use crate::container::Container;
use crate::lab::{Lab, NESTED, until};
use crate::outer::privileged;
use crate::scene::works;

/// Names itself by bytes that are no text, and does not end when it is asked to.
const NAMELESS: &str = r"
    printf '\377\376' >/proc/self/comm
    trap '' TERM INT HUP
    while :; do sleep 77777 & wait; done";

/// Another way to the same end: fields that look like those behind the name.
const LOOKS_LIKE_MORE: &str = r"
    printf ') Z 1 1 (x' >/proc/self/comm
    trap '' TERM INT HUP
    while :; do sleep 77777 & wait; done";

fn run(dind: &Container, script: &str) {
    let run = ["run", "--detach", "--user", "1000", "--stop-timeout", "600"];
    let words = run.into_iter().chain([NESTED, "sh", "-c", script]);
    let id = dind.docker(words);
    // It has its name, and its deafness, when it has its child.
    dind.sh("timeout 30 sh -c 'until pgrep -f \"sleep 77777\"; do sleep 0.02; done'");
    assert!(!id.is_empty());
}

#[test]
fn a_process_whose_name_is_no_text_is_ended_before_dockerd() {
    let Some(lab) = Lab::find() else { return };
    for script in [NAMELESS, LOOKS_LIKE_MORE] {
        let dind = lab.dind().env("DIND_STOP_TIMEOUT=6s").start();
        dind.import_nested();
        run(&dind, script);
        assert_eq!(dind.stop(), "0");
        let log = dind.log().stderr;
        assert!(!log.contains("dockerd did not stop in time"), "{log}");
        dind.start();
        works(&dind);
        // dockerd has recorded the end.
        let running = dind.docker(["ps", "--quiet"]);
        assert_eq!(running, "", "{log}");
        assert_eq!(dind.stop(), "0");
    }
}

#[test]
fn no_process_of_a_dead_rootless_dockerd_lives_beside_the_next_one() {
    let Some(lab) = Lab::find() else { return };
    for script in [NAMELESS, LOOKS_LIKE_MORE] {
        let dind = privileged(lab).env("DIND_RESTART=on-failure").start();
        dind.import_nested();
        run(&dind, script);
        let old = dind.sh("pgrep -o -f 'sleep 77777'");
        dind.sh("kill -9 $(pgrep -x dockerd)");
        dind.until_log("dockerd is ready again");
        dind.docker(["version"]);
        until("the old process is gone", || {
            (dind.exec(["test", "-e", &format!("/proc/{old}")]).code != 0).then_some(())
        });
        let left = dind.exec(["pgrep", "-f", "sleep 77777"]);
        assert_eq!(left.stdout, "", "{left}");
        assert_eq!(dind.stop(), "0");
    }
}
