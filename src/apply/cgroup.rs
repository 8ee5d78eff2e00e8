//! Delegation in a cgroup version 2 tree (kernel `cgroup-v2.rst`, "No Internal Process
//! Constraint"): controllers can be handed down only when the root itself has no processes.
#![expect(clippy::disallowed_methods, reason = "apply is the writer")]

use std::fs;
use std::io;
use std::path::Path;

use super::ApplyError;

/// Rounds of moving and enabling. Processes of `docker exec` and of probes are born into the
/// root while we move; each is moved in the next round. 500 rounds of 10 ms are 5 s.
const ROUNDS: u32 = 500;
const PAUSE: rustix::thread::Timespec = rustix::thread::Timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};

/// Moves every process of the root to the leaf and hands the controllers down, one by one: a
/// controller that the kernel refuses for another reason does not cost the others.
///
/// # Errors
/// When processes that cannot be moved keep the root busy until the bound is reached.
pub fn delegate(root: &Path, leaf: &Path, controllers: &[String]) -> Result<(), ApplyError> {
    match fs::create_dir(leaf) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other.map_err(|e| ApplyError::new("mkdir", leaf, e))?,
    }
    let mut wanted: Vec<&String> = controllers.iter().collect();
    for round in 0..ROUNDS {
        if round > 0 {
            let _ = rustix::thread::nanosleep(&PAUSE);
        }
        let busy = move_processes(root, leaf)?;
        wanted.retain(|name| !enabled_or_hopeless(root, name));
        if wanted.is_empty() && busy.is_empty() {
            return Ok(());
        }
    }
    let busy = processes(root).unwrap_or_default();
    let control = root.join("cgroup.subtree_control");
    let error = io::Error::from_raw_os_error(libc::EBUSY);
    Err(ApplyError::new("enable controllers in", &control, error).because(
        format!("after {ROUNDS} rounds the root cgroup still holds: {}", describe(&busy)),
        "process 0 is one outside our pid namespace (docker exec --pid=host, a sidecar): end it; \
         or set DIND_CGROUP=skip to run without limits for nested containers",
    ))
}

/// One write per process: the kernel takes one pid at a time. Returns what could not be moved.
fn move_processes(root: &Path, leaf: &Path) -> Result<Vec<u32>, ApplyError> {
    let target = leaf.join("cgroup.procs");
    let mut left = Vec::new();
    for pid in
        processes(root).map_err(|e| ApplyError::new("read", &root.join("cgroup.procs"), e))?
    {
        if pid == 0 {
            left.push(pid); // outside our pid namespace; writing "0" would move ourselves
            continue;
        }
        match fs::write(&target, pid.to_string()) {
            // It ended meanwhile (ESRCH), or is a kernel thread or a zombie (EINVAL).
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => left.push(pid),
            Err(error) => return Err(ApplyError::new("move a process to", &target, error)),
        }
    }
    Ok(left)
}

fn processes(root: &Path) -> io::Result<Vec<u32>> {
    let text = fs::read_to_string(root.join("cgroup.procs"))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Whether a controller is handed down, or never will be. Only `EBUSY` is worth another round.
fn enabled_or_hopeless(root: &Path, controller: &str) -> bool {
    match fs::write(
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
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        format!("{pid} ({})", comm.trim())
    };
    pids.iter().map(name).collect::<Vec<_>>().join(", ")
}
