//! The table: one function for each kind of event, each a match over all states.

use super::{
    Action, Command, Event, Held, Machine, Millis, Notice, Outcome, PING_PATIENCE, Rules, Stage,
    State, Verdict, Wait, after,
};
use crate::supervise::restart::{self, Death};

/// How often a drain is looked at.
const DRAIN_PAUSE: Millis = 1000;
/// How often what lives inside the containers is killed again: something may have been born.
const KILL_PAUSE: Millis = 500;
/// How long a killed dockerd may take to be gone.
const KILL_PATIENCE: Millis = 2000;
/// How long leftovers may take after SIGTERM, and again after SIGKILL.
const LEFTOVER_PATIENCE: Millis = 1000;

type Actions = Vec<Action>;

impl Machine {
    /// The table.
    #[must_use]
    pub fn step(mut self, rules: &Rules, event: Event, now: Millis) -> (Self, Actions) {
        let actions = match event {
            Event::Signal(signal) if [libc::SIGTERM, libc::SIGINT].contains(&signal) => {
                self.stop_signal(rules, signal, now)
            }
            Event::Signal(signal) => self.other_signal(signal),
            Event::Notice(notice) => self.notice(rules, notice, now),
            Event::PingAnswered => self.confirmed(true),
            Event::PingFailed => self.confirmed(false),
            Event::Deadline => self.deadline_is_here(now),
            Event::DockerdEnded { outcome, transient } => {
                self.dockerd_ended(rules, outcome, transient, now)
            }
            Event::StartFailed(code) => self.start_failed(code, now),
            Event::CommandEnded(code) => self.command_ended(code, now),
            Event::BudgetKnown(limit) => {
                self.limit = limit;
                vec![]
            }
            Event::Drained => match self.state {
                State::Draining { .. } => self.stop(now),
                _ => vec![],
            },
            Event::ExitWhen => self.end(now),
            Event::Alone => self.alone(now),
        };
        (self, actions)
    }

    /// TERM and INT: the second one skips a wait, the third one kills (Z8).
    fn stop_signal(&mut self, rules: &Rules, signal: i32, now: Millis) -> Actions {
        self.asked = self.asked.saturating_add(1);
        match self.state {
            State::Ended { .. } | State::Killed { .. } => vec![],
            State::Leaving { verdict, stage, .. } if self.asked > 2 && stage != Stage::Last => {
                self.leave(Stage::Last, verdict, now)
            }
            State::Leaving { .. } => vec![],
            State::Stopping { .. } | State::Escalating { .. } if self.asked > 2 => self.kill(now),
            State::Stopping { .. } | State::Escalating { .. } => vec![],
            State::Restarting { .. } => self.leave_asked(now),
            State::Draining { .. } => self.stop(now),
            // An interactive command has its own mind about INT.
            State::Starting | State::Confirming { .. } | State::Ready | State::Reloading
                if self.command == Command::Running && signal == libc::SIGINT =>
            {
                self.asked -= 1;
                vec![Action::ForwardToCommand(signal)]
            }
            State::Starting | State::Confirming { .. } | State::Ready | State::Reloading
                if self.command == Command::Running =>
            {
                // Half of the budget is the command's, the rest is dockerd's.
                self.drain(now, self.limit.map(|limit| limit / 2), Wait::Command)
            }
            State::Ready | State::Reloading if rules.drain => {
                self.drain(now, rules.drain_most, Wait::Policy)
            }
            State::Starting | State::Confirming { .. } | State::Ready | State::Reloading => {
                self.stop(now)
            }
        }
    }

    /// Every other signal: to our command while it is the main process, else to dockerd.
    fn other_signal(&mut self, signal: i32) -> Actions {
        match self.state {
            State::Killed { .. }
            | State::Leaving { .. }
            | State::Restarting { .. }
            | State::Ended { .. } => vec![],
            // dockerd is stopping before it could set its handlers.
            State::Stopping { .. } | State::Escalating { .. }
                if Held::concerns(signal) && !self.was_ready =>
            {
                vec![]
            }
            State::Stopping { .. } | State::Escalating { .. } => vec![Action::Forward(signal)],
            _ if self.command == Command::Running => vec![Action::ForwardToCommand(signal)],
            State::Starting if Held::concerns(signal) => {
                self.held.add(signal);
                vec![]
            }
            State::Starting
            | State::Confirming { .. }
            | State::Ready
            | State::Reloading
            | State::Draining { .. } => vec![Action::Forward(signal)],
        }
    }

    fn notice(&mut self, rules: &Rules, notice: Notice, now: Millis) -> Actions {
        match (self.state, notice) {
            (State::Starting, Notice::Ready) if rules.can_ping => {
                self.state = State::Confirming {
                    until: after(now, PING_PATIENCE),
                };
                [Action::Ping]
                    .into_iter()
                    .chain(self.held.forward())
                    .collect()
            }
            (State::Starting | State::Reloading, Notice::Ready) => self.ready(false),
            (State::Ready, Notice::Reloading) => {
                self.state = State::Reloading;
                vec![Action::AnnounceReloading]
            }
            // It stops by itself: its exit code will be ours.
            (
                State::Starting | State::Confirming { .. } | State::Ready | State::Reloading,
                Notice::Stopping,
            ) => vec![Action::AnnounceStopping],
            // Repeated or late notices say nothing new.
            (_, Notice::Ready | Notice::Reloading | Notice::Stopping) => vec![],
        }
    }

    fn confirmed(&mut self, confirmed: bool) -> Actions {
        match self.state {
            State::Confirming { .. } => self.ready(confirmed),
            _ => vec![], // too late to be of interest
        }
    }

    fn ready(&mut self, confirmed: bool) -> Actions {
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

    fn deadline_is_here(&mut self, now: Millis) -> Actions {
        match self.state {
            State::Confirming { .. } => self.ready(false),
            State::Draining { until, wait, .. } => {
                if until.is_some_and(|until| until <= now) {
                    return self.stop(now);
                }
                self.state = State::Draining {
                    check: now + DRAIN_PAUSE,
                    until,
                    wait,
                };
                match wait {
                    Wait::Policy => vec![Action::CheckDrain],
                    Wait::Command => vec![],
                }
            }
            State::Stopping { since } => {
                self.state = State::Escalating {
                    since,
                    again: now + KILL_PAUSE,
                };
                vec![Action::ReportEscalation, Action::KillContainers]
            }
            State::Escalating { since, .. }
                if self.budget_end(since).is_some_and(|end| end <= now) =>
            {
                self.kill(now)
            }
            State::Escalating { since, .. } => {
                self.state = State::Escalating {
                    since,
                    again: now + KILL_PAUSE,
                };
                vec![Action::KillContainers]
            }
            State::Killed { .. } => self.leave_asked(now),
            State::Leaving { stage, verdict, .. } => match stage {
                Stage::Containers => self.leave(Stage::Leftovers, verdict, now),
                Stage::Leftovers => self.leave(Stage::Last, verdict, now),
                Stage::Last => self.end_now(verdict),
            },
            State::Restarting { .. } => {
                self.state = State::Starting;
                self.was_ready = false;
                vec![Action::StartAgain]
            }
            State::Starting | State::Ready | State::Reloading | State::Ended { .. } => vec![],
        }
    }

    fn dockerd_ended(
        &mut self,
        rules: &Rules,
        outcome: Outcome,
        transient: bool,
        now: Millis,
    ) -> Actions {
        match self.state {
            State::Ended { .. } | State::Leaving { .. } | State::Restarting { .. } => vec![],
            State::Stopping { since } | State::Escalating { since, .. } => {
                let until = self.containers_end(since).map(|end| end.max(now));
                self.leave_containers(Verdict::Asked, until)
            }
            State::Killed { .. } => self.leave_asked(now),
            State::Draining { .. } => self.died(outcome, now),
            State::Starting | State::Confirming { .. } | State::Ready | State::Reloading => {
                let death = Death {
                    outcome,
                    was_ready: self.was_ready,
                    transient,
                };
                let Some(pause) = restart::pause(rules.restart, death, &self.restarts, now) else {
                    return self.died(outcome, now);
                };
                let at = after(now, pause);
                self.state = State::Restarting { at };
                self.restarts.push(now);
                let pause = at - now;
                vec![
                    Action::ReportDeath(outcome),
                    Action::AnnounceRestarting { pause },
                ]
            }
        }
    }

    fn start_failed(&mut self, code: u8, now: Millis) -> Actions {
        match self.state {
            State::Starting => {
                let mut actions = vec![Action::AnnounceStopping, Action::CloseListeners];
                actions.extend(self.give_up(code, now));
                actions
            }
            _ => vec![],
        }
    }

    /// dockerd is gone for good, and nobody asked for it.
    fn died(&mut self, outcome: Outcome, now: Millis) -> Actions {
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
    fn give_up(&mut self, code: u8, now: Millis) -> Actions {
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

    fn command_ended(&mut self, code: u8, now: Millis) -> Actions {
        self.command = Command::Done(code);
        self.end(now)
    }

    /// A stop that nobody sent a signal for: nothing is waited for.
    fn end(&mut self, now: Millis) -> Actions {
        match self.state {
            State::Restarting { .. } => self.leave_asked(now),
            State::Stopping { .. }
            | State::Escalating { .. }
            | State::Killed { .. }
            | State::Leaving { .. }
            | State::Ended { .. } => vec![],
            _ => self.stop(now),
        }
    }

    fn alone(&mut self, now: Millis) -> Actions {
        match self.state {
            State::Leaving {
                stage: Stage::Containers,
                verdict,
                ..
            } => {
                self.state = State::Leaving {
                    stage: Stage::Leftovers,
                    until: Some(now + LEFTOVER_PATIENCE),
                    verdict,
                };
                vec![Action::EndLeftovers(libc::SIGTERM)]
            }
            State::Leaving { verdict, .. } => self.end_now(verdict),
            _ => vec![],
        }
    }

    fn drain(&mut self, now: Millis, most: Option<Millis>, wait: Wait) -> Actions {
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
    fn stop(&mut self, now: Millis) -> Actions {
        self.state = State::Stopping { since: now };
        vec![
            Action::AnnounceStopping,
            Action::CloseListeners,
            Action::ReadContainers,
            Action::Forward(libc::SIGTERM),
        ]
    }

    fn kill(&mut self, now: Millis) -> Actions {
        self.state = State::Killed {
            until: now + KILL_PATIENCE,
        };
        vec![Action::ReportKill, Action::KillContainers, Action::Kill]
    }

    fn leave_containers(&mut self, verdict: Verdict, until: Option<Millis>) -> Actions {
        self.state = State::Leaving {
            stage: Stage::Containers,
            until,
            verdict,
        };
        vec![Action::StopContainers]
    }

    /// Without time for the containers when it is over, with all of it when nothing was asked yet.
    fn leave_asked(&mut self, now: Millis) -> Actions {
        if !matches!(self.state, State::Restarting { .. }) {
            return self.leave(Stage::Leftovers, Verdict::Asked, now);
        }
        let mut actions = vec![Action::AnnounceStopping, Action::CloseListeners];
        let until = self.containers_end(now);
        actions.extend(self.leave_containers(Verdict::Asked, until));
        actions
    }

    fn leave(&mut self, stage: Stage, verdict: Verdict, now: Millis) -> Actions {
        self.state = State::Leaving {
            stage,
            until: Some(now + LEFTOVER_PATIENCE),
            verdict,
        };
        match stage {
            Stage::Containers => vec![Action::StopContainers],
            Stage::Leftovers => vec![Action::KillContainers, Action::EndLeftovers(libc::SIGTERM)],
            Stage::Last => vec![Action::KillContainers, Action::EndLeftovers(libc::SIGKILL)],
        }
    }

    fn end_now(&mut self, verdict: Verdict) -> Actions {
        let terminated = Outcome::Signal(libc::SIGTERM).exit_code();
        let code = match (verdict, self.command) {
            (Verdict::Died(code), _) => code,
            (Verdict::Asked, Command::None) => 0,
            (Verdict::Asked, Command::Done(code)) => code,
            // It never got its turn, or would not end: whoever waits for it must not see success.
            (Verdict::Asked, Command::Waiting | Command::Running) => terminated,
        };
        self.state = State::Ended { code };
        vec![]
    }
}
