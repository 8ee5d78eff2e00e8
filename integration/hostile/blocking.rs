//! What would hold a start up for ever, or eat memory without a bound: full backlogs, pipes,
//! devices that never end, a database that takes longer the more of it there is.

use crate::container::Create;
use crate::lab::Lab;
use crate::scene::{Scene, answers_or_ends, in_time, works, works_stops_and_works_again};

/// Pipes and endless devices under the names that are read before dockerd starts.
const IN_THE_WAY: [&str; 3] = ["mkfifo", "ln -s /dev/zero", "truncate -s 1G"];

#[test]
fn a_socket_whose_backlog_is_full_is_refused_at_once() {
    let Some(lab) = Lab::find() else { return };
    let scene = Scene::new(lab);
    scene.keep_attacking("held = full('docker.sock'); armed(); time.sleep(10000)");
    let dind = scene
        .dind("/job")
        .env("DIND_SOCKET_PATHS=/job/docker.sock")
        .create();
    dind.start();
    if answers_or_ends(&dind) {
        works_stops_and_works_again(&dind);
    } else {
        assert!(
            dind.log().stderr.contains("/job/docker.sock"),
            "{}",
            dind.log()
        );
    }
}

/// The sockets that a killed daemon may have left are tried, too.
#[test]
fn full_backlogs_where_left_over_sockets_are_looked_for_hold_nobody_up() {
    let Some(lab) = Lab::find() else { return };
    let scene = Scene::new(lab);
    // containerd's own socket is at the second place: dockerd's start would end there by itself.
    scene.keep_attacking(
        "os.makedirs('containerd'); os.makedirs('docker/libnetwork')
held = [full('containerd/containerd.sock'), full('docker/libnetwork/feed.sock')]
armed(); time.sleep(10000)",
    );
    let dind = scene.dind("/run").start();
    works(&dind);
    assert_eq!(dind.stop(), "0", "{}", dind.log());
}

/// The status socket is not ours when a neighbour made it.
#[test]
fn a_full_backlog_where_the_status_is_asked_for_does_not_hold_a_probe_up() {
    let Some(lab) = Lab::find() else { return };
    let scene = Scene::new(lab);
    let dind = scene.dind("/run").start();
    works(&dind);
    scene.try_to("mv dind-init moved-away");
    scene.keep_attacking(
        "try: os.makedirs('dind-init')
except FileExistsError: pass
try: held = full('dind-init/status.sock'); open('dind-init/status.json', 'w').write('{}')
except OSError: pass
armed(); time.sleep(10000)",
    );
    works(&dind);
    in_time(&dind, &["dind-init", "status"]);
    assert_eq!(dind.stop(), "0", "{}", dind.log());
}

#[test]
fn what_is_in_place_of_a_pid_file_of_containerd_holds_nobody_up() {
    let Some(lab) = Lab::find() else { return };
    for plant in IN_THE_WAY {
        let scene = Scene::new(lab);
        scene.attack("mkdir -p docker/containerd docker/libnetwork");
        scene.attack(&format!("{plant} docker/containerd/containerd.pid"));
        reaches_dockerd(scene.dind("/run"));
        scene.assert_nothing_outside_changed();
    }
}

#[test]
fn what_is_in_place_of_a_file_of_the_data_root_holds_nobody_up() {
    let Some(lab) = Lab::find() else { return };
    for plant in IN_THE_WAY {
        for name in [
            ".dind-init.json",
            ".dind-init.lock",
            "image/overlay2/repositories.json",
            "network/files/local-kv.db",
        ] {
            let scene = Scene::new(lab);
            scene.attack("mkdir -p network/files image/overlay2 overlay2/mine");
            scene.attack(&format!("{plant} {name}"));
            reaches_dockerd(scene.dind("/var/lib/docker"));
        }
    }
}

/// Each beginning is a value that ends where the file does: the time to look through it must not
/// grow with the square of its size.
#[test]
fn a_database_of_beginnings_is_looked_through_in_time() {
    let Some(lab) = Lab::find() else { return };
    let scene = Scene::new(lab);
    scene.attack(
        r#"mkdir -p network/files
        yes '{"AddressIPv4":"1","a":' | tr -d '\n' | head -c 8388608 >network/files/local-kv.db"#,
    );
    reaches_dockerd(scene.dind("/var/lib/docker"));
}

#[test]
fn wait_keeps_its_time_whatever_is_in_place_of_a_certificate() {
    let Some(lab) = Lab::find() else { return };
    let scene = Scene::new(lab);
    let client = scene
        .give(scene.lab.dind(), "/certs")
        .env("DOCKER_HOST=tcp://127.0.0.1:2376")
        .env("DOCKER_TLS_VERIFY=1")
        .options(["--memory", "256m"])
        .args(["sleep", "infinity"])
        .start();
    for (number, plant) in IN_THE_WAY.iter().enumerate() {
        for name in ["ca.pem", "cert.pem", "key.pem"] {
            let folder = format!("{number}-{name}");
            scene.attack(&format!("mkdir {folder}; {plant} {folder}/{name}"));
            let place = format!("DOCKER_CERT_PATH=/certs/{folder}");
            let wait = ["env", &place, "dind-init", "wait", "--timeout", "1s"];
            let output = in_time(&client, &wait);
            assert_ne!(output.code, 0, "{plant} {name}: {output}");
            assert!(
                output.stderr.contains("error: "),
                "{plant} {name}: {output}"
            );
            // The entrypoint of clients looks at the same files, and must come to its command.
            let entrypoint = ["env", &place, "docker-entrypoint.sh", "echo", "came"];
            let output = in_time(&client, &entrypoint);
            assert!(output.stdout.contains("came"), "{plant} {name}: {output}");
        }
    }
}

/// In front of dockerd, which is asked for its version as well.
const REACHED: &str = r#"case "$*" in *version*) ;; *) touch /reached ;; esac"#;

/// We come as far as dockerd, or say in so many words why not; what dockerd makes of a neighbour's
/// files is its own affair.
#[track_caller]
fn reaches_dockerd(create: Create) {
    let dind = create
        .options(["--memory", "1g"])
        .before_dockerd(REACHED)
        .start();
    let wait = "until [ -e /reached ]; do sleep 0.02; done";
    let reached = dind.exec(["timeout", "--kill-after=2", "30", "sh", "-c", wait]);
    if reached.code != 0 {
        let running = dind.inspect("{{.State.Running}}");
        assert_ne!(running, "true", "it hung: {reached}");
        let killed = dind.inspect("{{.State.OOMKilled}} {{.State.ExitCode}}");
        assert_eq!(killed, "false 78");
        assert!(dind.log().stderr.contains("error: "), "{}", dind.log());
    }
}
