//! Delegation in a cgroup version 2 tree (kernel `cgroup-v2.rst`, "No Internal Process
//! Constraint"): controllers can be handed down only when the root itself has no processes.
#![expect(clippy::disallowed_methods, reason = "apply is the writer")]

use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::Path;

use super::ApplyError;
use crate::files::kernel;
use crate::host::cgroup::mount::{self, FreshMount};
use crate::process;
use crate::sys::ns::{self, OldMount};
use crate::sys::process::id;

/// Rounds of moving and enabling. Processes of `docker exec` and of probes are born into the
/// root while we move; each is moved in the next round. 500 rounds of 10 ms are 5 s.
const ROUNDS: u32 = 500;
/// The first rounds come without a pause: most births are over by then.
const EAGER: u32 = 3;
const PAUSE: rustix::thread::Timespec = rustix::thread::Timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};

/// Makes our cgroup the root of a namespace of our own, and mounts the tree anew.
///
/// # Errors
/// What the kernel says, although it had allowed it in a probe.
pub fn enter_namespace(point: &Path, options: &FreshMount) -> Result<(), ApplyError> {
    ns::own_cgroup_root(&options.at(point, OldMount::TakenAway)).map_err(|error| {
        ApplyError::new(format!("{} for", error.call), point, error.source).with_help(
            "the kernel allowed it in a probe and refuses it now",
            "start the container with --cgroupns=private, or set DIND_CGROUP=skip",
        )
    })
}

/// Mounts a hierarchy writable in its place.
///
/// # Errors
/// What the kernel says, although it had allowed it in a probe.
pub fn remount(point: &Path, options: &[String]) -> Result<(), ApplyError> {
    ns::remount_writable(point, mount::flags_of(options)).map_err(|e| {
        ApplyError::new("mount writable", point, e.into()).with_help(
            "the kernel allowed it in a probe and refuses it now",
            "remove the :ro of -v /sys/fs/cgroup:/sys/fs/cgroup:ro",
        )
    })
}

/// Makes a cgroup where it is missing, and limits it.
///
/// # Errors
/// What the kernel says; a controller that was not handed down has no file.
pub fn limit(dir: &Path, file: &str, bytes: u64) -> Result<(), ApplyError> {
    make(dir)?;
    let path = dir.join(file);
    kernel::write(&path, bytes.to_string()).map_err(|e| ApplyError::new("write", &path, e))
}

/// Makes a cgroup where it is missing, and gives it to a user. What is in effect there is taken
/// back first: an earlier start left its controllers handed down, and then no process may enter.
///
/// # Errors
/// What the kernel says, a group of an earlier start that is still divided among others.
pub fn hand_over(dir: &Path, files: &[String], uid: u32, gid: u32) -> Result<(), ApplyError> {
    make(dir)?;
    let control = dir.join("cgroup.subtree_control");
    let enabled = kernel::text(&control).map_err(|e| refused("read", &control, e))?;
    for name in enabled.split_whitespace() {
        kernel::write(&control, format!("-{name}")).map_err(|error| {
            ApplyError::new(format!("take {name} back in"), &control, error).with_help(
                "what an earlier start ran there is still alive, and divided by its own init",
                "end it, or start the container again; or set DIND_CGROUP=skip",
            )
        })?;
    }
    let give = |path: &Path| match chown(path, Some(uid), Some(gid)) {
        // The list is the kernel's; a file of a controller is there only with its controller.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|e| ApplyError::new("chown", path, e)),
    };
    files.iter().try_for_each(|name| give(&dir.join(name)))?;
    give(dir)
}

fn make(dir: &Path) -> Result<(), ApplyError> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(|e| ApplyError::new("mkdir", dir, e)),
    }
}

/// Moves every process of the root to the leaf and hands the controllers down, one by one: a
/// controller that the kernel refuses for another reason does not cost the others.
///
/// # Errors
/// When processes that cannot be moved keep the root busy until the bound is reached.
pub fn delegate(root: &Path, leaf: &Path, controllers: &[String]) -> Result<(), ApplyError> {
    make(leaf)?;
    let mut wanted: Vec<&String> = controllers.iter().collect();
    for round in 0..ROUNDS {
        if round > EAGER {
            let _ = rustix::thread::nanosleep(&PAUSE);
        }
        let left = move_processes(root, leaf)?;
        wanted.retain(|name| !enabled_or_hopeless(root, name));
        if wanted.is_empty() && left.is_empty() {
            return Ok(());
        }
    }
    let left = processes(root).unwrap_or_default();
    if wanted.is_empty() {
        // Nothing had to be handed down: then nobody is hurt by a process that stays.
        tracing::warn!(
            "these processes stay in {}: {}",
            root.display(),
            describe(&left)
        );
        return Ok(());
    }
    let control = root.join("cgroup.subtree_control");
    let error = io::Error::from_raw_os_error(libc::EBUSY);
    Err(ApplyError::new("enable controllers in", &control, error).with_help(
        format!("after {ROUNDS} rounds the root cgroup still holds: {}", describe(&left)),
        "process 0 is one outside this pid namespace (docker exec --pid=host, a sidecar): end it; \
         or set DIND_CGROUP=skip to run without limits for nested containers",
    ))
}

/// One write per process: the kernel takes one pid at a time. Returns what could not be moved.
fn move_processes(root: &Path, leaf: &Path) -> Result<Vec<u32>, ApplyError> {
    let target = leaf.join("cgroup.procs");
    let mut left = Vec::new();
    let source = root.join("cgroup.procs");
    for pid in processes(root).map_err(|e| refused("read", &source, e))? {
        if pid == 0 {
            left.push(pid); // outside our pid namespace; writing "0" would move ourselves
            continue;
        }
        match kernel::write(&target, pid.to_string()) {
            // ESRCH: it ended meanwhile.
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            // EINVAL: a kernel thread, or one that is bound to its CPU's group.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => left.push(pid),
            Err(error) => return Err(refused("move a process to", &target, error)),
        }
    }
    Ok(left)
}

/// The errnos of a `cgroup.procs` by what they mean there.
fn refused(operation: &str, procs: &Path, error: io::Error) -> ApplyError {
    let kind = procs.with_file_name("cgroup.type");
    let kind = kernel::text(kind).unwrap_or_default();
    let number = error.raw_os_error();
    let refused = ApplyError::new(operation, procs, error);
    match number {
        Some(libc::EOPNOTSUPP) => refused.with_help(
            format!(
                "cgroup.type is \"{}\" there, and only a domain has processes",
                kind.trim()
            ),
            "find what wrote \"threaded\" to this cgroup or above it; or set DIND_CGROUP=skip",
        ),
        Some(libc::EBUSY) => refused.with_help(
            "the leaf itself hands controllers down, so it may not hold processes",
            "remove the groups below it and its cgroup.subtree_control; or set DIND_CGROUP=skip",
        ),
        Some(libc::ENOENT) => refused.with_help(
            "the process is outside this cgroup namespace (nsdelegate)",
            "start the container with --cgroupns=private; or set DIND_CGROUP=skip",
        ),
        _ => refused,
    }
}

fn processes(root: &Path) -> io::Result<Vec<u32>> {
    let text = kernel::text(root.join("cgroup.procs"))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Whether a controller is handed down, or never will be. Only `EBUSY` is worth another round.
fn enabled_or_hopeless(root: &Path, controller: &str) -> bool {
    match kernel::write(
        root.join("cgroup.subtree_control"),
        format!("+{controller}"),
    ) {
        Ok(()) => true,
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => false,
        Err(error) => {
            tracing::warn!("cgroup controller {controller} cannot be handed down: {error}");
            true
        }
    }
}

fn describe(pids: &[u32]) -> String {
    let name = |pid: &u32| {
        let name = i32::try_from(*pid).ok().and_then(id).map(process::name);
        format!("{pid} ({})", name.as_deref().unwrap_or("outside"))
    };
    pids.iter().map(name).collect::<Vec<_>>().join(", ")
}
