//! Mounts and device files, in a container that has every right to them and was given none.

use crate::lab::{Lab, NESTED};

#[test]
fn what_is_missing_is_made_where_we_may() {
    let Some(lab) = Lab::find() else { return };
    // All the rights of --privileged, and nothing of what it prepares.
    let dind = lab.dind().unprivileged().options([
        "--cap-add=ALL",
        "--security-opt=seccomp=unconfined",
        "--security-opt=apparmor=unconfined",
    ]);
    let dind = dind.start();
    let files = dind.sh("stat -c '%F %t:%T %a %n' /dev/fuse /dev/kmsg /dev/net/tun");
    assert_eq!(
        files,
        "character special file a:e5 666 /dev/fuse\n\
         character special file 1:b 644 /dev/kmsg\n\
         character special file a:c8 666 /dev/net/tun"
    );
    dind.sh("echo 1 >/proc/sys/net/ipv4/ip_forward");
    assert_eq!(dind.sh("findmnt -no PROPAGATION /"), "shared");
    // What is the node's stays read-only.
    assert_eq!(
        dind.exec(["test", "-w", "/proc/sys/kernel/hostname"]).code,
        1
    );
}

#[test]
fn nested_containers_may_share_mounts_and_have_devices() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab.dind().start();
    dind.import_nested();
    // "path /srv is mounted on / but it is not a shared mount" without our step (M3).
    let words = ["run", "--rm", "--volume", "/srv:/srv:rshared"];
    let devices = ["--device", "/dev/fuse", "--device", "/dev/net/tun", NESTED];
    let test = [
        "sh",
        "-c",
        "test -c /dev/fuse && test -c /dev/net/tun && echo both",
    ];
    let all = words.iter().chain(&devices).chain(&test).copied();
    assert_eq!(dind.docker(all), "both");
}
