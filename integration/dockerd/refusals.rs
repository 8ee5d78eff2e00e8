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
