use proptest::prelude::*;

use super::*;

const RULES: Rules = Rules {
    can_ping: true,
    restart: RestartPolicy::Never,
    drain: false,
    drain_most: None,
};
const RESTART: Rules = Rules {
    restart: RestartPolicy::OnFailure { most: 2 },
    ..RULES
};
const TERM: Event = Event::Signal(libc::SIGTERM);
const READY: Event = Event::Notice(Notice::Ready);
const LIMIT: Millis = 9000;

fn ended(outcome: Outcome) -> Event {
    Event::DockerdEnded {
        outcome,
        transient: false,
    }
}

fn machine() -> Machine {
    Machine::new(Some(LIMIT), Command::None)
}

fn run_from(machine: Machine, rules: Rules, events: &[Event]) -> (Machine, Vec<Action>) {
    let start = (machine, vec![]);
    events.iter().fold(start, |(machine, mut actions), event| {
        let (machine, more) = machine.step(&rules, *event, 0);
        actions.extend(more);
        (machine, actions)
    })
}

fn run(events: &[Event]) -> (Machine, Vec<Action>) {
    run_from(machine(), RULES, events)
}

#[test]
fn ready_is_announced_once_and_confirmed_by_the_ping() {
    let (machine, actions) = run(&[READY, READY, Event::PingAnswered, READY]);
    assert_eq!(machine.state, State::Ready);
    assert_eq!(
        actions,
        [Action::Ping, Action::AnnounceReady { confirmed: true }]
    );
    let (_, actions) = run(&[READY, Event::Deadline]);
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
        let (machine, actions) = run(&[TERM, ended(outcome), Event::NoneLeft, Event::NoneLeft]);
        assert_eq!(machine.state, State::Ended { code: 0 });
        assert_eq!(
            actions,
            [
                Action::AnnounceStopping,
                Action::CloseListeners,
                Action::ReadContainers,
                Action::Forward(libc::SIGTERM),
                Action::StopContainers,
                Action::EndLeftovers(libc::SIGTERM),
            ]
        );
    }
}

#[test]
fn the_containers_are_killed_before_dockerd_is() {
    let (machine, _) = run(&[READY, Event::PingAnswered, TERM]);
    assert_eq!(machine.deadline(), Some(7000));
    let (machine, actions) = machine.step(&RULES, Event::Deadline, 7000);
    assert_eq!(actions, [Action::ReportEscalation, Action::KillContainers]);
    assert_eq!(machine.deadline(), Some(7500));
    let (machine, actions) = machine.step(&RULES, Event::Deadline, 7500);
    assert_eq!(actions, [Action::KillContainers]);
    let (machine, actions) = machine.step(&RULES, Event::Deadline, 9000);
    assert!(actions.contains(&Action::Kill));
    assert!(matches!(machine.state, State::Killed { .. }));
}

#[test]
fn a_budget_that_is_known_later_moves_the_deadlines() {
    let (machine, _) = run(&[TERM, Event::BudgetKnown(Some(63_000))]);
    assert_eq!(machine.deadline(), Some(61_000));
    let (machine, _) = run(&[TERM, Event::BudgetKnown(None)]);
    assert_eq!(machine.deadline(), None);
}

#[test]
fn the_third_request_kills() {
    let (machine, _) = run(&[TERM, TERM]);
    assert!(matches!(machine.state, State::Stopping { .. }));
    let (machine, actions) = run(&[TERM, Event::Signal(libc::SIGINT), TERM]);
    assert!(matches!(machine.state, State::Killed { .. }));
    assert!(actions.ends_with(&[Action::ReportKill, Action::KillContainers, Action::Kill]));
}

#[test]
fn a_drain_serves_on_and_the_second_request_skips_it() {
    let rules = Rules {
        drain: true,
        drain_most: Some(60_000),
        ..RULES
    };
    let up = [READY, Event::PingAnswered, TERM];
    let (draining, actions) = run_from(machine(), rules, &up);
    assert!(matches!(draining.state, State::Draining { .. }));
    assert!(!actions.contains(&Action::CloseListeners));
    for end in [Event::Drained, TERM] {
        let (machine, actions) = draining.clone().step(&rules, end, 5000);
        assert_eq!(machine.state, State::Stopping { since: 5000 });
        assert!(actions.contains(&Action::Forward(libc::SIGTERM)));
    }
    let (machine, actions) = draining.clone().step(&rules, Event::Deadline, 1000);
    assert_eq!(actions, [Action::CheckDrain]);
    let (machine, _) = machine.step(&rules, Event::Deadline, 60_000);
    assert_eq!(machine.state, State::Stopping { since: 60_000 });
    let (machine, _) = run_from(machine, rules, &[TERM, TERM]);
    assert!(
        matches!(machine.state, State::Killed { .. }),
        "the drain's request counts"
    );
}

#[test]
fn an_end_that_nobody_asked_for_has_dockerds_own_code() {
    let alone = [Event::NoneLeft, Event::NoneLeft];
    for (outcome, code) in [
        (Outcome::Code(1), 1),
        (Outcome::Code(0), 0),
        (Outcome::Signal(libc::SIGKILL), 137),
    ] {
        let (machine, actions) = run(&[&[ended(outcome)][..], &alone].concat());
        assert_eq!(machine.state, State::Ended { code });
        assert!(actions.contains(&Action::ReportDeath(outcome)));
        assert!(actions.contains(&Action::CloseListeners));
    }
}

#[test]
fn what_nobody_can_record_any_more_is_killed_at_once() {
    let killed = ended(Outcome::Signal(libc::SIGKILL));
    let (machine, actions) = run(&[READY, Event::PingAnswered, killed]);
    assert!(actions.contains(&Action::KillContainers));
    assert!(!actions.contains(&Action::StopContainers));
    assert!(matches!(
        machine.state,
        State::Leaving {
            stage: Stage::Leftovers,
            ..
        }
    ));
}

#[test]
fn a_ready_daemon_that_dies_is_started_again_with_its_sockets_open() {
    let killed = ended(Outcome::Signal(libc::SIGKILL));
    let up = [READY, Event::PingAnswered];
    let (machine, actions) = run_from(machine(), RESTART, &[&up[..], &[killed]].concat());
    assert!(matches!(machine.state, State::Restarting { .. }));
    assert!(!actions.contains(&Action::CloseListeners));
    let (machine, actions) = run_from(machine, RESTART, &[Event::Deadline]);
    assert_eq!(machine.state, State::Starting);
    assert_eq!(actions, [Action::StartAgain]);
    let (machine, actions) = run_from(machine, RESTART, &[killed]);
    assert!(
        matches!(machine.state, State::Leaving { .. }),
        "a start that fails is permanent"
    );
    assert!(actions.contains(&Action::CloseListeners));
}

#[test]
fn a_stop_while_restarting_ends_without_a_dockerd() {
    let killed = ended(Outcome::Signal(libc::SIGKILL));
    let events = [
        READY,
        Event::PingAnswered,
        killed,
        TERM,
        Event::NoneLeft,
        Event::NoneLeft,
    ];
    let (machine, actions) = run_from(machine(), RESTART, &events);
    assert_eq!(machine.state, State::Ended { code: 0 });
    assert!(!actions.contains(&Action::Forward(libc::SIGTERM)));
}

#[test]
fn signals_reach_dockerd_in_every_living_state() {
    let up = [READY, Event::PingAnswered];
    for signal in [libc::SIGHUP, libc::SIGUSR1, libc::SIGQUIT, libc::SIGWINCH] {
        for before in [&up[..], &[READY], &[READY, Event::PingAnswered, TERM]] {
            let (_, actions) = run(&[before, &[Event::Signal(signal)]].concat());
            assert_eq!(actions.last(), Some(&Action::Forward(signal)));
        }
    }
    let (_, actions) = run(&[Event::Signal(libc::SIGWINCH)]);
    assert_eq!(actions, [Action::Forward(libc::SIGWINCH)]);
}

#[test]
fn hup_and_usr1_are_held_until_dockerd_is_ready() {
    let early = [libc::SIGUSR1, libc::SIGHUP, libc::SIGUSR1].map(Event::Signal);
    let (machine, actions) = run(&early);
    assert!(machine.state == State::Starting && actions.is_empty());
    let (_, actions) = run(&[&early[..], &[READY, Event::PingAnswered]].concat());
    let expected = [
        Action::Ping,
        Action::Forward(libc::SIGHUP),
        Action::Forward(libc::SIGUSR1),
        Action::AnnounceReady { confirmed: true },
    ];
    assert_eq!(actions, expected);
    let (_, actions) = run(&[TERM, Event::Signal(libc::SIGHUP)]);
    assert_eq!(actions.last(), Some(&Action::Forward(libc::SIGTERM)));
}

#[test]
fn a_command_runs_once_its_daemon_is_ready_and_its_code_is_ours() {
    let start = || Machine::new(Some(LIMIT), Command::Waiting);
    let up = [READY, Event::PingAnswered];
    let (machine, actions) = run_from(start(), RULES, &up);
    assert_eq!(actions.last(), Some(&Action::RunCommand));
    let (_, actions) = run_from(machine.clone(), RULES, &[Event::Signal(libc::SIGINT)]);
    assert_eq!(actions, [Action::ForwardToCommand(libc::SIGINT)]);
    let end = [ended(Outcome::Code(0)), Event::NoneLeft, Event::NoneLeft];
    let (done, _) = run_from(machine.clone(), RULES, &[Event::CommandEnded(42)]);
    assert!(matches!(done.state, State::Stopping { .. }));
    assert_eq!(
        run_from(done, RULES, &end).0.state,
        State::Ended { code: 42 }
    );

    let (asked, actions) = run_from(machine.clone(), RULES, &[TERM]);
    assert!(actions.contains(&Action::ForwardToCommand(libc::SIGTERM)));
    assert!(!actions.contains(&Action::Forward(libc::SIGTERM)));
    let (done, _) = run_from(asked, RULES, &[Event::CommandEnded(143)]);
    assert!(matches!(done.state, State::Stopping { .. }));

    let (died, actions) = run_from(machine, RULES, &end);
    assert!(actions.contains(&Action::ForwardToCommand(libc::SIGTERM)));
    assert_eq!(died.state, State::Ended { code: 1 });
    let (never, _) = run_from(start(), RULES, &[&[TERM][..], &end].concat());
    assert_eq!(never.state, State::Ended { code: 143 });
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (1i32..31).prop_map(Event::Signal),
        Just(READY),
        Just(Event::Notice(Notice::Reloading)),
        Just(Event::Notice(Notice::Stopping)),
        Just(Event::PingAnswered),
        Just(Event::PingFailed),
        Just(Event::Drained),
        Just(Event::NoneLeft),
        (0u8..3).prop_map(Event::CommandEnded),
        (0u8..3).prop_map(Event::StartFailed),
        (0i32..2, any::<bool>()).prop_map(|(code, transient)| Event::DockerdEnded {
            outcome: if code == 0 {
                Outcome::Code(0)
            } else {
                Outcome::Signal(9)
            },
            transient,
        }),
        Just(Event::ExitWhen),
    ]
}

fn any_rules() -> impl Strategy<Value = Rules> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(can_ping, restart, drain)| Rules {
        can_ping,
        restart: if restart {
            RESTART.restart
        } else {
            RULES.restart
        },
        drain,
        drain_most: Some(5000),
    })
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![Just(Command::None), Just(Command::Waiting)]
}

/// Lets every deadline pass, with a dockerd that never ends by itself, not even when killed.
fn let_time_pass(mut machine: Machine, rules: &Rules) -> (Machine, Vec<(Millis, Action)>) {
    let mut log = Vec::new();
    let mut now = 0;
    while let Some(deadline) = machine.deadline() {
        now = deadline.max(now);
        let (next, actions) = machine.step(rules, Event::Deadline, now);
        log.extend(actions.into_iter().map(|action| (now, action)));
        machine = next;
        assert!(log.len() < 1000, "no end: {machine:?}");
    }
    (machine, log)
}

proptest! {
    #[test]
    fn after_any_story_a_stop_has_an_end_within_its_time(
        events in proptest::collection::vec(any_event(), 0..30),
        rules in any_rules(),
        command in any_command(),
    ) {
        let story = Machine::new(Some(LIMIT), command);
        let (machine, _) = run_from(story, rules, &events);
        let (machine, _) = machine.step(&rules, TERM, 0);
        let (machine, log) = let_time_pass(machine, &rules);
        prop_assert!(matches!(machine.state, State::Ended { .. }), "{:?}", machine.state);
        let drain = 5000;
        let end = log.last().map_or(0, |(at, _)| *at);
        prop_assert!(end <= drain + LIMIT + 5000, "{}", end);
        for (at, action) in &log {
            if *action == Action::Kill {
                prop_assert!(*at <= drain + LIMIT);
            }
        }
    }

    #[test]
    fn three_requests_never_leave_a_dockerd_without_a_kill(
        events in proptest::collection::vec(any_event(), 0..30),
        rules in any_rules(),
    ) {
        let (machine, _) = run_from(machine(), rules, &events);
        let (machine, _) = run_from(machine, rules, &[TERM, TERM, TERM]);
        let gone = matches!(
            machine.state,
            State::Killed { .. } | State::Leaving { .. } | State::Ended { .. }
        );
        prop_assert!(gone, "{:?}", machine.state);
    }

    #[test]
    fn there_is_one_exit_and_nothing_happens_after_it(
        events in proptest::collection::vec(any_event(), 0..10),
    ) {
        let end = [TERM, ended(Outcome::Code(3)), Event::NoneLeft, Event::NoneLeft];
        let (machine, _) = run(&end);
        prop_assert_eq!(machine.state, State::Ended { code: 0 });
        let (after, actions) = run_from(machine.clone(), RULES, &events);
        prop_assert_eq!(after.state, machine.state);
        prop_assert!(actions.is_empty());
    }
}
