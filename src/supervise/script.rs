//! A dockerd in PATH that is a script: dockerd is what it started, as long as it lives, and a child
//! of the process that we know.

use std::path::PathBuf;

use rustix::process::Pid;

use super::Supervisor;
use super::actions::deliver;
use super::table::Table;
use crate::files;
use crate::host::script;
use crate::process::{Process, Watch};

/// dockerd's name, as the kernel has it.
const DOCKERD: &str = "dockerd";

impl Supervisor {
    /// Whether a notice is dockerd's word: it comes from what we started, or, where that is a
    /// script, from the dockerd below it.
    pub(super) fn is_dockerd(&self, sender: Pid) -> bool {
        let Some(started) = self.dockerd else {
            return false;
        };
        started == sender
            || self
                .below_script(started)
                .is_some_and(|process| process.pid == sender)
    }

    /// Sends a signal to dockerd. A shell that waits would die of it and leave dockerd alone; only
    /// a kill is for both, since a script need not end with its dockerd.
    pub(super) fn deliver_to_dockerd(&self, started: Pid, signal: i32) {
        let below = self.below_script(started);
        let had = below.is_some_and(|process| Watch::default().signal(&process, signal));
        if !had || signal == libc::SIGKILL {
            deliver("dockerd", started, signal);
        }
    }

    /// The dockerd that a script started.
    fn below_script(&self, started: Pid) -> Option<Process> {
        // A rootless dockerd is below our own process, which knows it.
        if self.rootless.is_some() {
            return None;
        }
        script::read(&self.launch.daemon.program)?;
        // Shells of the script have its name, and so has what dockerd forks, for a moment: dockerd is
        // the nearest one that is another program.
        let table = Table::read();
        let below = table.below(started, DOCKERD);
        let found = below
            .into_iter()
            .find(|process| !files::is_same(&executable(process.pid), &executable(started)));
        found.cloned()
    }
}

fn executable(pid: Pid) -> PathBuf {
    format!("/proc/{pid}/exe", pid = pid.as_raw_nonzero()).into()
}
