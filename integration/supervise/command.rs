use rustix::process::Signal;

use crate::harness::{can_run, script, start};

fn with_command(stub: &str, text: &str) -> crate::harness::Start {
    let start = start(stub);
    let command = start.path("bin/work");
    script(&command, text);
    start
        .arg("--exec")
        .arg("--")
        .arg(command.to_str().unwrap())
        .arg("word")
}

#[test]
fn its_code_is_ours_and_dockerd_stops_after_it() {
    if !can_run() {
        return;
    }
    let mut dind = with_command("", "echo work: $1 >&2; [ -e $STUB_DIR/ready ] && exit 42").run();
    assert_eq!(dind.ends(), 42);
    let place = |text: &str| {
        dind.said()
            .find(text)
            .unwrap_or_else(|| panic!("{}", dind.said()))
    };
    assert!(place("ready after") < place("work: word"));
    assert!(place("work: word") < place("stub: TERM"));
}

#[test]
fn signals_are_its_own() {
    if !can_run() {
        return;
    }
    let text = "trap 'echo work: INT >&2' INT; trap 'echo work: HUP >&2' HUP; \
                trap 'echo work: TERM >&2; exit 7' TERM; echo work: up >&2; while :; do sleep 0.1; done";
    let mut dind = with_command("", text).run();
    dind.says("work: up");
    dind.signal(Signal::INT);
    dind.says("work: INT");
    dind.signal(Signal::HUP);
    dind.says("work: HUP");
    dind.signal(Signal::TERM);
    dind.says("work: TERM");
    assert_eq!(dind.ends(), 7);
    assert!(!dind.said().contains("stub: HUP"));
    assert!(dind.said().contains("stub: TERM"));
}

#[test]
fn a_dockerd_that_dies_first_takes_it_along() {
    if !can_run() {
        return;
    }
    let text =
        "trap 'echo work: TERM >&2; exit 0' TERM; echo work: up >&2; while :; do sleep 0.1; done";
    let mut dind = with_command("", text).run();
    dind.says("work: up");
    dind.request("/die");
    dind.says("work: TERM");
    assert_eq!(dind.ends(), 137);
}

#[test]
fn one_that_cannot_be_started_is_127_or_126() {
    if !can_run() {
        return;
    }
    for (command, code) in [("/absent", 127), ("absent", 127), ("/", 126)] {
        let mut dind = start("").arg("--exec").arg("--").arg(command).run();
        assert_eq!(dind.ends(), code, "{command}");
        assert!(dind.said().contains("could not execute"), "{}", dind.said());
    }
}

#[test]
fn a_dockerd_that_never_starts_never_runs_it() {
    if !can_run() {
        return;
    }
    let mut dind = with_command("fails=1", "echo work: up >&2").run();
    assert_eq!(dind.ends(), 1);
    assert!(!dind.said().contains("work: up"));
}
