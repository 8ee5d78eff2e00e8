//! The pure heart of PID 1: (state, event) → (state, actions). No clock and no system call; time
//! comes in as milliseconds since the start. The table itself is [`Machine::step`].

#![deny(clippy::wildcard_enum_match_arm)]

mod enter;
mod step;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::process::Outcome;

use crate::config::lifetime::RestartPolicy;

/// Milliseconds since this process started.
pub type Millis = u64;

/// How long our own `/_ping` may take after dockerd said that it is ready.
pub const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the daemon is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// dockerd runs and has not said `READY=1`.
    Starting,
    /// It said so; our `/_ping` is under way.
    Confirming {
        /// When we stop waiting for the answer.
        until: Millis,
    },
    /// The API answers.
    Ready,
    /// It reads its configuration again.
    Reloading,
    /// A stop was asked for; what runs may finish first. dockerd serves as before.
    Draining {
        /// When to look again.
        check: Millis,
        /// When the wait ends in any case.
        until: Option<Millis>,
        /// What is waited for.
        wait: Wait,
    },
    /// dockerd was asked to stop.
    Stopping {
        /// When the stop began.
        since: Millis,
    },
    /// What was left inside the containers is being killed, so that dockerd can end.
    Escalating {
        /// When the stop began.
        since: Millis,
        /// When to look again.
        again: Millis,
    },
    /// dockerd was killed; its end is awaited.
    Killed {
        /// When we stop waiting: not even a kill ends a process that the kernel holds.
        until: Millis,
    },
    /// dockerd is gone; what it left is ended.
    Leaving {
        /// What is under way.
        stage: Stage,
        /// When the next stage begins.
        until: Option<Millis>,
        /// How dockerd ended.
        verdict: Verdict,
    },
    /// dockerd died and is started again.
    Restarting {
        /// When.
        at: Millis,
    },
    /// It ended, and so do we.
    Ended {
        /// Our exit code.
        code: u8,
    },
}

/// What [`State::Draining`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// DIND_DRAIN.
    Policy,
    /// The end of our own command.
    Command,
}

/// Stages of [`State::Leaving`], each ended by [`Event::NoneLeft`] or by its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Containers that dockerd left running have their stop signal.
    Containers,
    /// Shims, containerd and orphans have SIGTERM.
    Leftovers,
    /// They have SIGKILL.
    Last,
}

/// How dockerd ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// We asked for it.
    Asked,
    /// By itself; the code is its own.
    Died(u8),
}

/// SIGHUP and SIGUSR1 that came before `READY=1`. dockerd reloads and dumps its stacks on them,
/// but only once its handlers are set; until then their default action ends it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    hup: bool,
    usr1: bool,
}

impl Held {
    /// Whether a signal is held at all.
    fn concerns(signal: i32) -> bool {
        [libc::SIGHUP, libc::SIGUSR1].contains(&signal)
    }

    fn add(&mut self, signal: i32) {
        self.hup |= signal == libc::SIGHUP;
        self.usr1 |= signal == libc::SIGUSR1;
    }

    /// Lets them go, once each.
    fn forward(&mut self) -> impl Iterator<Item = Action> + use<> {
        let held = std::mem::take(self);
        let hup = held.hup.then_some(Action::Forward(libc::SIGHUP));
        hup.into_iter()
            .chain(held.usr1.then_some(Action::Forward(libc::SIGUSR1)))
    }
}

/// The command of run-a-command mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// There is none.
    None,
    /// It waits for dockerd.
    Waiting,
    /// It runs.
    Running,
    /// It ended with this code.
    Done(u8),
}

/// What dockerd says on its NOTIFY_SOCKET (`sd_notify(3)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// `READY=1`; also after each reload.
    Ready,
    /// `RELOADING=1`.
    Reloading,
    /// `STOPPING=1`.
    Stopping,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// We got a signal.
    Signal(i32),
    /// dockerd spoke.
    Notice(Notice),
    /// Our `/_ping` was answered.
    PingAnswered,
    /// Our `/_ping` could not be sent, or got another answer.
    PingFailed,
    /// The time that [`Machine::deadline`] named has come.
    Deadline,
    /// dockerd is gone.
    DockerdEnded {
        /// How.
        outcome: Outcome,
        /// Whether its last words speak of a passing trouble.
        transient: bool,
    },
    /// dockerd could not be started again.
    StartFailed(u8),
    /// Our command is gone, or could not be started.
    CommandEnded(u8),
    /// The containers were read: a stop may take this long.
    BudgetKnown(Option<Millis>),
    /// What DIND_DRAIN waits for has happened.
    Drained,
    /// A condition of DIND_EXIT_WHEN holds.
    ExitWhen,
    /// What the stage of [`State::Leaving`] waits for is gone.
    NoneLeft,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send a signal to dockerd.
    Forward(i32),
    /// Send a signal to our command.
    ForwardToCommand(i32),
    /// Kill dockerd.
    Kill,
    /// Close our copies of the listening sockets.
    CloseListeners,
    /// Send `/_ping`.
    Ping,
    /// Start our command.
    RunCommand,
    /// Start dockerd again.
    StartAgain,
    /// Read the containers from disk, for [`Event::BudgetKnown`].
    ReadContainers,
    /// See whether the drain is over, for [`Event::Drained`].
    CheckDrain,
    /// Send every nested container that dockerd left its stop signal.
    StopContainers,
    /// Kill what lives inside nested containers.
    KillContainers,
    /// Send a signal to everything that descends from us.
    EndLeftovers(i32),
    /// Tell everybody that the API answers.
    AnnounceReady {
        /// Whether our own `/_ping` was answered.
        confirmed: bool,
    },
    /// Tell everybody that dockerd reloads.
    AnnounceReloading,
    /// Tell everybody that a stop waits for what runs.
    AnnounceDraining(Wait),
    /// Tell everybody that it stops.
    AnnounceStopping,
    /// Tell everybody that dockerd is started again.
    AnnounceRestarting {
        /// When, in milliseconds from now.
        pause: Millis,
    },
    /// Say how dockerd ended without having been asked.
    ReportDeath(Outcome),
    /// Say that what is left inside the containers is killed.
    ReportEscalation,
    /// Say that the time was not enough.
    ReportKill,
}

/// What the user decided.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Whether there is a socket to ping.
    pub can_ping: bool,
    /// DIND_RESTART.
    pub restart: RestartPolicy,
    /// Whether a stop waits.
    pub drain: bool,
    /// The longest wait.
    pub drain_most: Option<Millis>,
}

/// The machine: a state, and what it must remember beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Where the daemon is.
    pub state: State,
    /// How many times a stop was asked for.
    pub asked: u8,
    /// Whether dockerd was ready in this life.
    pub was_ready: bool,
    /// Signals that would kill dockerd now.
    pub held: Held,
    /// When dockerd was started again.
    pub restarts: Vec<Millis>,
    /// Our command.
    pub command: Command,
    /// How long a stop may take.
    pub limit: Option<Millis>,
}

impl Machine {
    /// A machine whose dockerd has just been started.
    #[must_use]
    pub fn new(limit: Option<Millis>, command: Command) -> Self {
        Self {
            state: State::Starting,
            asked: 0,
            was_ready: false,
            held: Held::default(),
            restarts: Vec::new(),
            command,
            limit,
        }
    }

    /// When [`Event::Deadline`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        match self.state {
            State::Confirming { until } | State::Killed { until } => Some(until),
            State::Draining { check, until, .. } => {
                Some(until.map_or(check, |until| until.min(check)))
            }
            State::Stopping { since } => self.containers_end(since),
            State::Escalating { since, again } => {
                Some(self.budget_end(since).map_or(again, |end| end.min(again)))
            }
            State::Leaving { until, .. } => until,
            State::Restarting { at } => Some(at),
            State::Starting | State::Ready | State::Reloading | State::Ended { .. } => None,
        }
    }

    /// When the budget of a stop is over.
    fn budget_end(&self, since: Millis) -> Option<Millis> {
        self.limit.map(|limit| since.saturating_add(limit))
    }

    /// When what is left inside the containers is killed.
    fn containers_end(&self, since: Millis) -> Option<Millis> {
        let limit = Duration::from_millis(self.limit?);
        Some(after(since, super::budget::containers_end(limit)))
    }
}

/// A moment and a duration later.
#[must_use]
pub fn after(now: Millis, deadline: Duration) -> Millis {
    now.saturating_add(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX))
}
