//! Limits of this process, which dockerd inherits, and settings of the node.

use std::path::Path;

use rustix::process::{Rlimit, setrlimit};

use super::ApplyError;
use crate::files::kernel;
use crate::host::limits::{Limit, sysctl_path};
use crate::plan::step::Resource;

/// Sets our own score for the OOM killer.
///
/// # Errors
/// What the kernel says.
pub fn oom_score(value: i32) -> Result<(), ApplyError> {
    let path = Path::new("/proc/self/oom_score_adj");
    kernel::write(path, value.to_string()).map_err(|e| ApplyError::new("write", path, e))
}

/// Sets a resource limit.
///
/// # Errors
/// What `setrlimit(2)` says.
pub fn resource(resource: Resource, limit: Limit) -> Result<(), ApplyError> {
    let number = match resource {
        Resource::OpenFiles => rustix::process::Resource::Nofile,
        Resource::Processes => rustix::process::Resource::Nproc,
    };
    let limit = Rlimit {
        current: limit.soft,
        maximum: limit.hard,
    };
    setrlimit(number, limit)
        .map_err(|e| ApplyError::new("set a limit of", Path::new("/proc/self/limits"), e.into()))
}

/// Writes a setting of the node.
///
/// # Errors
/// What the kernel says.
pub fn node_setting(name: &str, value: u64) -> Result<(), ApplyError> {
    let path = sysctl_path(name);
    kernel::write(&path, value.to_string())
        .map_err(|e| ApplyError::new("write", Path::new(&path), e))
}
