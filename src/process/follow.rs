//! The loop of processes that only stand between others: forward signals to one process, reap
//! everything, and end with it. Without one, they wait until they are asked to end.

use nix::sys::signalfd::SignalFd;
use rustix::process::Pid;

use super::Outcome;
use super::companion::Companion;
use super::rounds::{self, Sources};
use crate::sys::process::Child;
use crate::sys::signal;
use crate::sys::watchdog::Doing;

/// Follows a process to its end.
pub fn follow(process: Pid, signals: &SignalFd, companion: &mut impl Companion) -> Outcome {
    loop {
        if let Some(outcome) = once(Some(process), signals, companion).ended {
            return outcome;
        }
    }
}

/// Stands by until it [`Companion::is_over`], or a signal asks us to end; true in the latter case.
pub fn stand_by(signals: &SignalFd, companion: &mut impl Companion) -> bool {
    loop {
        if once(None, signals, companion).asked {
            return true;
        }
        if companion.is_over() {
            return false;
        }
    }
}

struct Round {
    ended: Option<Outcome>,
    asked: bool,
}

fn once<C: Companion>(process: Option<Pid>, signals: &SignalFd, companion: &mut C) -> Round {
    let mut round = Round {
        ended: None,
        asked: false,
    };
    let mut sources = Sources::new(signals);
    sources.look_after([companion as &dyn Companion]);
    sources.sleep(Doing::Namespaces);
    companion.work();
    for number in signal::forwardable(signals) {
        match process {
            // It may just have ended.
            Some(process) => drop(Child(process).signal(number)),
            None => round.asked |= [libc::SIGTERM, libc::SIGINT].contains(&number),
        }
    }
    for (pid, status) in rounds::reap([companion as &mut dyn Companion]) {
        if Some(pid) == process {
            round.ended = Some(status.into());
        }
    }
    round
}
