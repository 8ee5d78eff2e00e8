//! Commands that start no daemon: they print what they should, need no privileges, change nothing.

use crate::lab::Lab;

#[test]
fn version_and_help_are_dockerds_own_without_privileges() {
    let Some(lab) = Lab::find() else { return };
    for (words, expected) in [
        (&["--version"][..], "Docker version "),
        (&["-v"], "Docker version "),
        (&["dockerd", "--version"], "Docker version "),
        (&["--help"], "\nUsage:\tdockerd "),
    ] {
        let (container, output) = lab
            .dind()
            .unprivileged()
            .args(words.iter().copied())
            .run_to_end();
        assert!(
            output.code == 0 && output.stdout.starts_with(expected),
            "{words:?}: {output}"
        );
        assert_eq!(output.stderr, "", "{words:?}");
        container.assert_untouched("/run");
    }
}

#[test]
fn validate_is_dockerds_own_verdict_without_privileges() {
    let Some(lab) = Lab::find() else { return };
    let validate = |json| {
        let create = lab
            .dind()
            .unprivileged()
            .file("/etc/docker/daemon.json", 0o644, json);
        create.args(["--validate"]).run_to_end()
    };
    let (container, good) = validate(r#"{"debug": true}"#);
    assert!(
        good.code == 0 && good.stderr.contains("configuration OK"),
        "{good}"
    );
    container.assert_untouched("/run");
    let (_, bad) = validate(r#"{"no-such-key": true}"#);
    assert!(bad.code == 1 && bad.stderr.contains("no-such-key"), "{bad}");
}

/// The official image's test `override-cmd` compares the output to the letter.
#[test]
fn another_command_is_executed_and_nothing_else_is_printed() {
    let Some(lab) = Lab::find() else { return };
    let words = ["sh", "-c", "echo x; echo y >&2; exit 9"];
    let (container, output) = lab.dind().unprivileged().args(words).run_to_end();
    assert_eq!(
        (output.code, &*output.stdout, &*output.stderr),
        (9, "x\n", "y\n")
    );
    container.assert_untouched("/run");
}

/// Mounts, cgroups, sockets, processes' cgroups and every file that a start would touch.
const LOOK: &str = r#"
    look() {
        cat /proc/self/mountinfo
        find /sys/fs/cgroup -type d | sort
        find /sys/fs/cgroup -name cgroup.subtree_control -exec cat {} +
        cat /proc/1/cgroup
        ss --listening --numeric --tcp --udp --unix
        ls -laR --time-style=full-iso /run /tmp /certs /etc/docker /var/lib/docker
        iptables-save
        cat /proc/sys/net/ipv4/ip_forward
    }
    look >/dev/shm/before 2>&1
    dind-init plan "$@"
    dind-init plan --json "$@" >/dev/shm/json
    look >/dev/shm/after 2>&1
    cmp /dev/shm/before /dev/shm/after
    cat /dev/shm/json >&2
"#;

#[test]
fn a_plan_is_printed_and_changes_nothing() {
    let Some(lab) = Lab::find() else { return };
    let json = r#"{"debug": true}"#;
    for certificates in ["", "/certs"] {
        let (container, output) = lab
            .dind()
            .env(&format!("DOCKER_TLS_CERTDIR={certificates}"))
            .env("DIND_SOCKET_PATHS=/run/new/a.sock")
            .file("/etc/docker/daemon.json", 0o644, json)
            .file("/run/docker.pid", 0o644, "4194304")
            .entrypoint("sh")
            .args(["-ec", LOOK, "sh", "--host=tcp://127.0.0.1:2399"])
            .run_to_end();
        assert_eq!(output.code, 0, "{output}");
        for part in [
            "unix:///run/new/a.sock",
            "tcp://127.0.0.1:2399",
            "remove /run/docker.pid",
        ] {
            assert!(output.stdout.contains(part), "{part:?} in {output}");
        }
        let plan: serde_json::Value = serde_json::from_str(&output.stderr).expect("JSON");
        assert!(
            plan["host"]["steps"]
                .as_array()
                .is_some_and(|steps| !steps.is_empty())
        );
        container.assert_untouched("/run/new");
        container.assert_untouched("/run/docker");
        container.assert_untouched("/run/dind-init");
        container.assert_untouched("/certs");
    }
}

#[test]
fn a_plan_that_refuses_ends_as_the_start_would() {
    let Some(lab) = Lab::find() else { return };
    let plan = |words: &[&str]| {
        let create = lab.dind().unprivileged().entrypoint("dind-init");
        create
            .args(["plan"])
            .args(words.iter().copied())
            .run_to_end()
            .1
    };
    plan(&[]).assert_refused("permission denied");
    plan(&["--host=udp://x:1"]).assert_refused("udp://x:1");
}

/// Where the daemon runs, a plan points to what shows it; and who asks what the machine is leaves
/// nothing in dockerd's log.
#[test]
fn a_running_daemon_is_pointed_to_and_not_disturbed() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().args(["--debug"]).start();
    dind.docker(["version"]);
    dind.until_log("ready after");
    let lines = || dind.log().stderr.lines().count();
    let before = lines();
    dind.exec(["dind-init", "facts"]).ok();
    let plan = dind.exec(["dind-init", "plan"]);
    plan.assert_refused("dind-init runs here already, as process 1");
    assert!(plan.stderr.contains("dind-init status shows"), "{plan}");
    let json = dind.exec(["dind-init", "plan", "--json"]);
    assert!(json.stdout.contains("dind-init status shows"), "{json}");
    // A line of its own shows that all earlier ones have come.
    dind.docker(["ps"]);
    dind.until_log("/containers/json");
    let log = dind.log().stderr;
    let new: Vec<_> = log.lines().skip(before).collect();
    assert!(new.iter().all(|line| line.contains("method=")), "{new:?}");
}

/// What Kubernetes says of services that are called like us is no setting.
#[test]
fn variables_of_a_service_called_dind_are_quiet() {
    let Some(lab) = Lab::find() else { return };
    let service = [
        "DIND_JOB_SERVICE_HOST=10.0.0.2",
        "DIND_JOB_SERVICE_PORT=2376",
        "DIND_JOB_PORT=tcp://10.0.0.2:2376",
        "DIND_JOB_PORT_2376_TCP=tcp://10.0.0.2:2376",
        "DIND_JOB_PORT_2376_TCP_ADDR=10.0.0.2",
        "DIND_SOCKET=held",
    ];
    let create = service
        .iter()
        .fold(lab.dind(), |create, pair| create.env(pair));
    let (_, output) = create.entrypoint("dind-init").args(["plan"]).run_to_end();
    assert_eq!(output.code, 0, "{output}");
    let warned = output.stdout.matches("is not a setting").count();
    assert_eq!(warned, 1, "DIND_SOCKET alone: {output}");
}
