//! The network driver: what it may do, and what happens when it dies.

use crate::container::Container;
use crate::lab::{Lab, NESTED, until};
use crate::outer::{inside, privileged, unprivileged};

/// A nested container reaches the outer container's address through the driver.
#[track_caller]
fn reaches_out(dind: &Container) {
    let outer = dind.sh("hostname -i | cut -d ' ' -f 1");
    let ask = format!("nc -w 5 {outer} 7777 </dev/null");
    until("an answer from outside", || {
        dind.exec([
            "sh",
            "-c",
            "printf out | timeout 20 nc -l -p 7777 -q 0 & sleep 0",
        ]);
        let answer = dind.exec(["docker", "run", "--rm", NESTED, "sh", "-c", &ask]);
        (answer.stdout == "out").then_some(())
    });
}

fn survives(driver: &str) {
    let Some(lab) = Lab::find() else { return };
    let dind = unprivileged(lab)
        .env(&format!("DOCKERD_ROOTLESS_ROOTLESSKIT_NET={driver}"))
        .start();
    dind.import_nested();
    reaches_out(&dind);
    let routes = inside(&dind, "ip route show dev tap0; ip -4 addr show tap0");
    assert!(routes.contains("default via 10.0.2.2"), "{routes}");
    for _ in 0..2 {
        let old = dind.sh(&format!("pgrep -o {driver}"));
        dind.sh(&format!("kill -9 {old}"));
        until("another driver", || {
            let new = dind.exec(["pgrep", "-o", driver]).stdout;
            (!new.is_empty() && new.trim() != old).then_some(())
        });
        assert_eq!(
            inside(&dind, "ip route show dev tap0; ip -4 addr show tap0"),
            routes
        );
        reaches_out(&dind);
    }
    assert_eq!(dind.stop(), "0");
}

#[test]
fn slirp4netns_comes_back_and_routes_stay() {
    survives("slirp4netns");
}

#[test]
fn pasta_comes_back_and_routes_stay() {
    survives("pasta");
}

#[test]
fn slirp4netns_is_confined() {
    let Some(lab) = Lab::find() else { return };
    let dind = unprivileged(lab).start();
    dind.docker(["version"]);
    let status = "grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/$(pgrep slirp4netns)/status";
    assert_eq!(
        dind.sh(status).replace('\t', " "),
        "CapEff: 0000000000000400\nNoNewPrivs: 1\nSeccomp: 2"
    );
}

/// A listener on loopback outside is not there for nested containers.
#[test]
fn loopback_outside_cannot_be_reached_from_inside() {
    let Some(lab) = Lab::find() else { return };
    for driver in ["slirp4netns", "pasta"] {
        let dind = unprivileged(lab)
            .env(&format!("DOCKERD_ROOTLESS_ROOTLESSKIT_NET={driver}"))
            .start();
        dind.import_nested();
        dind.exec([
            "sh",
            "-c",
            "busybox httpd -p 127.0.0.1:7777 -h /etc; busybox httpd -p 7778 -h /etc",
        ]);
        assert_eq!(
            dind.exec(["curl", "-sf", "http://127.0.0.1:7777/hostname"])
                .code,
            0
        );
        let outer = dind.sh("hostname -i | cut -d ' ' -f 1");
        let get = |address: &str| format!("wget -q -T 3 -O - http://{address}/hostname");
        let inner = |words: &str| dind.exec(["docker", "run", "--rm", NESTED, "sh", "-c", words]);
        assert_eq!(
            inner(&get(&format!("{outer}:7778"))).code,
            0,
            "the listener serves"
        );
        for address in ["10.0.2.2:7777", "10.0.2.2:7778"] {
            assert_ne!(inner(&get(address)).code, 0, "{driver} {address}");
        }
        let script = "! curl -sf -m 3 http://127.0.0.1:7777/hostname";
        inside(&dind, script);
    }
}

/// A driver that hangs holds up nobody who stops the container.
#[test]
fn a_stop_does_not_wait_for_a_driver() {
    let Some(lab) = Lab::find() else { return };
    let dind = privileged(lab)
        .file(
            "/usr/local/bin/hangs",
            0o755,
            "#!/bin/sh\necho once >>/tmp/starts\nexec sleep infinity\n",
        )
        .env("DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS=--slirp4netns-binary=hangs")
        .start();
    until("a driver that hangs", || {
        let starts = dind.exec(["cat", "/tmp/starts"]).stdout;
        (starts == "once\n").then_some(())
    });
    // Had it waited, the driver would have been given up, and started again without its sandbox.
    assert_eq!(dind.stop(), "0");
    dind.until_log("asked to stop while slirp4netns was starting");
}
