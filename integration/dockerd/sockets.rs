//! The unix sockets: owner, mode, and what may be in their way; and how dockerd gets them all.

use crate::lab::Lab;

#[test]
fn the_socket_belongs_to_the_group_docker_unless_a_number_is_given() {
    let Some(lab) = Lab::find() else { return };
    for (words, expected) in [
        (&[][..], "0 2375 660"),
        (&["--group", "4242"], "0 4242 660"),
        (&["dockerd", "-G4242"], "0 4242 660"),
    ] {
        let dind = lab.dind().args(words.iter().copied()).start();
        dind.docker(["version"]);
        assert_eq!(
            dind.sh("stat -c '%u %g %a' /run/docker.sock"),
            expected,
            "{words:?}"
        );
    }
}

#[test]
fn owner_mode_and_more_paths_are_settings_and_all_paths_go_away() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab
        .dind()
        .env("DIND_SOCKET_GID=1234")
        .env("DIND_SOCKET_MODE=0606")
        .env("DIND_SOCKET_PATHS=/run/a.sock, /run/deep/down/b.sock")
        .args(["--group", "4242"])
        .start();
    for path in ["/run/docker.sock", "/run/a.sock", "/run/deep/down/b.sock"] {
        assert_eq!(
            dind.sh(&format!("stat -c '%u %g %a' {path}")),
            "0 1234 606",
            "{path}"
        );
        dind.docker(["--host", &format!("unix://{path}"), "version"]);
    }
    assert_eq!(dind.stop(), "0");
    dind.assert_tidy();
}

/// The outer daemon's socket, mounted by mistake or on purpose, serves its clients on.
#[test]
fn a_live_socket_that_is_mounted_is_refused_and_serves_its_owner_on() {
    let Some(lab) = Lab::find() else { return };
    let shared = lab.volume();
    let owner = lab
        .dind()
        .volume(&shared, "/shared")
        .env("DIND_SOCKET_PATHS=/shared/docker.sock")
        .start();
    owner.docker(["--host", "unix:///shared/docker.sock", "version"]);
    let inode = owner.sh("stat -c %i /shared/docker.sock");

    let mount = "touch /run/docker.sock; mount --bind /shared/docker.sock /run/docker.sock";
    let (second, output) = lab
        .dind()
        .volume(&shared, "/shared")
        .before(mount)
        .run_to_end();
    output.assert_refused("/var/run/docker.sock is in use");
    assert!(output.stderr.contains("mounted from outside"), "{output}");
    second.assert_untouched("/run/dind-init");

    assert_eq!(owner.sh("stat -c %i /shared/docker.sock"), inode);
    owner.docker(["--host", "unix:///shared/docker.sock", "version"]);
}

/// A second daemon on a shared volume must not take the path of the first.
#[test]
fn a_live_socket_of_another_daemon_is_refused_and_a_dead_one_is_replaced() {
    let Some(lab) = Lab::find() else { return };
    let shared = lab.volume();
    let create = || {
        let paths = "DIND_SOCKET_PATHS=/shared/docker.sock";
        lab.dind().volume(&shared, "/shared").env(paths)
    };
    let first = create().start();
    first.docker(["--host", "unix:///shared/docker.sock", "version"]);
    let (_second, output) = create().run_to_end();
    output.assert_refused("/shared/docker.sock is in use");
    first.docker(["--host", "unix:///shared/docker.sock", "version"]);

    first.signal("KILL");
    assert_eq!(first.wait(), "137");
    let third = create().start();
    third.docker(["--host", "unix:///shared/docker.sock", "version"]);
}

/// `-v /var/run/docker.sock:…` of a path that does not exist leaves a directory.
#[test]
fn an_empty_directory_makes_room_and_one_with_content_is_refused() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().directory("/run/docker.sock").start();
    dind.docker(["version"]);

    let (dind, output) = lab
        .dind()
        .file("/run/docker.sock/mine", 0o644, "mine")
        .run_to_end();
    output.assert_refused("/var/run/docker.sock is a directory");
    let copy = lab.docker(["cp", &format!("{}:/run/docker.sock/mine", dind.id), "-"]);
    assert!(copy.stdout.contains("mine"), "{copy}");
}

#[test]
fn a_file_at_the_sockets_path_is_refused_and_kept() {
    let Some(lab) = Lab::find() else { return };
    let (dind, output) = lab
        .dind()
        .file("/run/docker.sock", 0o644, "precious")
        .run_to_end();
    output.assert_refused("/var/run/docker.sock exists");
    let copy = lab.docker(["cp", &format!("{}:/run/docker.sock", dind.id), "-"]);
    assert!(copy.stdout.contains("precious"), "{copy}");
}

/// What the process that becomes dockerd was started with, by its child: a redirection of its own
/// would show up among its descriptors.
const RECORD: &str = r"
    sh -c 'ls -l /proc/$PPID/fd >/run/descriptors'
    cat /proc/$$/environ >/run/environment
    cat /proc/net/unix >/run/unix
    cat /proc/net/tcp6 >/run/tcp6";

#[test]
fn dockerd_gets_the_listening_sockets_from_descriptor_3_on_and_nothing_else() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab
        .dind()
        .env("DIND_SOCKET_PATHS=/run/a.sock")
        .args(["--host=tcp://[::]:2390"])
        .before_dockerd(RECORD)
        .start();
    dind.docker(["version"]);

    // Ten is the script that the shell reads.
    let descriptors = dind.sh("sed -n 's/.* \\([0-9]*\\) -> /\\1 /p' /run/descriptors |
            grep -v '^10 /usr/local/sbin/dockerd$' | sort -n");
    let lines: Vec<(&str, &str)> = descriptors
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let numbers: Vec<&str> = lines.iter().map(|(number, _)| *number).collect();
    let expected = ["0", "1", "2", "3", "4", "5", "6"];
    assert_eq!(numbers, expected, "{descriptors}");
    let inode = |fd: usize| {
        let target = lines[fd].1.strip_prefix("socket:[");
        let target = target.and_then(|rest| rest.strip_suffix(']'));
        target.unwrap_or_else(|| panic!("{fd} is no socket: {descriptors}"))
    };
    // In /proc/net/unix flag 00010000 is a listening socket, in tcp6 state 0A.
    let unix = |path: &str| {
        dind.sh(&format!(
            "awk '$4 == \"00010000\" && $8 == \"{path}\" {{ print $7 }}' /run/unix"
        ))
    };
    let tcp = |port: &str| {
        dind.sh(&format!(
            "awk '$2 ~ /:{port}$/ && $4 == \"0A\" {{ print $10 }}' /run/tcp6"
        ))
    };
    let expected = [
        unix("/var/run/docker.sock"),
        tcp("0947"),
        tcp("0956"),
        unix("/run/a.sock"),
    ];
    assert_eq!(
        [inode(3), inode(4), inode(5), inode(6)],
        expected.each_ref().map(String::as_str)
    );

    let environment = dind.sh("tr '\\0' '\\n' </run/environment");
    let variable = |name: &str| {
        let line = environment
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {name} in {environment}"))
    };
    assert_eq!(variable("LISTEN_FDS"), "4");
    assert_eq!(variable("LISTEN_FDNAMES").split(':').count(), 4);
    let pid: u32 = variable("LISTEN_PID").parse().expect("a number");
    assert_eq!(pid.to_string(), dind.sh("cat /run/docker.pid"));
}
