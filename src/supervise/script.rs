//! A dockerd in PATH that is a script: dockerd is what it started, as long as it lives, and a child
//! of the pid that we know.

use rustix::process::Pid;

use super::Supervisor;
use super::actions::deliver;
use super::ending::Table;
use crate::host::script;

/// dockerd's name, as the kernel has it.
const DOCKERD: &str = "dockerd";

impl Supervisor {
    /// Whether a notice is dockerd's word: it comes from what we started, or, where that is a
    /// script, from the dockerd below it.
    pub(super) fn is_dockerd(&self, sender: u32) -> bool {
        let Some(started) = self.dockerd else {
            return false;
        };
        raw(started) == sender || self.below_script(started) == Some(sender)
    }

    /// Sends a signal to dockerd. A shell that waits would die of it and leave dockerd alone; only
    /// a kill is for both, since a script need not end with its dockerd.
    pub(super) fn deliver_to_dockerd(&self, started: Pid, signal: i32) {
        let below = self.below_script(started);
        let below = below.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(dockerd) = below {
            deliver("dockerd", dockerd, signal);
        }
        if below.is_none() || signal == libc::SIGKILL {
            deliver("dockerd", started, signal);
        }
    }

    /// The dockerd that a script started.
    fn below_script(&self, started: Pid) -> Option<u32> {
        // A rootless dockerd is below our own process, which knows it.
        if self.rootless.is_some() {
            return None;
        }
        script::read(&self.launch.daemon.program)?;
        // Shells of the script have its name, and so has what dockerd forks, for a moment: dockerd is
        // the nearest one that is another program.
        let executable = |pid: u32| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
        let shell = executable(raw(started));
        let below = Table::read().below(raw(started), DOCKERD);
        below.into_iter().find(|pid| executable(*pid) != shell)
    }
}

fn raw(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}
