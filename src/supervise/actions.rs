//! Carries the machine's actions out.

use std::num::NonZeroI32;

use super::death::{last_words, meaning};
use super::ending::Killing;
use super::greeting::greeting;
use super::machine::{Action, Event, Millis, State, Wait};
use super::ping::Ping;
use super::table::Table;
use super::{OomCounter, Passing, Supervisor, launch, restart};
use crate::apply::{file, termination};
use crate::base::explain::one_line;
use crate::base::printable::line;
use crate::files;
use crate::process::Outcome;
use crate::sys::process::Child;
use crate::sys::watchdog::{self, Doing};

/// How often a drain says how it stands.
const DRAIN_LINES: Millis = 10_000;
/// How long a containerd whose dockerd died may take to be gone.
const CONTAINERD_TIMEOUT: Millis = 5000;
/// How long what was killed may take to be gone until it is told of.
const KILL_TIMEOUT: Millis = 1500;
/// What we promise to whoever started us while a wait has no end.
const ANOTHER_WHILE: std::time::Duration = std::time::Duration::from_secs(30);

impl Supervisor {
    pub(super) fn act(&mut self, action: Action, passing: &mut Passing) {
        match action {
            Action::Forward(signal) => self.forward(signal, passing),
            Action::ForwardToCommand(signal) => {
                if let Some(pid) = passing.command {
                    deliver("the command", pid, signal);
                }
            }
            Action::Kill => self.forward(libc::SIGKILL, passing),
            Action::CloseListeners => self.sockets.close(),
            Action::Ping => self.ping(passing),
            Action::RunCommand => self.run_command(passing),
            Action::StartAgain => {
                let by = self.now() + CONTAINERD_TIMEOUT;
                passing.start_by = Some(by);
                // What dockerd would end without live-restore is ended before; restart policies
                // mean what they always mean.
                if self.mode.loses_containers() {
                    passing.killing = Some(Killing::begin(true, self.now(), by));
                }
            }
            Action::ReadContainers => self.read_containers(passing),
            Action::CheckDrain => self.check_drain(passing),
            Action::StopContainers => self.stop_containers(passing),
            // One that is under way goes on until nobody is left.
            Action::KillContainers => {
                let now = self.now();
                let begin = || Killing::begin(false, now, now + KILL_TIMEOUT);
                passing.killing.get_or_insert_with(begin);
            }
            Action::EndLeftovers(signal) => self.end_leftovers(signal, passing),
            Action::AnnounceReady { confirmed } => self.announce_ready(confirmed),
            Action::AnnounceReloading => {
                self.outer.send("RELOADING=1");
                self.set_status("reloading");
            }
            Action::AnnounceDraining(wait) => self.announce_draining(wait),
            Action::AnnounceStopping => self.announce_stopping(),
            Action::AnnounceRestarting { pause } => {
                self.remove_ready_file();
                self.status.status.restarts += 1;
                self.set_status("restarting");
                let number = self.status.status.restarts;
                tracing::warn!(
                    "dockerd is started again in {pause} ms (restart {number}); requests wait"
                );
            }
            Action::ReportDeath(_) => {
                if let Some(death) = &self.status.status.last_death {
                    tracing::error!("{death}");
                }
            }
            Action::ReportEscalation => tracing::warn!(
                "some containers did not stop: what lives in them is killed, so that dockerd can \
                 record it"
            ),
            Action::ReportKill => {
                tracing::error!("dockerd did not stop in time and is killed");
            }
        }
    }

    fn forward(&mut self, signal: i32, passing: &mut Passing) {
        match self.dockerd {
            Some(started) => self.mode.signal(started, signal),
            // It was just about to be started again.
            None if passing.start_by.take().is_some() => passing.events.push(Event::DockerdEnded {
                outcome: Outcome::Code(0),
                transient: false,
            }),
            None => {}
        }
    }

    fn ping(&mut self, passing: &mut Passing) {
        let Some(path) = self.ping_path.as_deref() else {
            return;
        };
        passing.ping = match Ping::send(path) {
            Ok(ping) => Some(ping),
            Err(error) => {
                tracing::warn!("/_ping on {}: {error}", path.display());
                passing.events.push(Event::PingFailed);
                None
            }
        };
    }

    fn run_command(&self, passing: &mut Passing) {
        let Some(command) = &self.command else { return };
        match command.start() {
            Ok(pid) => passing.command = Some(pid),
            Err(error) => {
                let code = error.exit_code();
                let source = std::error::Error::source(&error)
                    .map(|source| format!(": {source}"))
                    .unwrap_or_default();
                tracing::error!("{error}{source}");
                passing.events.push(Event::CommandEnded(code));
            }
        }
    }

    /// Starts dockerd again when nothing of the old one is in its way. Its containerd dies with it,
    /// but not in the same instant, and a dockerd that finds its pid file would wait for it.
    pub(super) fn start_when_possible(&mut self, passing: &mut Passing) {
        let Some(by) = passing.start_by else { return };
        if self.now() < by {
            let table = Table::read();
            if table.has_containerd() || table.unread().is_some() || passing.killing.is_some() {
                return;
            }
        }
        passing.start_by = None;
        launch::remove_stale(&self.places);
        match self.mode.start_again(&self.sockets, self.output.as_ref()) {
            Ok(started) => {
                self.dockerd = Some(started);
                passing.oom = Some(OomCounter::of(started));
                if let Some(dockerd) = self.mode.dockerd(started) {
                    self.runs_again(Some(dockerd));
                }
            }
            Err(error) => {
                tracing::error!("{}", one_line(error.as_ref()));
                passing.events.push(Event::StartFailed(error.exit_code()));
            }
        }
    }

    pub(super) fn runs_again(&mut self, dockerd: Option<NonZeroI32>) {
        self.status.status.dockerd = dockerd;
        self.set_status("restarting");
    }

    /// Goes on killing, and says what came of it.
    pub(super) fn go_on_killing(&self, passing: &mut Passing) {
        let now = self.now();
        let killed = passing.killing.as_mut().and_then(|it| it.look(now));
        if let Some(killed) = killed {
            killed.tell();
            passing.killing = None;
        }
    }

    fn announce_ready(&mut self, confirmed: bool) {
        self.timeline.mark("ready");
        self.outer.ready();
        // Before the status, whose file exists: ext4 writes a file that replaces another one out
        // at once (auto_da_alloc), which took 4 ms here.
        watchdog::doing(Doing::ReadyFile);
        if let Err(error) = file::replace(&self.ready_file, b"ready\n") {
            tracing::error!("{}", one_line(&error));
        }
        self.set_status("ready");
        if self.machine.restarts.is_empty() {
            tracing::info!("{}", greeting(&self.status.status));
        } else {
            tracing::info!("dockerd is ready again");
        }
        if !confirmed && self.ping_path.is_some() {
            tracing::warn!("dockerd says that it is ready, but /_ping has no answer");
        }
        // From here on there is little to do, for a long time.
        crate::sys::memory::forget_code();
    }

    fn announce_draining(&mut self, wait: Wait) {
        self.remove_ready_file();
        self.set_status("draining");
        self.outer.extend_timeout(Some(ANOTHER_WHILE));
        if wait == Wait::Command {
            tracing::info!("the command was asked to end; dockerd stops after it");
        }
    }

    fn announce_stopping(&mut self) {
        self.remove_ready_file();
        self.outer.send("STOPPING=1");
        let limit = self.machine.limit.map(std::time::Duration::from_millis);
        self.outer.extend_timeout(limit);
        self.set_status("stopping");
        if let Some(output) = &mut self.output {
            output.allow_loss();
        }
        tracing::info!("stopping");
    }

    /// Looks whether what the drain waits for has happened.
    fn check_drain(&mut self, passing: &mut Passing) {
        let Some(drain) = &self.drain else { return };
        let State::Draining { until, .. } = self.machine.state else {
            return;
        };
        let table = Table::read();
        let busy = table.busy(self.dockerd);
        let idle = matches!(busy, Ok(0));
        let file = drain.file.as_ref().filter(|path| files::stat(path).is_ok());
        if let Some(path) = file {
            tracing::info!("drained: {} exists", path.display());
        } else if drain.idle && idle {
            tracing::info!("drained: no container runs");
        }
        if file.is_some() || (drain.idle && idle) {
            passing.events.push(Event::Drained);
            return;
        }
        let now = self.now();
        if passing
            .drain_told
            .is_some_and(|told| now < told + DRAIN_LINES)
        {
            return;
        }
        passing.drain_told = Some(now);
        let mut request = Vec::new();
        request.extend(drain.idle.then(|| match busy {
            Ok(busy) => format!("{busy} processes of containers to end"),
            Err(unread) => format!("containers that cannot be seen ({unread})"),
        }));
        request.extend(
            drain
                .file
                .as_ref()
                .map(|path| format!("{}", path.display())),
        );
        let left = until.map_or_else(
            || "no limit".to_owned(),
            |until| format!("{} s left", until.saturating_sub(now) / 1000),
        );
        let line = format!("draining: waiting for {}; {left}", request.join(" or "));
        tracing::info!("{line}; a second signal ends the wait");
        self.status.status.drain = Some(line);
        self.set_status("draining");
        self.outer.extend_timeout(Some(ANOTHER_WHILE));
    }

    /// Names the cause of dockerd's death; whether its last words speak of a passing trouble.
    pub(super) fn tell_death(&mut self, outcome: Outcome, passing: &mut Passing) -> bool {
        let mut text = match outcome {
            Outcome::Code(code) => format!("dockerd ended by itself with exit code {code}"),
            Outcome::Signal(signal) => format!("dockerd was killed by signal {signal}"),
        };
        let kills = passing.oom.take();
        let kills = kills.as_ref().and_then(OomCounter::kills);
        if let Some((_, file)) = kills.filter(|_| outcome == Outcome::Signal(libc::SIGKILL)) {
            text.push_str(&format!(
                " of the kernel, for lack of memory ({} counts it): raise the memory limit of \
                 this container, or limit the nested ones",
                file.display()
            ));
        }
        let mut transient = false;
        if let Some(output) = &mut self.output {
            output.finish();
            let lines = output.last_lines();
            output.forget();
            if let Some(words) = last_words(&lines) {
                text.push_str(&format!(": {}", line(words)));
                if let Some(meaning) = meaning(words) {
                    text.push_str(&format!(" ({meaning})"));
                }
                if let Some(meaning) = restart::transient(words) {
                    transient = true;
                    text.push_str(&format!(" ({meaning})"));
                }
            }
        }
        self.status.status.last_death = Some(text);
        transient
    }

    /// Leaves the cause of our end where an orchestrator shows it. A command of ours tells its own.
    pub(super) fn leave_message(&self) {
        if let Some(death) = &self.status.status.last_death {
            let text = format!(
                "error: {}\n  why    this container lives as long as dockerd does\n  fix    \
                 see the lines before in its log (kubectl logs --previous, docker logs); \
                 DIND_RESTART=on-failure starts a dockerd again that was ready\n",
                line(death)
            );
            termination::leave(&self.termination_log, &text);
        }
    }

    pub(super) fn set_status(&mut self, state: &str) {
        self.outer.send(&format!("STATUS={state}"));
        watchdog::doing(Doing::StatusFile);
        self.status.write(state, &self.timeline);
    }

    pub(super) fn remove_ready_file(&self) {
        watchdog::doing(Doing::ReadyFile);
        if let Err(error) = file::withdraw(&self.ready_file) {
            tracing::warn!("{}", one_line(&error));
        }
    }
}

pub(super) fn deliver(whom: &str, pid: rustix::process::Pid, signal: i32) {
    if let Err(error) = Child(pid).signal(signal) {
        tracing::warn!("signal {signal} to {whom}: {error}");
    }
}
