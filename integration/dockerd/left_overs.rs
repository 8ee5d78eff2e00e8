//! What a killed daemon leaves, in its worst forms: every pid belongs to somebody else by now.

use crate::lab::Lab;

/// A dead socket; bash and coreutils have no way to make one.
const DEAD_SOCKET: &str = r#"
    dead() { python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$1"; }"#;

#[test]
fn pid_files_that_name_a_living_stranger_do_not_stop_the_start() {
    let Some(lab) = Lab::find() else { return };
    let strangers = r"
        sleep infinity & stranger=$!
        mkdir -p /run/docker/containerd /run/deep/down /data
        for file in docker.pid docker/containerd/containerd.pid deep/down/Docker-other.pid; do
            echo $stranger >/run/$file
        done
        echo $stranger >/data/mine.pid
        echo $stranger >/run/other.pid
        echo $stranger >/run/stranger";
    let dind = lab
        .dind()
        .args(["--pidfile", "/data/mine.pid"])
        .before(strangers)
        .start();
    dind.until_ours();
    dind.docker(["version"]);
    let stranger = dind.sh("cat /run/stranger");
    dind.sh(&format!("kill -0 {stranger}"));
    assert_ne!(dind.sh("cat /data/mine.pid"), stranger);
    assert_ne!(
        dind.sh("cat /run/docker/containerd/containerd.pid"),
        stranger
    );
    dind.sh("[ ! -e /run/docker.pid ] && [ ! -e /run/deep/down/Docker-other.pid ]");
    assert_eq!(
        dind.sh("cat /run/other.pid"),
        stranger,
        "that is nobody's of ours"
    );
    assert_eq!(dind.stop(), "0");
}

#[test]
fn dead_sockets_are_replaced() {
    let Some(lab) = Lab::find() else { return };
    let script = format!(
        "{DEAD_SOCKET}
        mkdir -p /run/containerd /run/docker/containerd /run/dind-init
        for file in docker.sock containerd/containerd.sock docker/containerd/containerd.sock; do
            dead /run/$file
        done
        dead /run/dind-init/notify.sock"
    );
    let dind = lab.dind().before(&script).start();
    dind.until_ours();
    dind.docker(["version"]);
    dind.sh("[ ! -e /run/containerd/containerd.sock ]");
    assert_eq!(dind.stop(), "0");
}

/// containerd takes its own directories for tasks and waits for their shims; runc refuses to make
/// a container whose directory it has already.
#[test]
fn directories_of_tasks_of_a_dead_containerd_are_removed() {
    let Some(lab) = Lab::find() else { return };
    let tasks = "/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/feed";
    let state = "/run/docker/runtime-runc/moby/feed";
    let script = format!("mkdir -p {tasks} {state}; echo 4194304 >{tasks}/init.pid");
    let dind = lab.dind().before(&script).start();
    dind.until_ours();
    dind.docker(["version"]);
    dind.sh(&format!("[ ! -e {tasks} ] && [ ! -e {state} ]"));
    assert_eq!(dind.stop(), "0");
}

/// Whatever is in them.
#[test]
fn pid_files_of_garbage_are_removed() {
    let Some(lab) = Lab::find() else { return };
    let mut create = lab.dind().file("/run/docker.pid", 0o644, "garbage");
    for (index, text) in ["", "\n", "0", "-1", "99999999999999999999", "1\n2\n"]
        .iter()
        .enumerate()
    {
        create = create.file(&format!("/run/docker-{index}.pid"), 0o644, text);
    }
    let dind = create.start();
    dind.docker(["version"]);
    assert_eq!(dind.sh("ls /run | grep pid"), "docker.pid");
    let pid = dind.sh("cat /run/docker.pid");
    assert_eq!(dind.sh(&format!("cat /proc/{pid}/comm")), "dockerd");
}

/// Every container has a process of that number.
#[test]
fn a_pid_file_that_names_pid_1_does_not_stop_the_start() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().file("/run/docker.pid", 0o644, "1").start();
    dind.docker(["version"]);
    assert_ne!(dind.sh("cat /run/docker.pid"), "1");
}
