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

/// After a change of ids a process cannot be dumped, and its map files are root's: a trial that
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
