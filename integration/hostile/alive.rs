//! `probe --live` asks PID 1 itself, and not the kernel that queues connections for it.

use crate::container::Container;
use crate::lab::Lab;
use crate::scene::{Scene, in_time, works};

/// A signal for a container's PID 1 that only somebody outside can send it.
fn signal_from_outside(lab: &'static Lab, dind: &Container, name: &str) {
    let pid = dind.inspect("{{.State.Pid}}");
    let (_killer, output) = lab
        .base("forky")
        .options(["--privileged", "--pid", "host"])
        .args(["kill", &format!("-{name}"), &pid])
        .run_to_end();
    output.ok();
}

#[test]
fn a_pid_1_that_is_stuck_is_not_live() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().start();
    works(&dind);
    signal_from_outside(lab, &dind, "STOP");
    let stuck = in_time(&dind, &["dind-init", "probe", "--live"]);
    signal_from_outside(lab, &dind, "CONT");
    assert_eq!(stuck.code, 1, "{stuck}");
    works(&dind);
    assert_eq!(dind.stop(), "0");
}

/// The neighbour answers in place of a dead or a stuck PID 1.
#[test]
fn nobody_answers_in_place_of_pid_1() {
    let Some(lab) = Lab::find() else { return };
    let scene = Scene::new(lab);
    let dind = scene.dind("/run").start();
    works(&dind);
    scene.try_to("mv dind-init moved-away; mkdir dind-init");
    scene.keep_attacking(
        r#"import threading
text = b'{"state":"ready","pid":1,"dockerd":1,"socket":"/run/x.sock","endpoints":[],"warnings":[],"phases":[]}\n'
def serve(path, text):
    try:
        listener = socket.socket(socket.AF_UNIX); listener.bind(path); listener.listen(64)
    except OSError: return
    while True:
        client, _ = listener.accept()
        client.sendall(text); client.close()
for path, text in ('dind-init/status.sock', text), ('x.sock', b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK'):
    threading.Thread(target=serve, args=(path, text), daemon=True).start()
try: open('dind-init/status.json', 'wb').write(text)
except OSError: pass
armed(); time.sleep(10000)"#,
    );
    signal_from_outside(lab, &dind, "STOP");
    let stuck = in_time(&dind, &["dind-init", "probe", "--live"]);
    signal_from_outside(lab, &dind, "CONT");
    assert_eq!(stuck.code, 1, "{stuck}");
    works(&dind);
    let probe = in_time(&dind, &["dind-init", "probe"]).ok();
    assert!(!probe.contains("x.sock"), "{probe}");
    assert_eq!(dind.stop(), "0");
}
