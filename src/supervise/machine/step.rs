//! The table: one function for each kind of event, each a match over all states. No arm is a
//! wildcard (a lint in `machine.rs` says so): whoever adds a state or an event decides every row.

use super::{
    Action, Command, Event, Held, Machine, Millis, Notice, Outcome, PING_TIMEOUT, Rules, Stage,
    State, Verdict, Wait, after,
};
use crate::supervise::restart::{self, Death};

/// How often a drain is looked at.
pub(super) const DRAIN_PAUSE: Millis = 1000;
/// How often what lives inside the containers is killed again: something may have been born.
const KILL_PAUSE: Millis = 500;

pub(super) type Actions = Vec<Action>;

impl Machine {
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
            Event::Drained => self.drained(now),
            Event::ExitWhen => self.end(now),
            Event::NoneLeft => self.alone(now),
        };
        (self, actions)
    }

    /// TERM and INT: the second one skips a wait, the third one kills.
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
            State::Restarting { .. } => self.leave_restarting(now),
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
            State::Starting
            | State::Confirming { .. }
            | State::Ready
            | State::Reloading
            | State::Draining { .. }
                if self.command == Command::Running =>
            {
                vec![Action::ForwardToCommand(signal)]
            }
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
        match notice {
            Notice::Ready => self.says_ready(rules, now),
            Notice::Reloading => self.says_reloading(),
            Notice::Stopping => self.says_stopping(),
        }
    }

    fn says_ready(&mut self, rules: &Rules, now: Millis) -> Actions {
        match self.state {
            State::Starting if rules.can_ping => {
                self.state = State::Confirming {
                    until: after(now, PING_TIMEOUT),
                };
                [Action::Ping]
                    .into_iter()
                    .chain(self.held.forward())
                    .collect()
            }
            State::Starting | State::Reloading => self.ready(false),
            // Repeated or late.
            State::Confirming { .. }
            | State::Ready
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Escalating { .. }
            | State::Killed { .. }
            | State::Leaving { .. }
            | State::Restarting { .. }
            | State::Ended { .. } => vec![],
        }
    }

    fn says_reloading(&mut self) -> Actions {
        match self.state {
            State::Ready => {
                self.state = State::Reloading;
                vec![Action::AnnounceReloading]
            }
            State::Starting
            | State::Confirming { .. }
            | State::Reloading
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Escalating { .. }
            | State::Killed { .. }
            | State::Leaving { .. }
            | State::Restarting { .. }
            | State::Ended { .. } => vec![],
        }
    }

    fn says_stopping(&self) -> Actions {
        match self.state {
            // It stops by itself: its exit code will be ours.
            State::Starting | State::Confirming { .. } | State::Ready | State::Reloading => {
                vec![Action::AnnounceStopping]
            }
            State::Draining { .. }
            | State::Stopping { .. }
            | State::Escalating { .. }
            | State::Killed { .. }
            | State::Leaving { .. }
            | State::Restarting { .. }
            | State::Ended { .. } => vec![],
        }
    }

    fn confirmed(&mut self, confirmed: bool) -> Actions {
        match self.state {
            State::Confirming { .. } => self.ready(confirmed),
            // Too late to be of interest.
            State::Starting
            | State::Ready
            | State::Reloading
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Escalating { .. }
            | State::Killed { .. }
            | State::Leaving { .. }
            | State::Restarting { .. }
            | State::Ended { .. } => vec![],
        }
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
            State::Killed { .. } => self.leave(Stage::Leftovers, Verdict::Asked, now),
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
            State::Killed { .. } => self.leave(Stage::Leftovers, Verdict::Asked, now),
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
            // Only `StartAgain` leads here, and what came in between is under way already.
            State::Confirming { .. }
            | State::Ready
            | State::Reloading
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Escalating { .. }
            | State::Killed { .. }
            | State::Leaving { .. }
            | State::Restarting { .. }
            | State::Ended { .. } => vec![],
        }
    }

    fn command_ended(&mut self, code: u8, now: Millis) -> Actions {
        self.command = Command::Done(code);
        self.end(now)
    }

    /// A stop that nobody sent a signal for: nothing is waited for.
    fn end(&mut self, now: Millis) -> Actions {
        match self.state {
            State::Restarting { .. } => self.leave_restarting(now),
            State::Stopping { .. }
            | State::Escalating { .. }
            | State::Killed { .. }
            | State::Leaving { .. }
            | State::Ended { .. } => vec![],
            State::Starting
            | State::Confirming { .. }
            | State::Ready
            | State::Reloading
            | State::Draining { .. } => self.stop(now),
        }
    }

    fn alone(&mut self, now: Millis) -> Actions {
        match self.state {
            State::Leaving {
                stage: Stage::Containers,
                verdict,
                ..
            } => self.leave_leftovers(verdict, now),
            State::Leaving {
                stage: Stage::Leftovers | Stage::Last,
                verdict,
                ..
            } => self.end_now(verdict),
            State::Starting
            | State::Confirming { .. }
            | State::Ready
            | State::Reloading
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Escalating { .. }
            | State::Killed { .. }
            | State::Restarting { .. }
            | State::Ended { .. } => vec![],
        }
    }

    fn drained(&mut self, now: Millis) -> Actions {
        match self.state {
            State::Draining { .. } => self.stop(now),
            State::Starting
            | State::Confirming { .. }
            | State::Ready
            | State::Reloading
            | State::Stopping { .. }
            | State::Escalating { .. }
            | State::Killed { .. }
            | State::Leaving { .. }
            | State::Restarting { .. }
            | State::Ended { .. } => vec![],
        }
    }
}
