//! The unix sockets of the API in a directory of the neighbour's, who is faster than any system
//! call that names them again; and the sockets that somebody else passes to us.

use crate::lab::Lab;
use crate::scene::{Scene, comes_true, in_time, works};

/// Starts that get as far as the sockets, and are refused right after them: the certificates cannot
/// be written. They take milliseconds each.
const MANY_STARTS: &str = "
    for try in $(seq 150); do
        timeout 10 dockerd-entrypoint.sh >/dev/null 2>>/refusals && exit 9
        rm -f /job/docker.sock
    done
    grep -c '^error: ' /refusals";

/// Whoever wins between two system calls must win nothing: 20 of 105 tries once did.
#[test]
fn owner_and_mode_of_a_socket_never_reach_what_a_neighbour_put_in_its_place() {
    let Some(lab) = Lab::find() else { return };
    let scene = Scene::new(lab);
    scene.keep_attacking(
        "def trap():
    try: os.symlink('/outside/secret', 'trap')
    except FileExistsError: pass
trap(); armed()
while True:
    if exchange('docker.sock', 'trap'):
        time.sleep(0.002)
        for name in 'trap', 'docker.sock':
            try: os.unlink(name)
            except OSError: pass
        trap()",
    );
    let dind = scene
        .dind("/job")
        .env("DIND_SOCKET_PATHS=/job/docker.sock")
        .env("DIND_SOCKET_MODE=0666")
        .env("DIND_SOCKET_GID=1000")
        .env("DOCKER_TLS_CERTDIR=/certs")
        .options(["--tmpfs", "/certs:ro"])
        .entrypoint("sleep")
        .args(["infinity"])
        .start();
    dind.sh(MANY_STARTS);
    scene.assert_nothing_outside_changed();
}

/// Not even for an instant: who has opened it then has it.
#[test]
fn a_socket_is_never_open_to_more_users_than_it_will_be() {
    let Some(lab) = Lab::find() else { return };
    let scene = Scene::new(lab);
    scene.keep_attacking(
        "widest = 0; armed()
while True:
    try: mode = os.stat('docker.sock').st_mode & 0o777
    except OSError: continue
    if mode & 0o007: open('seen', 'w').write(oct(mode))
    try:
        client = socket.socket(socket.AF_UNIX); client.connect('docker.sock')
        open('entered', 'w').close()
    except OSError: pass
    client.close()",
    );
    let dind = scene
        .dind("/job")
        .env("DIND_SOCKET_PATHS=/job/docker.sock")
        .env("DOCKER_TLS_CERTDIR=/certs")
        .options(["--tmpfs", "/certs:ro"])
        .entrypoint("sleep")
        .args(["infinity"])
        .start();
    dind.sh(&format!("umask 0\n{MANY_STARTS}"));
    let seen = scene.guard("cat /shared/seen 2>/dev/null || :; ls /shared");
    assert!(!seen.contains("0o") && !seen.contains("entered"), "{seen}");
}

/// As systemd passes sockets: the first one is descriptor 3.
pub(crate) const ACTIVATE: &str = r#"
    exec python3 -c '
import os, socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("0.0.0.0", 2375)); listener.listen(64)
if listener.fileno() != 3: os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="mine")
os.execvp(sys.argv[1], sys.argv[1:])' "#;

#[test]
fn a_command_gets_neither_the_sockets_nor_their_variables() {
    let Some(lab) = Lab::find() else { return };
    let job = "ls -l /proc/self/fd >/descriptors; env >/environment; touch /done; sleep infinity";
    let dind = lab
        .dind()
        .entrypoint("sh")
        .args(["-c"])
        .args([&*format!(
            "{ACTIVATE} dind-init run dockerd --host=fd:// --exec -- sh -c '{job}'"
        )])
        .start();
    comes_true(&dind, "[ -e /done ]");
    let descriptors = dind.sh("cat /descriptors");
    assert!(!descriptors.contains("socket:"), "{descriptors}");
    let environment = dind.sh("cat /environment");
    assert!(!environment.contains("LISTEN_"), "{environment}");
    // And it is served.
    dind.sh("timeout 30 curl -sSf http://127.0.0.1:2375/_ping");
}

/// A nested container that has the socket's directory must not be able to speak for dockerd.
#[test]
fn nobody_but_dockerd_says_that_it_is_ready() {
    let Some(lab) = Lab::find() else { return };
    // What is left of the first one's containerd, by its name, holds the second one up.
    let second = r#"case "$*" in *version*) ;; *)
        if [ -e /lived ]; then touch /lives; until [ -e /go ]; do sleep 0.02; done; fi
        touch /lived
        cp /usr/bin/sleep /tmp/containerd 2>/dev/null || :
        /tmp/containerd 1000 & ;;
    esac"#;
    // Root of a foreign pid namespace, without a single right: its pid is 0 for everybody here.
    let scene = Scene::beside(lab, &["--user", "0"]);
    let dind = scene
        .dind("/run")
        .env("DIND_RESTART=on-failure")
        .before_dockerd(second)
        .start();
    works(&dind);
    scene.keep_attacking(
        "sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
armed()
while True:
    for place in 'dind-init', '.':
        try: sender.sendto(b'READY=1', place + '/notify.sock')
        except OSError: pass
    time.sleep(0.001)",
    );
    dind.sh("kill -9 $(cat /run/docker.pid)");
    dind.until_log("is started again in");
    // dockerd's wrapper is there, and waits: until it goes on nothing can be ready.
    comes_true(&dind, "[ -e /lives ]");
    dind.sh("sleep 7; [ ! -e /run/dind-init/ready ]"); // what may be believed meanwhile
    let log = dind.log().stderr;
    assert!(!log.contains("dockerd is ready again"), "{log}");
    dind.sh("touch /go");
    dind.until_log("dockerd is ready again");
    works(&dind);
    assert_eq!(dind.stop(), "0");
}

/// Whoever may speak at all may not speak all the time: the loop does other things meanwhile.
#[test]
fn a_flood_of_notices_does_not_keep_pid_1_from_its_work() {
    let Some(lab) = Lab::find() else { return };
    let scene = Scene::beside(lab, &["--user", "0"]);
    let dind = scene.dind("/run").start();
    works(&dind);
    scene.keep_attacking(
        "for n in range(12):
    if os.fork() == 0: break
sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
armed()
while True:
    for place in 'dind-init', '.':
        try:
            while True: sender.sendto(b'RELOADING=1', place + '/notify.sock')
        except OSError: pass
    time.sleep(0.001)",
    );
    for _ in 0..2 {
        works(&dind);
        let status = in_time(&dind, &["dind-init", "status"]).ok();
        assert!(status.contains("ready"), "{status}");
        // Orphans are reaped.
        dind.sh("sh -c 'sleep 0 & exec true'");
    }
    assert_eq!(dind.stop(), "0", "{}", dind.log());
}

/// Who started us is told how it goes, if it listens: it is no reason to wait.
#[test]
fn a_receiver_of_our_own_notices_that_does_not_read_holds_nobody_up() {
    let Some(lab) = Lab::find() else { return };
    let scene = Scene::new(lab);
    scene.keep_attacking(
        "receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); receiver.bind('outer.sock')
sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); sender.setblocking(False)
try:
    while True: sender.sendto(b'x', 'outer.sock')
except BlockingIOError: pass
armed(); time.sleep(10000)",
    );
    let dind = scene
        .dind("/job")
        .env("NOTIFY_SOCKET=/job/outer.sock")
        .start();
    works(&dind);
    comes_true(&dind, "dind-init status | grep -q '^state *ready'");
    assert_eq!(dind.stop(), "0", "{}", dind.log());
}
