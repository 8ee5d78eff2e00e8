//! The pure heart of PID 1: (state, event) → (state, actions). No clock and no system call; time
//! comes in as milliseconds since the start.

use std::time::Duration;

/// Milliseconds since this process started.
pub type Millis = u64;

/// How long our own `/_ping` may take after dockerd said that it is ready.
pub const PING_PATIENCE: Duration = Duration::from_secs(5);

/// Where dockerd is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs and has not said `READY=1`.
    Starting {
        /// Signals that would kill it now.
        held: Held,
    },
    /// It said so; our `/_ping` is under way.
    Confirming {
        /// When we stop waiting for the answer.
        until: Millis,
    },
    /// The API answers.
    Ready,
    /// It reads its configuration again.
    Reloading,
    /// It was asked to stop.
    Stopping {
        /// When it is killed.
        until: Millis,
        /// How many times we were asked.
        asked: u8,
    },
    /// It was killed; its end is awaited.
    Killed,
    /// It ended, and so do we.
    Ended {
        /// Our exit code.
        code: u8,
    },
}

/// SIGHUP and SIGUSR1 that came before `READY=1`. dockerd reloads and dumps its stacks on them,
/// but only once its handlers are set; until then their default action ends it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    hup: bool,
    usr1: bool,
}

impl Held {
    /// The signals that are held at all.
    const SIGNALS: [i32; 2] = [libc::SIGHUP, libc::SIGUSR1];

    fn with(self, signal: i32) -> Self {
        Self {
            hup: self.hup || signal == libc::SIGHUP,
            usr1: self.usr1 || signal == libc::SIGUSR1,
        }
    }

    fn forward(self) -> impl Iterator<Item = Action> {
        let [hup, usr1] = Self::SIGNALS.map(Action::Forward);
        let hup = self.hup.then_some(hup);
        hup.into_iter().chain(self.usr1.then_some(usr1))
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// By itself.
    Code(u8),
    /// By a signal.
    Signal(i32),
}

impl Outcome {
    /// The exit code as shells have it: 128+n for a signal.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => {
                let number = u8::try_from(signal).unwrap_or(0);
                crate::explain::exit::SIGNAL_BASE.saturating_add(number)
            }
        }
    }
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
    /// The time that [`deadline`] named has come.
    Deadline,
    /// dockerd is gone.
    DockerdEnded(Outcome),
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send a signal to dockerd.
    Forward(i32),
    /// Kill dockerd.
    Kill,
    /// Close our copies of the listening sockets.
    CloseListeners,
    /// Send `/_ping`.
    Ping,
    /// Tell everybody that the API answers.
    AnnounceReady {
        /// Whether our own `/_ping` was answered.
        confirmed: bool,
    },
    /// Tell everybody that dockerd reloads.
    AnnounceReloading,
    /// Tell everybody that it stops.
    AnnounceStopping,
    /// Say how dockerd ended without having been asked.
    ReportDeath(Outcome),
    /// Say that the time was not enough.
    ReportKill,
}

/// What the machine must know beside its state.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How long a stop may take.
    pub stop_timeout: Duration,
    /// Whether there is a socket to ping.
    pub can_ping: bool,
}

/// When [`Event::Deadline`] is due.
#[must_use]
pub fn deadline(state: State) -> Option<Millis> {
    match state {
        State::Confirming { until } | State::Stopping { until, .. } => Some(until),
        State::Starting { .. }
        | State::Ready
        | State::Reloading
        | State::Killed
        | State::Ended { .. } => None,
    }
}

fn after(now: Millis, patience: Duration) -> Millis {
    now.saturating_add(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX))
}

/// The table.
#[must_use]
pub fn step(rules: Rules, state: State, event: Event, now: Millis) -> (State, Vec<Action>) {
    use Action::{
        AnnounceReady, AnnounceReloading, AnnounceStopping, CloseListeners, Forward, Kill, Ping,
        ReportDeath, ReportKill,
    };
    let stop_signal = |signal: i32| signal == libc::SIGTERM || signal == libc::SIGINT;
    match (state, event) {
        (State::Ended { .. }, _) => (state, vec![]),

        (State::Stopping { .. } | State::Killed, Event::DockerdEnded(_)) => {
            (State::Ended { code: 0 }, vec![])
        }
        (_, Event::DockerdEnded(outcome)) => (
            State::Ended {
                code: outcome.exit_code(),
            },
            vec![ReportDeath(outcome)],
        ),

        // A stop that is asked for again: the third time kills (Z8).
        (State::Stopping { asked, .. }, Event::Signal(signal))
            if stop_signal(signal) && asked >= 2 =>
        {
            (State::Killed, vec![ReportKill, Kill])
        }
        (State::Stopping { until, asked }, Event::Signal(signal)) if stop_signal(signal) => (
            State::Stopping {
                until,
                asked: asked + 1,
            },
            vec![],
        ),
        (State::Killed, Event::Signal(_)) => (state, vec![]),
        (_, Event::Signal(signal)) if stop_signal(signal) => {
            let until = after(now, rules.stop_timeout);
            // Our copies go first, so that new clients are refused as soon as dockerd closes its.
            let actions = vec![AnnounceStopping, CloseListeners, Forward(libc::SIGTERM)];
            (State::Stopping { until, asked: 1 }, actions)
        }
        (State::Starting { held }, Event::Signal(signal)) if Held::SIGNALS.contains(&signal) => {
            let held = held.with(signal);
            (State::Starting { held }, vec![])
        }
        (_, Event::Signal(signal)) => (state, vec![Forward(signal)]),

        (State::Stopping { .. }, Event::Deadline) => (State::Killed, vec![ReportKill, Kill]),
        (State::Confirming { .. }, Event::Deadline | Event::PingFailed) => {
            (State::Ready, vec![AnnounceReady { confirmed: false }])
        }
        (State::Confirming { .. }, Event::PingAnswered) => {
            (State::Ready, vec![AnnounceReady { confirmed: true }])
        }

        (State::Starting { held }, Event::Notice(Notice::Ready)) if rules.can_ping => {
            let until = after(now, PING_PATIENCE);
            let actions = [Ping].into_iter().chain(held.forward()).collect();
            (State::Confirming { until }, actions)
        }
        (State::Starting { held }, Event::Notice(Notice::Ready)) => {
            let ready = AnnounceReady { confirmed: false };
            let actions = [ready].into_iter().chain(held.forward()).collect();
            (State::Ready, actions)
        }
        (State::Reloading, Event::Notice(Notice::Ready)) => {
            (State::Ready, vec![AnnounceReady { confirmed: false }])
        }
        (State::Ready, Event::Notice(Notice::Reloading)) => {
            (State::Reloading, vec![AnnounceReloading])
        }
        // It stops by itself: its exit code will be ours.
        (
            State::Starting { .. } | State::Ready | State::Reloading,
            Event::Notice(Notice::Stopping),
        ) => (state, vec![AnnounceStopping]),

        // Repeated or late notices and answers say nothing new.
        (_, Event::Notice(_) | Event::PingAnswered | Event::PingFailed | Event::Deadline) => {
            (state, vec![])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: Rules = Rules {
        stop_timeout: Duration::from_secs(9),
        can_ping: true,
    };

    fn run(events: &[Event]) -> (State, Vec<Action>) {
        let held = Held::default();
        events.iter().fold(
            (State::Starting { held }, vec![]),
            |(state, mut actions), event| {
                let (state, more) = step(RULES, state, *event, 0);
                actions.extend(more);
                (state, actions)
            },
        )
    }

    #[test]
    fn ready_is_announced_once_and_confirmed_by_the_ping() {
        let ready = Event::Notice(Notice::Ready);
        let (state, actions) = run(&[ready, ready, Event::PingAnswered, ready]);
        assert_eq!(state, State::Ready);
        assert_eq!(
            actions,
            [Action::Ping, Action::AnnounceReady { confirmed: true }]
        );
    }

    #[test]
    fn a_late_ping_is_ready_without_confirmation() {
        let (_, actions) = run(&[Event::Notice(Notice::Ready), Event::Deadline]);
        assert_eq!(
            actions,
            [Action::Ping, Action::AnnounceReady { confirmed: false }]
        );
    }

    #[test]
    fn a_requested_stop_ends_with_zero_whatever_dockerd_says() {
        for outcome in [
            Outcome::Code(0),
            Outcome::Code(1),
            Outcome::Signal(libc::SIGTERM),
        ] {
            let (state, actions) =
                run(&[Event::Signal(libc::SIGTERM), Event::DockerdEnded(outcome)]);
            assert_eq!(state, State::Ended { code: 0 });
            assert_eq!(
                actions,
                [
                    Action::AnnounceStopping,
                    Action::CloseListeners,
                    Action::Forward(libc::SIGTERM)
                ]
            );
        }
    }

    #[test]
    fn the_third_request_kills() {
        let term = Event::Signal(libc::SIGTERM);
        let (state, _) = run(&[term, term]);
        assert!(matches!(state, State::Stopping { asked: 2, .. }));
        let (state, actions) = run(&[term, Event::Signal(libc::SIGINT), term]);
        assert_eq!(state, State::Killed);
        assert!(actions.ends_with(&[Action::ReportKill, Action::Kill]));
    }

    #[test]
    fn an_end_that_nobody_asked_for_has_dockerds_own_code() {
        assert_eq!(
            run(&[Event::DockerdEnded(Outcome::Code(1))]).0,
            State::Ended { code: 1 }
        );
        let killed = Event::DockerdEnded(Outcome::Signal(libc::SIGKILL));
        assert_eq!(run(&[killed]).0, State::Ended { code: 137 });
    }

    #[test]
    fn signals_reach_dockerd_in_every_living_state() {
        for signal in [libc::SIGHUP, libc::SIGUSR1, libc::SIGQUIT, libc::SIGWINCH] {
            for before in [Event::Notice(Notice::Ready), Event::Signal(libc::SIGTERM)] {
                let (_, actions) = run(&[before, Event::Signal(signal)]);
                assert_eq!(actions.last(), Some(&Action::Forward(signal)));
            }
        }
        let (_, actions) = run(&[Event::Signal(libc::SIGWINCH)]);
        assert_eq!(actions, [Action::Forward(libc::SIGWINCH)]);
    }

    #[test]
    fn hup_and_usr1_are_held_until_dockerd_is_ready() {
        let early = [libc::SIGUSR1, libc::SIGHUP, libc::SIGUSR1].map(Event::Signal);
        let (state, actions) = run(&early);
        assert!(matches!(state, State::Starting { .. }) && actions.is_empty());
        let (_, actions) = run(&[&early[..], &[Event::Notice(Notice::Ready)]].concat());
        let expected = [libc::SIGHUP, libc::SIGUSR1].map(Action::Forward);
        assert_eq!(actions, [&[Action::Ping], &expected[..]].concat());
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (1i32..31).prop_map(Event::Signal),
            Just(Event::Notice(Notice::Ready)),
            Just(Event::Notice(Notice::Reloading)),
            Just(Event::Notice(Notice::Stopping)),
            Just(Event::PingAnswered),
            Just(Event::PingFailed),
            Just(Event::Deadline),
        ]
    }

    proptest! {
        #[test]
        fn a_stop_always_has_an_end(events in proptest::collection::vec(any_event(), 0..40)) {
            let (state, _) = run(&events);
            let stopping = matches!(state, State::Stopping { .. } | State::Killed);
            let asked = events.iter().any(|e| matches!(e, Event::Signal(2 | 15)));
            prop_assert_eq!(stopping, asked);
            let (ended, _) = step(RULES, state, Event::DockerdEnded(Outcome::Code(7)), 0);
            prop_assert_eq!(ended, State::Ended { code: if asked { 0 } else { 7 } });
            if let State::Stopping { .. } = state {
                let (killed, actions) = step(RULES, state, Event::Deadline, 0);
                prop_assert_eq!(killed, State::Killed);
                prop_assert!(actions.contains(&Action::Kill));
            }
        }

        #[test]
        fn nothing_happens_after_the_end(event in any_event()) {
            let (state, actions) = step(RULES, State::Ended { code: 3 }, event, 9);
            prop_assert_eq!(state, State::Ended { code: 3 });
            prop_assert!(actions.is_empty());
        }
    }
}
