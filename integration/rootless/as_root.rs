//! Started as root, with `DIND_ROOTLESS=1`: the process becomes the image's user.

use crate::container::Create;
use crate::lab::Lab;
use crate::outer::{SECCOMP, SYSTEMPATHS, TUN, bare};

/// Root of an ordinary container.
fn root(lab: &'static Lab) -> Create {
    bare(lab)
        .options(["--user", "0"])
        .options([SECCOMP, SYSTEMPATHS, TUN].concat())
        .env("DIND_ROOTLESS=1")
}

/// After a change of ids a process cannot be dumped, and its map files are root's: a probe that
/// did not see to that never had an answer.
#[test]
fn storage_is_tried_and_strict_is_kept() {
    let Some(lab) = Lab::find() else { return };
    let volume = lab.volume();
    let dind = root(lab)
        .volume(&volume, "/home/rootless/.local/share/docker")
        .env("DIND_STORAGE=strict")
        .start();
    let driver = dind.docker(["info", "--format", "{{.Driver}}"]);
    let log = dind.log().stderr;
    assert!(log.contains(&format!("storage: {driver} (")), "{log}");
    assert!(!log.contains("is not known"), "{log}");
    // The container's own layer takes no overlay, and nothing but a driver that copies is left.
    let (_, refused) = root(lab)
        .env("DIND_STORAGE=strict")
        .args(["--data-root=/home/rootless/data"])
        .run_to_end();
    refused.assert_refused("only the slow storage driver vfs works");
}

/// The manifest of the README for `hostUsers: false`: a kubelet's probe is such a root, too.
#[test]
fn whoever_is_sent_in_asks_the_daemon() {
    let Some(lab) = Lab::find() else { return };
    let manifest = |env: &str| {
        let caps = ["SETUID", "SETGID", "CHOWN"];
        let create = bare(lab)
            .options(["--user", "0", "--cap-drop", "ALL"])
            .options(caps.iter().flat_map(|cap| ["--cap-add", cap]))
            .options([SECCOMP, SYSTEMPATHS, TUN].concat())
            .env("DIND_ROOTLESS=1")
            .env("DOCKER_HOST=");
        let dind = create.env(env).start();
        dind.until_log("API listen on");
        dind
    };
    let user = bare(lab)
        .options([SECCOMP, SYSTEMPATHS, TUN].concat())
        .env("DOCKER_HOST=");
    let dinds = [
        manifest("A=b"),
        // A runtime directory that cannot be made: another one is taken.
        manifest("XDG_RUNTIME_DIR=/run/nobody/may"),
        user.start(),
    ];
    for dind in &dinds {
        for uid in ["0", "1000"] {
            let exec = |words: &[&str]| {
                let start = ["exec", "--user", uid, &dind.id, "dind-init"];
                lab.docker(start.iter().chain(words)).ok()
            };
            let wait = exec(&["wait", "--timeout=60s", "--", "sh", "-c", "docker version"]);
            assert!(wait.contains("Server:"), "{wait}");
            let start = ["exec", "--user", uid, &dind.id, "docker-entrypoint.sh"];
            for words in [&["docker", "version"][..], &["version"]] {
                let version = lab.docker(start.iter().chain(words)).ok();
                assert!(version.contains("Server:"), "{uid} {words:?}: {version}");
            }
            assert!(exec(&["probe"]).starts_with("ready: "));
            assert!(exec(&["probe", "--live"]).starts_with("live: "));
            assert!(exec(&["status"]).contains("state      ready"));
            let env = exec(&["env"]);
            assert!(
                env.contains("unix://") && !env.contains("tcp://"),
                "{uid}: {env}"
            );
        }
    }
}

/// An emptyDir is root's and open to everybody; so is an fsGroup's volume to a group.
#[test]
fn a_data_root_of_roots_is_taken_over_or_refused() {
    const DATA: &str = "/home/rootless/.local/share/docker";
    let Some(lab) = Lab::find() else { return };
    let volume = lab.volume();
    let mounted = |create: Create| {
        let mount = format!("type=volume,src={},dst={DATA},volume-nocopy", volume.name);
        create.options(["--mount", &mount])
    };
    let change = |script: &str| {
        let shell = bare(lab).options(["--user", "0"]).entrypoint("sh");
        let (_, output) = mounted(shell).args(["-ec", script]).run_to_end();
        output.ok();
    };
    change(&format!("chmod 0777 {DATA}"));
    let user = || mounted(bare(lab).options([SECCOMP, SYSTEMPATHS, TUN].concat()));
    let (_, refused) = user().run_to_end();
    refused.assert_refused("belongs to uid 0, not to uid 1000");
    let parent = "fix    mount the volume at /home/rootless/.local/share,";
    assert!(refused.stderr.contains(parent), "{refused}");

    // What a start would do is told, and not done.
    let plan = || mounted(root(lab)).args(["dind-init", "plan"]);
    let step = format!("first  chown  {DATA} to 1000:1000: ");
    for _ in 0..2 {
        let text = plan().run_to_end().1.ok();
        assert!(text.contains(&step), "{text}");
    }
    let (_, refused) = plan().options(["--cap-drop", "CHOWN"]).run_to_end();
    refused.assert_refused("belongs to uid 0, not to uid 1000");

    let dind = mounted(root(lab)).start();
    dind.docker(["version"]);
    let owner = format!("stat -c %u:%g:%a {DATA}");
    assert_eq!(dind.sh(&owner), "1000:1000:710");
    assert_eq!(dind.stop(), "0");
    // With something in it, it is somebody's.
    change(&format!(
        "chown 0:0 {DATA}; chmod 0777 {DATA}; test -n \"$(ls {DATA})\""
    ));
    let (_, refused) = mounted(root(lab)).run_to_end();
    refused.assert_refused("belongs to uid 0, not to uid 1000");
}
