//! Starts dockerd, the first time and again, and our own command.

use std::ffi::OsString;
use std::path::PathBuf;

use rustix::process::Pid;

use super::output::Output;
use crate::apply::limit;
use crate::apply::listen::HeldSockets;
use crate::base::environment::Environment;
use crate::files;
use crate::host::stale::{self, Places};
use crate::plan::host::DaemonCommand;
use crate::plan::limits::OomScores;
use crate::process::program::ProgramError;
use crate::sys::signal::OriginalMask;
use crate::sys::spawn::{self, Bound, ProcessGroup, Spawn, SpawnError};

/// What dockerd is started with.
#[derive(Debug)]
pub struct Launch {
    /// Program, words and variables.
    pub daemon: DaemonCommand,
    /// The signal mask that we were started with.
    pub mask: OriginalMask,
}

impl Launch {
    /// Starts dockerd.
    ///
    /// # Errors
    /// [`ProgramError::Exec`].
    pub fn start(
        &self,
        sockets: &HeldSockets,
        output: Option<&Output>,
    ) -> Result<Pid, ProgramError> {
        spawn::spawn(&Spawn {
            program: &self.daemon.program,
            argv: &self.daemon.argv,
            env: &self.daemon.env.words(),
            mask: self.mask,
            group: ProcessGroup::Own,
            listeners: &sockets.sockets(),
            listener_names: sockets.names(),
            stderr: output.map(Output::for_dockerd),
            bound: Bound::No,
        })
        .map_err(|source| {
            let name = self.daemon.program.clone().into_os_string();
            ProgramError::Exec { name, source }
        })
    }
}

/// Our command, in run-a-command mode.
#[derive(Debug, Clone)]
pub struct MainCommand {
    pub argv: Vec<OsString>,
    pub env: Environment,
    /// The signal mask that we were started with.
    pub mask: OriginalMask,
    /// Scores for the OOM killer: ours is for dockerd and not for somebody's job.
    pub oom_scores: Option<OomScores>,
}

impl MainCommand {
    /// Starts the command; the terminal is its.
    ///
    /// # Errors
    /// What [`spawn::spawn`] says.
    pub fn start(&self) -> Result<Pid, SpawnError> {
        let name = self.argv.first().cloned().unwrap_or_default();
        let program = files::find_program(&name, self.env.get("PATH"));
        // A child inherits the score; ours is lowered again with the right that lowered it before.
        let ours = self.oom_scores.map(|scores| scores.ours);
        score(self.oom_scores.map(|scores| scores.given));
        let started = spawn::spawn(&Spawn {
            program: &program.unwrap_or_else(|| PathBuf::from(&name)),
            argv: &self.argv,
            env: &self.env.words(),
            mask: self.mask,
            group: ProcessGroup::Foreground,
            listeners: &[],
            listener_names: &[],
            stderr: None,
            bound: Bound::No,
        });
        score(ours);
        started
    }
}

fn score(value: Option<i32>) {
    if let Some(Err(error)) = value.map(limit::oom_score) {
        tracing::warn!("{}", crate::base::explain::one_line(&error));
    }
}

/// Removes what a dead dockerd left: pid files, sockets, task directories.
pub fn remove_stale(places: &Places) {
    for file in stale::find(places) {
        let removed = if file.tree {
            crate::apply::file::remove_tree(&file.path)
        } else {
            crate::apply::file::remove(&file.path)
        };
        match removed {
            Ok(()) => tracing::debug!("removed {}: {}", file.path.display(), file.proof),
            Err(error) => tracing::warn!("{}", crate::base::explain::one_line(&error)),
        }
    }
}
