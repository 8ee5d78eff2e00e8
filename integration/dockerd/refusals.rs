//! How a start fails: the exit code, the frame, and nothing left behind.

use crate::container::Create;
use crate::lab::Lab;

#[track_caller]
fn refused(create: Create, what: &str) {
    let (container, output) = create.run_to_end();
    output.assert_refused(what);
    container.assert_untouched("/run");
    container.assert_untouched("/certs");
}

#[test]
fn a_bad_setting_is_refused_and_leaves_nothing() {
    let Some(lab) = Lab::find() else { return };
    refused(lab.dind().env("DIND_TCP=perhaps"), "DIND_TCP");
    refused(lab.dind().env("DIND_SOCKET_MODE=rw"), "DIND_SOCKET_MODE");
    refused(
        lab.dind().env("DIND_SOCKET_GID=nobody-of-that-name"),
        "nobody-of-that-name",
    );
}

#[test]
fn a_bad_host_is_refused_and_leaves_nothing() {
    let Some(lab) = Lab::find() else { return };
    refused(
        lab.dind().args(["--host=udp://1.2.3.4:5"]),
        "udp://1.2.3.4:5",
    );
    refused(
        lab.dind().args(["dockerd", "-H", "tcp://1.2.3.4:99999"]),
        "tcp://1.2.3.4:99999",
    );
    refused(lab.dind().args(["--host=fd://"]), "fd://");
}

#[test]
fn plain_tcp_can_be_forbidden() {
    let Some(lab) = Lab::find() else { return };
    refused(lab.dind().env("DIND_TCP=refuse"), "tcp://0.0.0.0:2375");
}

#[test]
fn a_container_that_is_not_privileged_is_refused_in_words_that_people_search_for() {
    let Some(lab) = Lab::find() else { return };
    refused(
        lab.dind().unprivileged(),
        "mount: permission denied (are you root?)",
    );
    let (_, output) = lab.dind().unprivileged().args(["dockerd"]).run_to_end();
    assert!(output.stderr.contains("--privileged"), "{output}");
}

#[test]
fn a_broken_or_contradicting_file_is_refused_and_leaves_nothing() {
    let Some(lab) = Lab::find() else { return };
    let with = |json| lab.dind().file("/etc/docker/daemon.json", 0o644, json);
    let refused = |create: Create, what| {
        let (container, output) = create.run_to_end();
        output.assert_refused(what);
        container.assert_tidy();
    };
    refused(with("{"), "/etc/docker/daemon.json");
    refused(with(r#"{"mtu": 1400}"#).args(["--mtu=1300"]), "mtu");
    refused(
        with(r#"{"hosts": []}"#).args(["-Hunix:///x.sock"]),
        "given twice",
    );
}

#[test]
fn a_missing_dockerd_is_refused_and_leaves_nothing() {
    let Some(lab) = Lab::find() else { return };
    refused(
        lab.dind().env("PATH=/usr/local/bin"),
        "dockerd is not in PATH",
    );
    let (_, output) = lab
        .dind()
        .env("PATH=/usr/local/bin")
        .args(["--version"])
        .run_to_end();
    assert_eq!(output.code, 127, "{output}");
}

/// Every address was free but one: what was bound before it goes away again.
#[test]
fn a_busy_port_is_refused_and_the_unix_socket_goes_away_again() {
    let Some(lab) = Lab::find() else { return };
    let first = lab.dind().start();
    first.docker(["version"]);
    let inside = format!("container:{}", first.id);
    let second = lab.dind().options(["--network", &inside]);
    refused(second, "could not listen on tcp://[::]:2375");
    first.docker(["--host=tcp://127.0.0.1:2375", "version"]);
}

#[test]
fn a_flag_that_dockerd_refuses_ends_with_its_code_and_its_words() {
    let Some(lab) = Lab::find() else { return };
    let (container, output) = lab.dind().args(["--no-such-flag"]).run_to_end();
    assert_eq!(output.code, 1, "{output}");
    assert!(
        output.stderr.contains("unknown flag: --no-such-flag"),
        "{output}"
    );
    container.assert_tidy();
    let (container, output) = lab.dind().args(["--storage-driver=no-such"]).run_to_end();
    assert_eq!(output.code, 1, "{output}");
    assert!(output.stderr.contains("no-such"), "{output}");
    container.assert_tidy();
}

/// Copied from a node, where it is right.
#[test]
fn a_cgroup_driver_that_needs_a_systemd_is_refused() {
    let Some(lab) = Lab::find() else { return };
    let flag = lab
        .dind()
        .args(["--exec-opt", "native.cgroupdriver=systemd"]);
    refused(flag, "native.cgroupdriver=systemd in --exec-opt");
    let json = r#"{"exec-opts": ["native.cgroupdriver=systemd"]}"#;
    let file = lab.dind().file("/etc/docker/daemon.json", 0o644, json);
    refused(
        file,
        "native.cgroupdriver=systemd in exec-opts of /etc/docker",
    );
    let json = r#"{"exec-opts": ["native.cgroupdriver=cgroupfs"]}"#;
    let fine = lab.dind().file("/etc/docker/daemon.json", 0o644, json);
    fine.start().docker(["version"]);
}

/// Nobody wants to mend one setting for each start.
#[test]
fn all_bad_settings_are_named_at_once() {
    let Some(lab) = Lab::find() else { return };
    let bad = [
        "DIND_LOG_LEVEL=WARN",
        "DIND_LOG_FORMAT=jsn",
        "DIND_TCP=everywhere",
        "DIND_STOP_TIMEOUT=soon",
        "DIND_ROOTLESS_SINGLE_ID=maybe",
    ];
    let create = bad.iter().fold(lab.dind(), |create, pair| create.env(pair));
    let (container, output) = create.run_to_end();
    output.assert_refused("5 settings are not valid");
    for pair in bad {
        let name = pair.split('=').next().unwrap_or_default();
        assert!(
            output.stderr.contains(&format!("{name} takes: ")),
            "{output}"
        );
    }
    assert!(output.stderr.contains("write it as DIND_LOG_LEVEL=warn"));
    container.assert_untouched("/run");
}

/// A log that is read by a machine ends with a line for it, too.
#[test]
fn a_refusal_is_json_where_the_log_is() {
    let Some(lab) = Lab::find() else { return };
    let json = lab.dind().env("DIND_LOG_FORMAT=json");
    let (_, output) = json.args(["--host=udp://x:1"]).run_to_end();
    assert_eq!(output.code, 78, "{output}");
    let lines: Vec<serde_json::Value> = output
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).expect("every line is JSON"))
        .collect();
    let last = lines.last().expect("a line");
    assert_eq!(last["level"], "fatal");
    assert_eq!(last["exit_code"], 78);
    for key in ["time", "msg", "error", "why", "fix"] {
        assert!(
            last[key].as_str().is_some_and(|text| !text.is_empty()),
            "{key}"
        );
    }
}

/// What a kubelet shows as the reason of an end; it mounts the file.
#[test]
fn the_reason_of_an_end_is_left_in_the_termination_message() {
    let Some(lab) = Lab::find() else { return };
    let message = |script: &str| {
        let script = format!(
            "path=$1; shift; touch $path; chmod 0666 $path; {script} || echo \"exit $?\"; cat $path"
        );
        let shell = ["-c", &script, "sh", "/dev/termination-log"];
        let create = lab.dind().entrypoint("sh").args(shell);
        create.run_to_end().1.ok()
    };
    let start = "dockerd-entrypoint.sh";
    let refused = message(&format!("DIND_TCP=no {start}"));
    assert!(
        refused.starts_with("exit 78\nerror: DIND_TCP=\"no\""),
        "{refused}"
    );
    assert_eq!(refused.matches("  fix    ").count(), 1, "{refused}");
    let died = message(&format!("{start} --no-such-flag"));
    assert!(died.starts_with("exit 1\nerror: dockerd ended"), "{died}");
    assert!(died.contains("unknown flag: --no-such-flag"), "{died}");
    // A link is somebody else's file.
    let link = "rm $path; touch /tmp/other; ln -s /tmp/other $path; DIND_TCP=no";
    assert_eq!(message(&format!("{link} {start}")), "exit 78");
}
