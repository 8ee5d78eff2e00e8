//! What `apply` does to cgroups and mounts, on the kernel of this machine: groups of our own in
//! its version 2 tree (a hybrid one will do), and mount namespaces of forked children.
//!
//! It needs root; without it every test is skipped (`tests/kit/skip.rs`).
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the tests make groups, files and processes of their own, and end where that fails"
)]

#[path = "apply/cgroup.rs"]
mod cgroup;
#[path = "apply/mount.rs"]
mod mount;
#[path = "../tests/kit/skip.rs"]
mod skip;

/// Whether a test can run here.
fn can_run() -> bool {
    let missing = if rustix::process::geteuid().is_root() {
        cgroup::tree().is_none().then_some("a cgroup2 mount")
    } else {
        Some("root")
    };
    let Some(missing) = missing else { return true };
    skip::skip(&format!("it needs {missing}"));
    false
}
