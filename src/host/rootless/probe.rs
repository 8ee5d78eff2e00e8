//! The namespaces, tried in a throw-away child: every row of the preflight that can be answered
//! by doing. The errno is the fact; what it means is decided in [`crate::plan::rootless::preflight`].

use nix::sched::{CloneFlags, unshare};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::WaitOptions;
use serde::{Deserialize, Serialize};

use crate::sys::tap;
use crate::sys::userns::{self, Namespaces, Side};

/// What was refused, as errno; nothing where it worked or was not reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceProbe {
    /// A user and a mount namespace.
    pub user: Option<i32>,
    pub network: Option<i32>,
    /// A tap device, with the call that failed.
    pub tap: Option<(String, i32)>,
    /// A process table of a nested pid namespace, as every inner container mounts it.
    pub proc: Option<i32>,
    /// A sysfs: what a privileged inner container mounts, and what dockerd's namespace gets.
    pub sysfs: Sysfs,
}

/// How a sysfs can be mounted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sysfs {
    /// Not at all.
    #[default]
    None,
    /// Read-only.
    ReadOnly,
    Writable,
}

/// Tries everything, in a process that ends with it. `device` is whether a tap device is wanted.
///
/// # Errors
/// Why there is no answer.
pub(super) fn run(device: bool) -> Result<NamespaceProbe, String> {
    let mut found = NamespaceProbe::default();
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    if let Err(errno) = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS) {
        found.user = Some(errno as i32);
        return Ok(found);
    }
    // With an id that stays unmapped, whatever is tried fails, and means nothing.
    userns::become_root_alone(uid, gid).map_err(|error| format!("map ids: {error}"))?;
    let _ = mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    );
    found.network = unshare(CloneFlags::CLONE_NEWNET)
        .err()
        .map(|errno| errno as i32);
    if device
        && found.network.is_none()
        && let Err(error) = tap::make("dindtrial0")
    {
        let errno = error.source.raw_os_error().unwrap_or_default();
        found.tap = Some((error.step.to_owned(), errno));
    }
    found.proc = proc();
    found.sysfs = sysfs();
    Ok(found)
}

fn proc() -> Option<i32> {
    match userns::fork_into(Namespaces(libc::CLONE_NEWPID)) {
        Err(error) => error.raw_os_error(),
        Ok(Side::Child) => {
            let errno = mount("proc", "/proc", "proc", MountFlags::empty(), None)
                .err()
                .map_or(0, Errno::raw_os_error);
            userns::leave(u8::try_from(errno).unwrap_or(u8::MAX))
        }
        Ok(Side::Parent(child)) => {
            let waited = rustix::process::waitpid(Some(child), WaitOptions::empty());
            let (_, status) = waited.ok().flatten()?;
            status.exit_status().filter(|code| *code != 0)
        }
    }
}

fn sysfs() -> Sysfs {
    let try_with = |flags| mount("sysfs", "/sys", "sysfs", flags, None).is_ok();
    if try_with(MountFlags::empty()) {
        Sysfs::Writable
    } else if try_with(MountFlags::RDONLY) {
        Sysfs::ReadOnly
    } else {
        Sysfs::None
    }
}
