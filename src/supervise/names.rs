//! The forwarder's process: started beside dockerd, and again when it dies.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::forwarder::Sockets;
use crate::plan::network::Forwarder;
use crate::sys::process::Child;
use crate::sys::signal::OriginalMask;
use crate::sys::spawn::{self, ProcessGroup, Spawn, SpawnError};

/// A process that does not live so long counts as failed.
const SOON: Duration = Duration::from_secs(1);

/// Failures in a row after which it is left alone; its sockets stay, so that clients time out
/// instead of asking somebody else.
const MOST_FAILURES: u32 = 10;

/// The forwarder's process.
#[derive(Debug)]
pub struct NameForwarder {
    sockets: Sockets,
    plan: Forwarder,
    process: Option<(Pid, Instant)>,
    failures: u32,
}

impl NameForwarder {
    /// Takes the sockets; nothing runs yet.
    #[must_use]
    pub fn new(sockets: Sockets, plan: Forwarder) -> Self {
        Self {
            sockets,
            plan,
            process: None,
            failures: 0,
        }
    }

    /// Starts the process.
    ///
    /// # Errors
    /// As [`spawn::spawn`].
    pub fn start(&mut self) -> Result<(), SpawnError> {
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
        self.process = Some((pid, Instant::now()));
        Ok(())
    }

    /// To be told of every child that was reaped; starts anew when it was ours.
    pub fn reaped(&mut self, pid: Pid) {
        let Some((own, since)) = self.process.filter(|(own, _)| *own == pid) else {
            return;
        };
        self.process = None;
        self.failures = if since.elapsed() < SOON {
            self.failures + 1
        } else {
            0
        };
        let pid = own.as_raw_nonzero();
        if self.failures >= MOST_FAILURES {
            tracing::error!(
                "the forwarder for names keeps dying and is given up: nested containers on the \
                 default bridge resolve no names; set --dns, or DIND_DNS=skip"
            );
            return;
        }
        tracing::warn!("the forwarder for names (process {pid}) died and is started again");
        if let Err(error) = self.start() {
            tracing::error!("the forwarder for names cannot be started: {error}");
        }
    }

    /// Ends the process for good.
    pub fn stop(&mut self) {
        if let Some((pid, _)) = self.process.take() {
            // One that is gone is reaped.
            let _ = Child(pid).signal(libc::SIGKILL);
        }
    }
}
