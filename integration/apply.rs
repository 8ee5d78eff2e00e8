//! What `apply` does to cgroups and mounts, on the kernel of this machine: groups of our own in
//! its version 2 tree (a hybrid one will do), and mount namespaces of forked children.
//!
//! It needs root; without it every test says why it is skipped, and fails with `MUST_RUN=1`.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the tests make groups, files and processes of their own, and end where that fails"
)]

#[path = "apply/cgroup.rs"]
mod cgroup;
#[path = "apply/mount.rs"]
mod mount;

use std::io::Write;

/// Whether a test can run here.
fn can_run(name: &str) -> bool {
    let missing = if rustix::process::geteuid().is_root() {
        cgroup::tree().is_none().then_some("a cgroup2 mount")
    } else {
        Some("root")
    };
    let Some(missing) = missing else { return true };
    let reason = format!("{name}: skipped: it needs {missing}");
    assert!(
        std::env::var_os("MUST_RUN").is_none_or(|v| v != "1"),
        "{reason}"
    );
    // Not by eprintln: the test runner would keep it to itself.
    let _ = writeln!(std::io::stderr(), "{reason}");
    false
}
