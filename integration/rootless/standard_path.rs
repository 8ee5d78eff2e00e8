//! `/var/run/docker.sock`, which clients know and a user cannot make.

use crate::container::{Container, Create};
use crate::lab::{Lab, NESTED};
use crate::outer::{Engine, SOCKET, unprivileged, unprivileged_on};

const STANDARD: &str = "unix:///var/run/docker.sock";

/// A client that knows nothing of us, outside and in a nested container that mounts the path.
#[track_caller]
fn everybody_finds_it(dind: &Container) {
    let version = dind.sh("unset DOCKER_HOST; docker version --format '{{.Server.Version}}'");
    assert!(!version.is_empty());
    dind.import_nested();
    let mounts = [
        "/var/run/docker.sock:/var/run/docker.sock",
        "/usr/local/bin/dind-init:/dind-init",
    ];
    let run = ["run", "--rm", "-v", mounts[0], "-v", mounts[1], NESTED];
    dind.docker(
        run.into_iter()
            .chain(["/dind-init", "wait", "--timeout=30s"]),
    );
    dind.sh("dind-init probe");
}

/// The image as it is, `docker exec C docker …`.
#[test]
fn clients_need_no_setting() {
    let Some(lab) = Lab::find() else { return };
    for engine in Engine::ALL {
        let dind = unprivileged_on(lab, engine).env("DOCKER_HOST=").start();
        dind.sh("dind-init wait --quiet");
        everybody_finds_it(&dind);
    }
    let root = unprivileged(lab)
        .options(["--user", "0"])
        .env("DIND_ROOTLESS=1")
        .env("DIND_ROOTLESS_USER=1001")
        .env("HOME=")
        .env("DOCKER_HOST=")
        .before(
            "echo other:x:1001:1001::/home/other:/bin/sh >>/etc/passwd\nmkdir -m 0777 /home/other",
        )
        .start();
    root.until_log("API listen on");
    everybody_finds_it(&root);
}

/// CI systems pass the client's variable to the daemon's container.
#[test]
fn the_client_s_variable_is_served() {
    let Some(lab) = Lab::find() else { return };
    let host = format!("DOCKER_HOST={STANDARD}");
    let with = |create: Create| {
        let dind = create.start();
        dind.until_log("API listen on");
        everybody_finds_it(&dind);
        dind
    };
    let dind = with(unprivileged(lab).env(&host));
    assert!(!dind.log().stderr.contains("cannot make"));
    // An image without the link.
    let bare = |create: Create| {
        create.options(["--user", "0"]).entrypoint("sh").args([
            "-ec",
            "rm /run/docker.sock; exec setpriv --reuid 1000 --regid 1000 \
                   --clear-groups dockerd-entrypoint.sh \"$@\"",
            "sh",
        ])
    };
    for create in [
        bare(unprivileged(lab)).env(&host),
        bare(unprivileged(lab)).args(["--host", STANDARD]),
    ] {
        let dind = create.start();
        dind.until_log("API listen on /var/run/docker.sock");
        dind.until_log("uid 1000 cannot make /var/run/docker.sock");
        let host = format!("unix://{SOCKET}");
        dind.exec(["env", &format!("DOCKER_HOST={host}"), "docker", "version"])
            .ok();
    }
    let (_, output) = unprivileged(lab)
        .args(["--host", "unix:///docker.sock"])
        .run_to_end();
    output.assert_refused("uid 1000 cannot make /docker.sock");
    let dind = unprivileged(lab)
        .env("DOCKER_HOST=unix:///docker.sock")
        .start();
    dind.until_log("DOCKER_HOST=unix:///docker.sock is passed over");
}
