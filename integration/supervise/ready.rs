use rustix::process::Signal;

use crate::harness::{Outer, can_run, start};

#[test]
fn every_channel_says_that_it_is_ready_and_that_it_is_not_any_more() {
    if !can_run() {
        return;
    }
    let start = start("");
    let outer = Outer::bind(&start.path("outer"));
    let path = start.path("outer");
    let mut dind = start.env("NOTIFY_SOCKET", path).run();
    dind.says("ready after");
    outer.hears("READY=1");
    outer.hears("STATUS=ready");
    assert!(dind.path("ready").exists());
    let status = dind.status();
    assert_eq!(
        (&status["state"], &status["restarts"]),
        (&"ready".into(), &0.into())
    );
    assert!(dind.request("/_ping").starts_with("HTTP/1.1 200"));

    dind.signal(Signal::HUP);
    dind.says("stub: HUP");
    outer.hears("RELOADING=1");
    dind.signal(Signal::USR1);
    dind.says("stub: USR1");

    let socket = dind.inside("/run/dind-init/status.sock");
    dind.stops();
    outer.hears("STOPPING=1");
    outer.hears("EXTEND_TIMEOUT_USEC=14000000");
    outer.hears("STATUS=ended");
    assert!(!dind.path("ready").exists());
    assert!(!dind.path("docker.sock").exists());
    assert!(!socket.exists());
}

#[test]
fn a_ready_file_of_an_earlier_start_is_not_believed() {
    if !can_run() {
        return;
    }
    let start = start("fails=1");
    std::fs::write(start.path("ready"), "").unwrap();
    let mut dind = start.run();
    assert_eq!(dind.ends(), 1);
    assert!(!dind.path("ready").exists());
}
