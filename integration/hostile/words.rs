//! Strangers' text on somebody's terminal.

use crate::lab::Lab;
use crate::scene::{Scene, in_time};

/// A terminal obeys the first, a reader believes the second.
const TEXT: &str = r"'host\x1b]0;owned\x07\x1b[2J\nerror: forged\n  why    forged\r\x9bA'";

#[track_caller]
fn assert_harmless(text: &str) {
    assert!(
        !text.contains(['\u{1b}', '\u{7}', '\r', '\u{9b}']),
        "{text:?}"
    );
    let forged = text
        .lines()
        .any(|line| line.trim_start().starts_with("error: forged"));
    assert!(!forged, "{text:?}");
}

#[test]
fn the_owner_of_a_lock_is_told_without_what_a_terminal_obeys() {
    let Some(lab) = Lab::find() else { return };
    let scene = Scene::new(lab);
    scene.keep_attacking(&format!(
        "import fcntl, json
text = {TEXT}
held = open('.dind-init.lock', 'w+'); fcntl.flock(held, fcntl.LOCK_EX)
held.write(json.dumps(dict(host=text, container=text, since=text))); held.flush()
armed(); time.sleep(10000)"
    ));
    let (_dind, output) = scene.dind("/var/lib/docker").run_to_end();
    assert_eq!(output.code, 78, "{output}");
    assert!(output.stderr.contains("in use"), "{output}");
    assert_harmless(&output.stderr);
}

/// The name of a container is its owner's choice, and stands in the lock and in certificates.
#[test]
fn the_name_of_another_container_is_told_without_what_a_terminal_obeys() {
    let Some(lab) = Lab::find() else { return };
    let scene = Scene::new(lab);
    let rename = format!("python3 -c \"import socket; socket.sethostname({TEXT})\"");
    let first = scene.dind("/var/lib/docker").before(&rename).start();
    first.until_ours();
    first.docker(["version"]);
    let (_second, output) = scene.dind("/var/lib/docker").run_to_end();
    assert_eq!(output.code, 78, "{output}");
    assert_harmless(&output.stderr);
    assert_harmless(&first.log().stderr);
}

/// What answers in place of PID 1 is not believed, and not printed raw.
#[test]
fn a_status_of_a_neighbours_is_not_shown() {
    let Some(lab) = Lab::find() else { return };
    let scene = Scene::new(lab);
    let dind = scene.dind("/run").start();
    dind.docker(["version"]);
    scene.try_to("mv dind-init moved-away");
    scene.keep_attacking(
        r#"try: os.makedirs('dind-init')
except OSError: pass
text = b'{"state":"ready","pid":1,"dockerd":1,"socket":"/shared/x.sock","endpoints":["a\\u001b[2J\\nerror: forged"],"warnings":["owned by the neighbour"],"phases":[]}\n'
try:
    open('dind-init/status.json', 'wb').write(text)
    listener = socket.socket(socket.AF_UNIX); listener.bind('dind-init/status.sock')
    listener.listen(64)
except OSError: listener = None
armed()
while listener:
    client, _ = listener.accept()
    client.sendall(text); client.close()"#,
    );
    for words in [
        &["dind-init", "status"][..],
        &["dind-init", "status", "--json"],
    ] {
        let output = in_time(&dind, words);
        assert_harmless(&output.stdout);
        assert_harmless(&output.stderr);
        assert!(
            !output.stdout.contains("owned by the neighbour"),
            "{output}"
        );
    }
    // The neighbour names another socket, on which nobody or anybody answers.
    in_time(&dind, &["dind-init", "probe"]).ok();
    in_time(&dind, &["dind-init", "probe", "--live"]).ok();
    assert_eq!(dind.stop(), "0");
}
