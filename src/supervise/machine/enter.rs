//! The ways into a state, and what is done on each; which of them is taken is decided in `step.rs`.

use super::step::{Actions, DRAIN_PAUSE};
use super::{Action, Command, Machine, Millis, Outcome, Stage, State, Verdict, Wait};

/// How long a killed dockerd may take to be gone.
const KILL_TIMEOUT: Millis = 2000;
/// How long leftovers may take after SIGTERM, and again after SIGKILL.
const LEFTOVER_TIMEOUT: Millis = 1000;

impl Machine {
    pub(super) fn ready(&mut self, confirmed: bool) -> Actions {
        self.state = State::Ready;
        self.was_ready = true;
        let mut actions = vec![Action::AnnounceReady { confirmed }];
        actions.extend(self.held.forward());
        if self.command == Command::Waiting {
            self.command = Command::Running;
            actions.push(Action::RunCommand);
        }
        actions
    }

    /// dockerd is gone for good, and nobody asked for it.
    pub(super) fn died(&mut self, outcome: Outcome, now: Millis) -> Actions {
        let mut actions = vec![
            Action::ReportDeath(outcome),
            Action::AnnounceStopping,
            Action::CloseListeners,
        ];
        actions.extend(self.give_up(outcome.exit_code(), now));
        actions
    }

    /// Nobody is left who could record how containers end: they are killed at once, as the end of
    /// PID 1 would kill them, and nothing waits for those that are deaf to their stop signal.
    pub(super) fn give_up(&mut self, code: u8, now: Millis) -> Actions {
        let mut actions = Vec::new();
        if self.command == Command::Running {
            actions.push(Action::ForwardToCommand(libc::SIGTERM));
        }
        // A command that did not run, or lost its daemon, has not succeeded.
        let code = if self.command == Command::None {
            code
        } else {
            code.max(1)
        };
        actions.extend(self.leave(Stage::Leftovers, Verdict::Died(code), now));
        actions
    }

    pub(super) fn drain(&mut self, now: Millis, most: Option<Millis>, wait: Wait) -> Actions {
        self.state = State::Draining {
            check: now + DRAIN_PAUSE,
            until: most.map(|most| now.saturating_add(most)),
            wait,
        };
        let announce = Action::AnnounceDraining(wait);
        match wait {
            Wait::Policy => vec![announce, Action::CheckDrain],
            Wait::Command => vec![announce, Action::ForwardToCommand(libc::SIGTERM)],
        }
    }

    /// Our copies of the sockets go first, so that new clients are refused as soon as dockerd
    /// closes its own.
    pub(super) fn stop(&mut self, now: Millis) -> Actions {
        self.state = State::Stopping { since: now };
        vec![
            Action::AnnounceStopping,
            Action::CloseListeners,
            Action::ReadContainers,
            Action::Forward(libc::SIGTERM),
        ]
    }

    pub(super) fn kill(&mut self, now: Millis) -> Actions {
        self.state = State::Killed {
            until: now + KILL_TIMEOUT,
        };
        vec![Action::ReportKill, Action::KillContainers, Action::Kill]
    }

    pub(super) fn leave_containers(&mut self, verdict: Verdict, until: Option<Millis>) -> Actions {
        self.state = State::Leaving {
            stage: Stage::Containers,
            until,
            verdict,
        };
        vec![Action::StopContainers]
    }

    /// Nothing was asked of the containers yet: they have all of the time.
    pub(super) fn leave_restarting(&mut self, now: Millis) -> Actions {
        let mut actions = vec![Action::AnnounceStopping, Action::CloseListeners];
        let until = self.containers_end(now);
        actions.extend(self.leave_containers(Verdict::Asked, until));
        actions
    }

    pub(super) fn leave(&mut self, stage: Stage, verdict: Verdict, now: Millis) -> Actions {
        self.state = State::Leaving {
            stage,
            until: Some(now + LEFTOVER_TIMEOUT),
            verdict,
        };
        match stage {
            Stage::Containers => vec![Action::StopContainers],
            Stage::Leftovers => vec![Action::KillContainers, Action::EndLeftovers(libc::SIGTERM)],
            Stage::Last => vec![Action::KillContainers, Action::EndLeftovers(libc::SIGKILL)],
        }
    }

    /// The containers have ended: there is nothing to kill in them.
    pub(super) fn leave_leftovers(&mut self, verdict: Verdict, now: Millis) -> Actions {
        self.state = State::Leaving {
            stage: Stage::Leftovers,
            until: Some(now + LEFTOVER_TIMEOUT),
            verdict,
        };
        vec![Action::EndLeftovers(libc::SIGTERM)]
    }

    pub(super) fn end_now(&mut self, verdict: Verdict) -> Actions {
        let terminated = Outcome::Signal(libc::SIGTERM).exit_code();
        let code = match verdict {
            Verdict::Died(code) => code,
            Verdict::Asked => match self.command {
                Command::None => 0,
                Command::Done(code) => code,
                // It never got its turn, or would not end: whoever waits for it must not see
                // success.
                Command::Waiting | Command::Running => terminated,
            },
        };
        self.state = State::Ended { code };
        vec![]
    }
}
