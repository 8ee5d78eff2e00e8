//! Rights that a container has or lacks: who writes the id maps, and what is refused.

use std::fs::File;
use std::process::Stdio;

use crate::lab::{Lab, NESTED};
use crate::outer::{SECCOMP, SYSTEMPATHS, bare, unprivileged};
use crate::workload;

const WITHOUT_LIMITS: &str = "rootless without limits for nested containers: ";

/// Nothing but the right to change ids.
#[test]
fn root_with_two_capabilities_under_no_new_privs_is_enough() {
    let Some(lab) = Lab::find() else { return };
    let dind = unprivileged(lab)
        .options(["--user", "0", "--cap-drop", "ALL"])
        .options(["--cap-add", "SETUID", "--cap-add", "SETGID"])
        .options(["--security-opt", "no-new-privileges"])
        .env("DIND_ROOTLESS=1")
        .start();
    // Without CAP_DAC_OVERRIDE a root of `docker exec` may not use the user's socket.
    let user = |words: &[&str], input: Stdio| {
        let exec = ["exec", "-i", "--user", "1000", &dind.id];
        lab.docker_reading(input, exec.iter().chain(words)).ok()
    };
    let tar = File::open(&lab.nested_tar).expect("the nested tar");
    user(&["docker", "import", "-", NESTED], tar.into());
    let run = ["docker", "run", "--rm", NESTED, "echo", "from within"];
    assert_eq!(user(&run, Stdio::null()), "from within");
    let status = dind
        .sh("grep -E '^(Uid|Gid|CapPrm|CapEff):' /proc/1/status")
        .replace('\t', " ");
    assert_eq!(
        status,
        "Uid: 1000 1000 1000 1000\nGid: 1000 1000 1000 1000\nCapPrm: 0000000000000000\n\
         CapEff: 0000000000000000"
    );
    // Neither version of cgroups gives such a container a part to hand over; one line says why.
    let log = dind.log().stderr;
    let lines = log.lines().filter(|line| line.contains(WITHOUT_LIMITS));
    assert_eq!(lines.count(), 1, "{log}");
    let probe = [
        "sh",
        "-c",
        "dind-init probe && dind-init status | head -n 1",
    ];
    assert!(user(&probe, Stdio::null()).ends_with("state      ready"));
}

/// Docker allows /dev/net/tun to every container, and root may make the node.
#[test]
fn root_needs_no_device_option() {
    let Some(lab) = Lab::find() else { return };
    let dind = bare(lab)
        .options(["--user", "0"])
        .options([SECCOMP, SYSTEMPATHS].concat())
        .env("DIND_ROOTLESS=1")
        .start();
    dind.import_nested();
    workload::run(&dind);
}

/// A user cannot make a part of a cgroup that is root's, and nobody is to where that is said.
#[test]
fn where_no_cgroup_is_handed_over_one_line_says_why() {
    let Some(lab) = Lab::find() else { return };
    for (env, why) in [
        // What it is depends on the machine: version 1, or whose the tree is.
        ("DIND_CGROUP=auto", ""),
        ("DIND_CGROUP=skip", "DIND_CGROUP=skip leaves the tree alone"),
    ] {
        let dind = unprivileged(lab).env(env).start();
        dind.docker(["version"]);
        let log = dind.log().stderr;
        let mut lines = log.lines().filter(|line| line.contains(WITHOUT_LIMITS));
        let line = lines.next().unwrap_or_default();
        assert!(line.contains(&format!("{WITHOUT_LIMITS}{why}")), "{log}");
        assert_eq!(lines.next(), None);
    }
    let (_, output) = unprivileged(lab).env("DIND_CGROUP=none").run_to_end();
    output.assert_refused("DIND_CGROUP");
}

/// The kernel makes such a process undumpable, and its map files root's.
#[test]
fn an_unreadable_binary_with_file_capabilities_works() {
    let Some(lab) = Lab::find() else { return };
    for change in [
        "chmod 0711 /usr/local/bin/dind-init",
        "setcap cap_net_bind_service=ep /usr/local/bin/dind-init",
    ] {
        let dind = unprivileged(lab)
            .options(["--user", "0"])
            .entrypoint("sh")
            .args(["-ec"])
            .args([format!(
                "{change}; exec setpriv --reuid 1000 --regid 1000 --clear-groups \
                 dockerd-entrypoint.sh"
            )
            .as_str()])
            .start();
        dind.import_nested();
        workload::run(&dind);
    }
}

/// A container that has 65536 ids itself.
#[test]
fn inside_a_user_namespace_the_ids_that_exist_are_used() {
    let Some(lab) = Lab::find() else { return };
    let script = |ids: &str| {
        format!(
            "rm -f /etc/subuid /etc/subgid; echo {ids} >/etc/subuid; cp /etc/subuid /etc/subgid; \
             exec unshare -U -m -n -p -f --map-users=0:300000:65536 --map-groups=0:300000:65536 \
             --setuid 0 --setgid 0 sh -ec 'mount -t proc proc /proc; \
             mkdir -p /tmp/h; chown 1000:1000 /tmp/h; export HOME=/tmp/h XDG_RUNTIME_DIR=/tmp/h; \
             exec setpriv --reuid 1000 --regid 1000 --clear-groups \
             rootlesskit --net=none cat /proc/self/uid_map'"
        )
    };
    let run = |ids: &str| {
        let create = bare(lab)
            .options(["--user", "0", "--privileged"])
            .entrypoint("sh");
        create.args(["-ec", &script(ids)]).run_to_end().1
    };
    run("rootless:100000:65536").assert_refused("do not exist in this container");
    let map = run("rootless:1001:64535").ok();
    let words: Vec<&str> = map.split_whitespace().collect();
    // The last one is nobody, whom many images know.
    let nobody = ["65534", "65535", "1"];
    let usual = ["0", "1000", "1", "1", "1001", "64534"];
    assert_eq!(words, [&usual[..], &nobody].concat());
}

/// What else the preflight asks for; sets of rights are in `matrix.rs`.
#[test]
fn what_is_missing_is_refused_with_its_remedy() {
    let Some(lab) = Lab::find() else { return };
    for (options, what) in [
        (&["--user", "1234"][..], "need writable HOME"),
        (
            &["--user", "1234", "--env", "HOME=/tmp"],
            "missing necessary entries in /etc/subuid",
        ),
        (
            &["--env", "DOCKERD_ROOTLESS_ROOTLESSKIT_NET=vpnkit"],
            "DOCKERD_ROOTLESS_ROOTLESSKIT_NET=\"vpnkit\" is not a valid setting",
        ),
    ] {
        let create = bare(lab).options(SECCOMP.iter().copied());
        let (container, output) = create.options(options.iter().copied()).run_to_end();
        output.assert_refused(what);
        container.assert_tidy();
    }
}
