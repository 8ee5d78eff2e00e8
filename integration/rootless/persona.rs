//! `rootlesskit` by name.

use crate::container::Container;
use crate::lab::{Lab, NESTED, until};
use crate::outer::unprivileged;
use crate::workload;

fn idle(lab: &'static Lab) -> Container {
    unprivileged(lab)
        .option("--init")
        .entrypoint("sleep")
        .args(["infinity"])
        .start()
}

#[test]
fn a_commands_exit_code_is_ours() {
    let Some(lab) = Lab::find() else { return };
    let container = idle(lab);
    for (words, code) in [
        (&["sh", "-c", "exit 42"][..], 42),
        (
            &["--net=slirp4netns", "--copy-up=/etc", "sh", "-c", "exit 42"],
            42,
        ),
        (
            &[
                "--net=pasta",
                "--pidns",
                "--copy-up=/run",
                "sh",
                "-c",
                "exit 43",
            ],
            43,
        ),
        (&["sh", "-c", "kill -9 $$"], 137),
        (&["no-such-command"], 127),
        (&["/etc/passwd"], 126),
        (&["--no-such-flag", "true"], 78),
        (&[], 2),
    ] {
        let output = container.exec([&["rootlesskit"], words].concat());
        assert_eq!(output.code, code, "{output}");
    }
    assert_eq!(
        container.sh("ls -d /tmp/rootlesskit* 2>/dev/null || true"),
        ""
    );
}

#[test]
fn a_command_is_root_of_its_own_network() {
    let Some(lab) = Lab::find() else { return };
    let container = idle(lab);
    let script = "id -u; cat /etc/resolv.conf; ip -br addr | cut -c 1-4; cat";
    let run = format!("echo in | rootlesskit --net=slirp4netns --copy-up=/etc sh -ec '{script}'");
    assert_eq!(container.sh(&run), "0\nnameserver 10.0.2.3\nlo  \ntap0\nin");
}

/// Debian's own script, unchanged, with our persona in rootlesskit's place.
#[test]
fn debians_script_starts_a_daemon() {
    let Some(lab) = Lab::find() else { return };
    let container = idle(lab);
    container.sh("export XDG_RUNTIME_DIR=/run/user/1000
         mkdir -p -m 0700 $XDG_RUNTIME_DIR
         sh /usr/share/docker.io/contrib/dockerd-rootless.sh >/tmp/log 2>&1 &
         echo $! >/tmp/script");
    until("the socket", || {
        (container.exec(["docker", "version"]).code == 0).then_some(())
    });
    container.import_nested();
    workload::run(&container);
    let security = container.docker(["info", "--format", "{{.SecurityOptions}}"]);
    assert!(security.contains("rootless"), "{security}");
    container.docker(["run", "--detach", NESTED, "sleep", "infinity"]);
    container.sh("kill -TERM $(cat /tmp/script)");
    until("the end of the script", || {
        (container.exec(["pgrep", "-x", "dockerd"]).code == 1).then_some(())
    });
}
