//! `dind-init probe --live`: PID 1 itself answers, or the probe says what it does instead.

use crate::lab::Lab;

/// Its loop begins when dockerd was started.
const STARTED: &str = "until dind-init probe --live && dind-init probe; do :; done";

#[test]
fn a_stopped_pid_1_is_not_live_although_the_api_answers() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().start();
    dind.sh(STARTED);
    let live = ["dind-init", "probe", "--live"];
    let answer = dind.exec(live);
    assert_eq!(answer.code, 0, "{}", answer.stdout);
    assert!(answer.stdout.starts_with("live: PID 1 answers (state "));
    // Only from outside: the kernel keeps an init from signals of its own namespace.
    lab.docker(["kill", "--signal=STOP", &dind.id]).ok();
    let answer = dind.exec(live);
    assert_eq!(answer.code, 1);
    assert!(
        answer.stdout.contains("PID 1 does not answer") && answer.stdout.contains("state T"),
        "{}",
        answer.stdout
    );
    assert_eq!(dind.exec(["dind-init", "probe"]).code, 0);
    lab.docker(["kill", "--signal=CONT", &dind.id]).ok();
    assert_eq!(dind.exec(live).code, 0);
}

#[test]
fn another_users_probe_gets_an_answer_too() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().start();
    dind.sh(STARTED);
    for user in ["0", "1000"] {
        let words = [
            "exec",
            "--user",
            user,
            &dind.id,
            "dind-init",
            "probe",
            "--live",
        ];
        let answer = lab.docker(words);
        assert_eq!(answer.code, 0, "{user}: {}", answer.stdout);
    }
}
