//! The forwarder's process: started beside dockerd, and again when it dies.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;

use rustix::process::{Pid, WaitStatus};

use crate::forwarder::Sockets;
use crate::plan::network::Forwarder;
use crate::process::companion::{Companion, Respawn, Verdict};
use crate::sys::process::Child;
use crate::sys::signal::OriginalMask;
use crate::sys::spawn::{self, ProcessGroup, Spawn, SpawnError};

/// Failures in a row after which it is left alone; its sockets stay, so that clients time out
/// instead of asking somebody else.
const MOST_FAILURES: u32 = 10;

/// The forwarder's process.
#[derive(Debug)]
pub struct NameForwarder {
    sockets: Sockets,
    plan: Forwarder,
    respawn: Respawn,
}

impl NameForwarder {
    /// Takes the sockets; the process is started with the first turn of the loop.
    #[must_use]
    pub fn new(sockets: Sockets, plan: Forwarder) -> Self {
        Self {
            sockets,
            plan,
            respawn: Respawn::due(Some(MOST_FAILURES)),
        }
    }

    /// Starts the process.
    fn start(&mut self) -> Result<(), SpawnError> {
        let mut argv: Vec<OsString> = vec!["dind-init".into(), "forward-names".into()];
        let outside = self.plan.outside.iter();
        argv.extend(outside.map(|name| format!("--outside={name}").into()));
        argv.extend(self.plan.upstream.iter().map(|ip| ip.to_string().into()));
        // Survives the removal and the renaming of the file that we were started from.
        let program = PathBuf::from("/proc/self/exe");
        let pid = spawn::spawn(&Spawn {
            program: &program,
            argv: &argv,
            env: &[],
            mask: OriginalMask::empty(),
            group: ProcessGroup::Own,
            listeners: &self.sockets.descriptors(),
            listener_names: &["names-udp".into(), "names-tcp".into()],
            bound: spawn::Bound::No,
            stderr: None,
        })?;
        self.respawn.started(pid);
        Ok(())
    }

    fn tell(&self, verdict: Verdict, what: &str) {
        match verdict {
            Verdict::Again => tracing::warn!("the forwarder for names {what} and is started again"),
            Verdict::GivenUp => tracing::error!(
                "the forwarder for names {what} again and again, and is given up: nested containers \
                 on the default bridge resolve no names; set --dns, or DIND_DNS=skip"
            ),
        }
    }
}

impl Companion for NameForwarder {
    fn deadline(&self) -> Option<Instant> {
        self.respawn.deadline()
    }

    fn work(&mut self) {
        if self.respawn.is_due()
            && let Err(error) = self.start()
        {
            let verdict = self.respawn.failed();
            self.tell(verdict, &format!("cannot be started ({error})"));
        }
    }

    fn reaped(&mut self, pid: Pid, _status: WaitStatus) {
        if let Some(verdict) = self.respawn.reaped(pid) {
            self.tell(verdict, &format!("died (process {})", pid.as_raw_nonzero()));
        }
    }

    fn stop(&mut self) {
        if let Some(pid) = self.respawn.stop() {
            // One that is gone is reaped.
            let _ = Child(pid).signal(libc::SIGKILL);
        }
    }
}
