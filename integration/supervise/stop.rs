use rustix::process::Signal;

use crate::harness::{can_run, script, start};

#[test]
fn dockerd_gets_one_term_and_the_exit_code_is_zero() {
    if !can_run() {
        return;
    }
    let mut dind = start("").run();
    dind.says("ready after");
    dind.stops();
    assert_eq!(dind.said().matches("stub: TERM").count(), 1);
    assert!(
        dind.said()
            .contains("0 containers run; a stop may take: 9 s (default")
    );
}

#[test]
fn a_stop_before_dockerd_can_hear_it_leaves_nothing_stale() {
    if !can_run() {
        return;
    }
    let mut dind = start("untrapped").run();
    dind.says("stub: untrapped");
    assert!(dind.path("docker.pid").exists());
    dind.stops();
    assert!(!dind.path("docker.pid").exists());
}

#[test]
fn a_dockerd_that_does_not_stop_is_killed_when_the_budget_is_over() {
    if !can_run() {
        return;
    }
    let mut dind = start("stubborn").env("DIND_STOP_TIMEOUT", "300ms").run();
    dind.says("ready after");
    dind.stops();
    dind.said().find("some containers did not stop").unwrap();
    dind.said()
        .find("did not stop in time and is killed")
        .unwrap();
    assert!(!dind.path("docker.pid").exists());
}

#[test]
fn the_third_signal_kills() {
    if !can_run() {
        return;
    }
    let mut dind = start("stubborn").env("DIND_STOP_TIMEOUT", "1h").run();
    dind.says("ready after");
    dind.signal(Signal::TERM);
    dind.says("TERM ignored");
    dind.signal(Signal::INT);
    dind.signal(Signal::TERM);
    assert_eq!(dind.ends(), 0);
}

#[test]
fn the_budget_follows_the_running_containers() {
    if !can_run() {
        return;
    }
    let mut dind = start("")
        .container("a", 999_999, r#""StopTimeout":60"#)
        .container("b", 999_998, r#""StopSignal":"SIGINT""#)
        .run();
    dind.says("ready after");
    dind.stops();
    let line = "2 containers run; a stop may take: 63 s (the longest stop timeout";
    assert!(dind.said().contains(line), "{}", dind.said());
}

/// A shim with a container: process names are those of the files.
fn shim(dir: &std::path::Path, container: &str) -> std::path::PathBuf {
    script(&dir.join("bin/inside"), container);
    let shim = dir.join("bin/containerd-shim-runc-v2");
    // In the background, so that the shim outlives dockerd as a real one does.
    script(
        &shim,
        &format!("trap '' TERM\n{}/bin/inside &\nwait", dir.display()),
    );
    shim
}

#[test]
fn what_lives_in_containers_is_killed_before_dockerd_is() {
    if !can_run() {
        return;
    }
    let start = start("stubborn");
    let shim = shim(
        start.dir.path(),
        "trap 'echo container: TERM >&2' TERM\necho container: up >&2\n\
         while :; do read -r line </proc/sys/kernel/hostname; done",
    );
    let words = format!("stubborn container={}", shim.display());
    let mut dind = start
        .env("STUB", words)
        .env("DIND_STOP_TIMEOUT", "2s")
        .run();
    dind.has_said("container: up");
    dind.has_said("ready after");
    dind.signal(Signal::TERM);
    dind.says("killed 1 processes inside nested containers");
    dind.says("did not stop in time and is killed");
    assert_eq!(dind.ends(), 0);
    assert!(
        !dind.said().contains("container: TERM"),
        "that is dockerd's to send"
    );
}

/// A name is any 15 bytes of a process's own choice. What is counted as killed is gone.
#[test]
fn a_name_that_is_no_text_saves_nobody() {
    if !can_run() {
        return;
    }
    let start = start("stubborn");
    let dir = start.dir.path().file_name().unwrap().to_str().unwrap();
    let unique = dir.get(dir.len() - 6..).unwrap().to_owned();
    let shim = shim(
        start.dir.path(),
        &format!(
            "trap '' TERM\nprintf '\\377\\376){unique}' >/proc/$$/comm\n\
             echo container: up >&2\nwhile :; do read -r line </proc/sys/kernel/hostname; done"
        ),
    );
    let name = [b"\xff\xfe)", unique.as_bytes(), b"\n"].concat();
    let lives = || {
        let mut processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes.any(|process| {
            let read = |file: &str| std::fs::read(process.path().join(file)).unwrap_or_default();
            // One that ended, and that nobody has reaped yet, has its name and no words.
            read("comm") == name && !read("cmdline").is_empty()
        })
    };
    let words = format!("stubborn container={}", shim.display());
    let mut dind = start
        .env("STUB", words)
        .env("DIND_STOP_TIMEOUT", "2s")
        .run();
    dind.has_said("container: up");
    dind.has_said("ready after");
    assert!(lives());
    dind.signal(Signal::TERM);
    dind.says("killed 1 processes inside nested containers");
    assert!(!lives());
    assert_eq!(dind.ends(), 0);
    assert!(!dind.said().contains("cannot be ended"), "{}", dind.said());
}

#[test]
fn containers_that_dockerd_left_get_their_own_stop_signal() {
    if !can_run() {
        return;
    }
    let start = start("");
    let path = start.path("inside.pid");
    let shim = shim(
        start.dir.path(),
        &format!(
            "trap 'echo container: USR2 >&2; exit' USR2\necho $$ >{}\necho container: up >&2\n\
             while :; do read -r line </proc/sys/kernel/hostname; done",
            path.display()
        ),
    );
    let words = format!("container={}", shim.display());
    let mut dind = start.env("STUB", words).run();
    dind.has_said("container: up");
    dind.has_said("ready after");
    let pid = std::fs::read_to_string(path)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    record(&dind, pid, r#""StopSignal":"SIGUSR2""#);
    dind.stops();
    dind.said()
        .find("dockerd left 1 containers running")
        .unwrap();
    dind.said().find("container: USR2").unwrap();
}

fn record(dind: &crate::harness::Dind, pid: u32, config: &str) {
    let dir = dind.path("data/containers/a");
    std::fs::create_dir_all(&dir).unwrap();
    let json = format!(r#"{{"State":{{"Running":true,"Pid":{pid}}},"Config":{{{config}}}}}"#);
    std::fs::write(dir.join("config.v2.json"), json).unwrap();
}

#[test]
fn nothing_foreign_is_signalled_in_a_shared_namespace() {
    if !can_run() {
        return;
    }
    let foreign = "sh -c 'trap \"echo foreign: TERM >&2\" TERM; echo foreign: up >&2; \
                   while :; do read -r l </proc/sys/kernel/hostname; done' & foreign=$!; \
                   trap 'kill -0 $foreign && echo foreign: lives >&2' EXIT";
    let mut dind = start("").beside(foreign).run();
    dind.has_said("foreign: up");
    dind.has_said("ready after");
    dind.stops();
    assert!(!dind.said().contains("foreign: TERM"));
    assert!(dind.said().contains("foreign: lives"));
}
