//! What is looked after beside the one process that is followed: processes that are started again
//! when they die, sockets that are read. The loops that follow one know nothing else of them.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitStatus};

/// A process or a socket that lives beside the process that is followed.
pub trait Companion {
    /// Descriptors that [`Companion::work`] is to be called for.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }
    /// When it is to be called at the latest.
    fn deadline(&self) -> Option<Instant> {
        None
    }
    /// Does what is due; never waits.
    fn work(&mut self) {}
    /// Hears of every process that was reaped.
    fn reaped(&mut self, _pid: Pid, _status: WaitStatus) {}
    /// Whether to return while there is no process to follow.
    fn is_over(&self) -> bool {
        false
    }
    /// Ends it for good: what dies from now on is not started again.
    fn stop(&mut self) {}
}

/// Nothing is looked after.
impl Companion for () {}

/// A process that does not live so long counts as failed.
const SOON: Duration = Duration::from_secs(2);

/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// When a companion's process is started again: at once, or after a pause where it failed.
#[derive(Debug)]
pub struct Respawn {
    /// Failures in a row after which it is given up; without a number it never is.
    most: Option<u32>,
    process: Option<(Pid, Instant)>,
    failures: u32,
    due: Option<Instant>,
}

/// What becomes of a process that died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is started again when [`Respawn::is_due`].
    Again,
    /// It failed too often.
    GivenUp,
}

impl Respawn {
    /// Nothing runs yet. `most` is how many failures in a row are the last ones.
    #[must_use]
    pub fn new(most: Option<u32>) -> Self {
        Self {
            most,
            process: None,
            failures: 0,
            due: None,
        }
    }

    /// The same, to be started at once.
    #[must_use]
    pub fn due(most: Option<u32>) -> Self {
        Self {
            due: Some(Instant::now()),
            ..Self::new(most)
        }
    }

    /// The process runs.
    pub fn started(&mut self, pid: Pid) {
        self.process = Some((pid, Instant::now()));
    }

    /// Another process goes on with the work of the first, as that of a daemon does.
    pub fn continues_as(&mut self, pid: Pid) {
        if let Some((own, _)) = &mut self.process {
            *own = pid;
        }
    }

    /// The process, where it runs.
    #[must_use]
    pub fn process(&self) -> Option<Pid> {
        self.process.map(|(pid, _)| pid)
    }

    /// What becomes of a process that was reaped; nothing where it is another's.
    pub fn reaped(&mut self, pid: Pid) -> Option<Verdict> {
        let (_, since) = self.process.take_if(|(own, _)| *own == pid)?;
        let soon = since.elapsed() < SOON;
        self.failures = if soon { self.failures + 1 } else { 0 };
        Some(self.again(if soon { PAUSE } else { Duration::ZERO }))
    }

    /// The process could not be started.
    pub fn failed(&mut self) -> Verdict {
        self.failures += 1;
        self.again(PAUSE)
    }

    fn again(&mut self, pause: Duration) -> Verdict {
        if self.most.is_some_and(|most| self.failures >= most) {
            return Verdict::GivenUp;
        }
        self.due = Some(Instant::now() + pause);
        Verdict::Again
    }

    /// When the pause is over.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Whether the process is to be started now; true once.
    pub fn is_due(&mut self) -> bool {
        self.due.take_if(|due| *due <= Instant::now()).is_some()
    }

    /// Nothing is started again from now on; the process that runs, if there is one.
    pub fn stop(&mut self) -> Option<Pid> {
        self.due = None;
        self.process.take().map(|(pid, _)| pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid(number: i32) -> Pid {
        Pid::from_raw(number).unwrap()
    }

    #[test]
    fn who_dies_soon_has_a_pause_and_is_given_up_in_the_end() {
        let mut respawn = Respawn::new(Some(3));
        respawn.started(pid(7));
        assert_eq!(respawn.reaped(pid(8)), None, "another's");
        assert_eq!(respawn.reaped(pid(7)), Some(Verdict::Again));
        assert!(!respawn.is_due() && respawn.deadline().is_some());
        assert_eq!(respawn.reaped(pid(7)), None, "once");
        assert_eq!(respawn.failed(), Verdict::Again);
        respawn.started(pid(9));
        assert_eq!(respawn.reaped(pid(9)), Some(Verdict::GivenUp));
    }

    #[test]
    fn who_lived_is_started_at_once_and_its_failures_are_forgotten() {
        let mut respawn = Respawn::new(Some(2));
        assert_eq!(respawn.failed(), Verdict::Again);
        respawn.due = None;
        respawn.process = Instant::now()
            .checked_sub(SOON)
            .map(|long_ago| (pid(7), long_ago));
        assert_eq!(respawn.reaped(pid(7)), Some(Verdict::Again));
        assert!(respawn.is_due());
        assert!(!respawn.is_due(), "once");
        assert_eq!(respawn.failed(), Verdict::Again, "the first one in a row");
    }

    #[test]
    fn what_is_stopped_does_not_come_back() {
        let mut respawn = Respawn::new(None);
        respawn.started(pid(7));
        respawn.continues_as(pid(8));
        assert_eq!(respawn.process(), Some(pid(8)));
        assert_eq!(respawn.reaped(pid(8)), Some(Verdict::Again));
        assert_eq!(respawn.stop(), None);
        assert_eq!(respawn.deadline(), None);
    }
}
