//! A child process in new namespaces, and ids given up with the right to write id maps kept.

use std::io;

use caps::{CapSet, Capability, CapsHashSet};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::process::{DumpableBehavior, Pid, set_dumpable_behavior};

/// Which side of [`fork_into`] runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The child, in its namespaces.
    Child,
    /// We, with the child's id.
    Parent(Pid),
}

/// `struct clone_args` of the first version of the call (`clone3(2)`, Linux 5.3).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// Namespaces for [`fork_into`], as `CLONE_NEW…` bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namespaces(pub i32);

/// Forks into new namespaces. The kernel makes the user namespace first, so that it owns the
/// others (`user_namespaces(7)`).
///
/// # Errors
/// What `clone3(2)` says; where the call is missing or hidden by a seccomp filter (`ENOSYS`), what
/// `clone(2)` says.
pub fn fork_into(namespaces: Namespaces) -> io::Result<Side> {
    const NEW: i32 = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWCGROUP;
    // No other bit: one that shares memory would need a stack.
    let flags = u64::from((namespaces.0 & NEW).unsigned_abs());
    let exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    let args = CloneArgs {
        flags,
        exit_signal,
        ..CloneArgs::default()
    };
    // SAFETY: the arguments have the size that is passed and no pointer in them. Without a stack
    // and without CLONE_VM this is fork(2): we are single-threaded (a rule of the crate), so the
    // child has a whole copy of a consistent process and may allocate.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    let pid = if pid == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) {
        // SAFETY: as above; the null arguments mean no stack, no tid addresses and no TLS, in
        // whatever order the architecture has them.
        unsafe { libc::syscall(libc::SYS_clone, flags | exit_signal, 0, 0, 0, 0) }
    } else {
        pid
    };
    match i32::try_from(pid).map(super::process::id) {
        _ if pid == -1 => Err(io::Error::last_os_error()),
        Ok(None) => {
            super::process::set_name(super::process::HELPER);
            Ok(Side::Child)
        }
        Ok(Some(pid)) => Ok(Side::Parent(pid)),
        Err(_) => Err(io::Error::other("clone returned an impossible pid")),
    }
}

/// Ends this process at once: no destructor, no handler. For the child of [`fork_into`], which is
/// a copy of a process that still needs what destructors would take away.
pub fn leave(code: u8) -> ! {
    // SAFETY: a plain system call that does not return.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Becomes a user, and keeps the rights to write id maps where they were there: effective and
/// permitted `CAP_SETUID` and `CAP_SETGID`, and no other capability. The supplementary groups are
/// replaced.
///
/// # Errors
/// What the kernel says; the process must not go on then.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_keep_capabilities(true)?;
    setgroups(&groups)?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    rustix::thread::set_keep_capabilities(false)?;
    let kept: CapsHashSet = [Capability::CAP_SETUID, Capability::CAP_SETGID]
        .into_iter()
        .collect();
    // Effective first: it may never hold more than permitted.
    for set in [CapSet::Effective, CapSet::Permitted] {
        caps::set(None, set, &kept).map_err(io::Error::other)?;
    }
    caps::clear(None, CapSet::Inheritable).map_err(io::Error::other)
}

/// Maps the ids that this process had before it unshared a user namespace, and no others, to root
/// there: enough for a probe, and no help is needed for it (`user_namespaces(7)`).
///
/// # Errors
/// What the kernel says to the first file that it refuses; nothing that is tried then means
/// anything.
#[expect(
    clippy::disallowed_methods,
    reason = "a probe maps itself, in a namespace that ends with it"
)]
pub fn become_root_alone(uid: u32, gid: u32) -> io::Result<()> {
    // After a change of ids, and executed with file capabilities or unreadable, /proc/self is
    // root's.
    set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {uid} 1")),
        ("gid_map", format!("0 {gid} 1")),
    ] {
        std::fs::write(format!("/proc/self/{file}"), text)?;
    }
    Ok(())
}

/// Gives up every capability of this process.
///
/// # Errors
/// What `capset(2)` says.
pub fn drop_capabilities() -> io::Result<()> {
    // The ambient set empties itself with the permitted one.
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        caps::clear(None, set).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Becomes root of the user namespace that this process was made in; the maps must be there.
///
/// # Errors
/// What `setresgid(2)` and `setresuid(2)` say.
pub fn become_inner_root() -> io::Result<()> {
    let (root, group) = (Uid::from_raw(0), Gid::from_raw(0));
    setresgid(group, group, group)?;
    setresuid(root, root, root)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{WaitOptions, waitpid};
    use rustix::thread::UnshareFlags;
    use std::time::Duration;

    use crate::sys::probe::{ProbeResult, Probes};

    #[test]
    fn a_child_without_namespaces_is_a_plain_fork() {
        match fork_into(Namespaces(0)).unwrap() {
            Side::Child => leave(7),
            Side::Parent(pid) => {
                let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
                assert_eq!(status.exit_status(), Some(7));
            }
        }
    }

    /// As after a change of ids, or when the executable is unreadable.
    #[test]
    fn a_trial_maps_itself_where_its_parent_cannot_be_dumped() {
        let mut probes = Probes::new();
        let limit = Duration::from_secs(30);
        let inner = probes.start("outer", UnshareFlags::empty(), limit, move || {
            if rustix::process::geteuid().is_root() {
                // root may write to its own files whatever they say.
                become_user(65534, 65534, &[]).unwrap();
            }
            set_dumpable_behavior(DumpableBehavior::NotDumpable).unwrap();
            let mut probes = Probes::new();
            let root = probes.start("inner", UnshareFlags::NEWUSER, limit, || {
                rustix::process::geteuid().as_raw()
            });
            match probes.collect().take(root) {
                ProbeResult::Known(uid) => Ok(uid),
                ProbeResult::Unknown(why) => Err(why),
            }
        });
        match probes.collect().take(inner) {
            ProbeResult::Known(Err(why)) if why.starts_with("unshare: ") => {
                crate::skip::skip(&format!("no user namespaces: {why}"));
            }
            other => assert_eq!(other, ProbeResult::Known(Ok(0))),
        }
    }
}
