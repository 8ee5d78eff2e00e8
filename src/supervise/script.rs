//! A dockerd in PATH that is a script: dockerd is what it started, as long as it lives, and a child
//! of the process that we know.

use std::path::PathBuf;

use rustix::process::Pid;

use super::launch::Launch;
use super::table::Table;
use crate::files;
use crate::host::script;
use crate::process::Process;

/// dockerd's name, as the kernel has it.
const DOCKERD: &str = "dockerd";

/// The dockerd that a script started.
pub(super) fn below(launch: &Launch, started: Pid) -> Option<Process> {
    script::read(&launch.daemon.program)?;
    // Shells of the script have its name, and so has what dockerd forks, for a moment: dockerd is
    // the nearest one that is another program.
    let table = Table::read();
    let below = table.below(started, DOCKERD);
    let found = below
        .into_iter()
        .find(|process| !files::is_same(&executable(process.pid), &executable(started)));
    found.cloned()
}

fn executable(pid: Pid) -> PathBuf {
    format!("/proc/{pid}/exe", pid = pid.as_raw_nonzero()).into()
}
