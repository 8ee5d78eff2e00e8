//! One poll loop for the processes that only stand between others: forward signals to one
//! process, reap everything, and end with it. Without one, they wait until they are asked to end.

use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, WaitOptions};

use super::Outcome;
use super::companion::Companion;
use crate::sys::process::Child;
use crate::sys::signal;
use crate::sys::time;
use crate::sys::watchdog::{self, Doing};

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

fn once(process: Option<Pid>, signals: &SignalFd, companion: &mut impl Companion) -> Round {
    let mut round = Round {
        ended: None,
        asked: false,
    };
    let left = companion.deadline().map(time::until);
    let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
    let more = companion.descriptors().into_iter();
    fds.extend(more.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    // What was said while nobody read.
    let log = crate::log::queue().filter(|queue| queue.waiting() > 0);
    fds.extend(log.map(|queue| PollFd::new(queue, PollFlags::OUT)));
    watchdog::rest();
    let _ = poll(&mut fds, left.as_ref());
    watchdog::turn(Doing::Namespaces);
    drop(fds);
    if let Some(queue) = log {
        queue.flush();
    }
    companion.work();
    for number in signal::forwardable(signals) {
        match process {
            // It may just have ended.
            Some(process) => drop(Child(process).signal(number)),
            None => round.asked |= [libc::SIGTERM, libc::SIGINT].contains(&number),
        }
    }
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        companion.reaped(pid, status);
        if Some(pid) == process {
            round.ended = Some(status.into());
        }
    }
    round
}
