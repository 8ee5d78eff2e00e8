//! One round of a loop that follows processes: sleep until something happens, take signals
//! ([`crate::sys::signal::forwardable`]), reap. What a round brings is the loop's own: PID 1 has
//! events for a state machine, [`super::follow`] hands signals on.
//!
//! The `docker-init` persona only reaps here: it sleeps in `sigtimedwait(2)`, without a descriptor
//! or memory for a list of them.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, WaitOptions, WaitStatus};

use super::companion::Companion;
use crate::log;
use crate::sys::time;
use crate::sys::watchdog::{self, Doing};

/// What ends the sleep between two rounds.
pub struct Sources<'a> {
    fds: Vec<PollFd<'a>>,
    deadline: Option<Instant>,
}

impl<'a> Sources<'a> {
    /// Signals, and whoever reads our log when lines wait for that.
    #[must_use]
    pub fn new(signals: &'a SignalFd) -> Self {
        let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
        let log = log::queue().filter(|queue| queue.waiting() > 0);
        fds.extend(log.map(|queue| PollFd::new(queue, PollFlags::OUT)));
        Self {
            fds,
            deadline: None,
        }
    }

    /// Something to be read from one of these.
    pub fn read(&mut self, fds: impl IntoIterator<Item = BorrowedFd<'a>>) {
        let fds = fds.into_iter();
        self.fds
            .extend(fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    }

    /// A deadline; the nearest one counts.
    pub fn until(&mut self, deadline: Option<Instant>) {
        self.deadline = self.deadline.into_iter().chain(deadline).min();
    }

    /// What companions wait for.
    pub fn look_after(&mut self, companions: impl IntoIterator<Item = &'a dyn Companion>) {
        for companion in companions {
            self.read(companion.descriptors());
            self.until(companion.deadline());
        }
    }

    /// Sleeps; the watchdog hears what the new round begins with.
    pub fn sleep(mut self, then: Doing) {
        let left = self.deadline.map(time::until);
        watchdog::rest();
        let _ = poll(&mut self.fds, left.as_ref());
        watchdog::turn(then);
        if let Some(queue) = log::queue() {
            queue.flush();
        }
    }
}

/// Who is left when [`reap_most`] is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    Living,
    /// More may be dead.
    Unknown,
    Nobody,
}

/// Reaps children that are dead, but no more than so many.
pub fn reap_most(most: usize, mut each: impl FnMut(Pid, WaitStatus)) -> Left {
    for _ in 0..most {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => each(pid, status),
            Ok(None) => return Left::Living,
            Err(_) => return Left::Nobody,
        }
    }
    Left::Unknown
}

/// Reaps every child that is dead, and tells companions of it. To be called in every round, and
/// not only after `SIGCHLD`: signals of one kind are merged.
pub fn reap<'a>(
    companions: impl IntoIterator<Item = &'a mut dyn Companion>,
) -> Vec<(Pid, WaitStatus)> {
    let mut dead = Vec::new();
    reap_most(usize::MAX, |pid, status| dead.push((pid, status)));
    for companion in companions {
        for (pid, status) in &dead {
            companion.reaped(*pid, *status);
        }
    }
    dead
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test signals itself")]
mod tests {
    use std::io::Read as _;
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process, waitpid};

    use super::*;
    use crate::sys::{fork, service, signal};

    #[derive(Default)]
    struct Heard(Vec<(Pid, WaitStatus)>);

    impl Companion for Heard {
        fn reaped(&mut self, pid: Pid, status: WaitStatus) {
            self.0.push((pid, status));
        }
    }

    #[test]
    fn the_nearest_deadline_counts() {
        let signals = signal::signal_fd().unwrap();
        let mut sources = Sources::new(&signals);
        let now = Instant::now();
        for seconds in [9, 3, 6] {
            sources.until(Some(now + Duration::from_secs(seconds)));
        }
        sources.until(None);
        assert_eq!(sources.deadline, Some(now + Duration::from_secs(3)));
    }

    fn until_it_ends() -> (Vec<i32>, bool) {
        signal::block_all().unwrap();
        let signals = signal::signal_fd().unwrap();
        let own = getpid();
        kill_process(own, Signal::PIPE).unwrap();
        let child = service::fork(&[], || {
            kill_process(own, Signal::TERM).unwrap();
            7
        });
        let child = child.unwrap();
        let (mut numbers, mut heard, mut dead) = (Vec::new(), Heard::default(), Vec::new());
        while dead.is_empty() {
            Sources::new(&signals).sleep(Doing::Signals);
            numbers.extend(signal::forwardable(&signals));
            dead = reap([&mut heard as &mut dyn Companion]);
        }
        // The child may have sent its signal after the last look.
        numbers.extend(signal::forwardable(&signals));
        let told = heard
            .0
            .iter()
            .map(|(pid, status)| (*pid, status.exit_status()));
        let told = told.eq([(child, Some(7))]) && dead.len() == 1;
        (numbers, told && reap_most(1, |_, _| ()) == Left::Nobody)
    }

    #[test]
    fn signals_of_others_are_taken_and_companions_hear_of_the_dead() {
        // In a process of its own: it would reap the children of other tests.
        let asked = fork::ask(|| format!("{:?}", until_it_ends()).into_bytes());
        let (child, pipe) = asked.unwrap();
        waitpid(Some(child), WaitOptions::empty()).unwrap();
        let mut text = String::new();
        let _ = std::fs::File::from(pipe).read_to_string(&mut text);
        assert_eq!(text, format!("{:?}", ([libc::SIGTERM], true)));
    }
}
