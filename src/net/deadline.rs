//! How long a client waits, and what ends the waiting early.
//!
//! Every blocking call of the client side goes through one `poll(2)` here: it has a deadline, it
//! ends when a stop descriptor becomes readable (a signal), and it can say once, after a while,
//! what it is waiting for.

use crate::sys::time::timespec;
use std::borrow::Cow;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

/// No wait is longer; keeps arithmetic on instants away from overflow.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Why a wait ended before what it waited for. Travels inside [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The deadline passed.
    #[error("the deadline passed")]
    Deadline,
    /// The stop descriptor became readable.
    #[error("stopped")]
    Stopped,
}

impl Halt {
    /// The halt inside an I/O error, if that is what it is.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Self>().copied()
    }
}

impl From<Halt> for io::Error {
    fn from(halt: Halt) -> Self {
        Self::other(halt)
    }
}

/// Deadlines, the stop descriptor and the notice of one client command.
pub struct Deadline<'a> {
    limit: Duration,
    end: Instant,
    attempt: Instant,
    stop: Option<BorrowedFd<'a>>,
    notice: Option<Notice<'a>>,
    activity: Cow<'static, str>,
}

struct Notice<'a> {
    at: Instant,
    tell: Box<dyn FnMut(&str) + 'a>,
}

impl<'a> Deadline<'a> {
    /// Deadline that ends after a while.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        let end = Instant::now() + limit.min(LONGEST);
        Self {
            limit,
            end,
            attempt: end,
            stop: None,
            notice: None,
            activity: "".into(),
        }
    }

    /// Ends also when `stop` becomes readable.
    #[must_use]
    pub fn with_stop(mut self, stop: BorrowedFd<'a>) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Calls `tell` once, with the activity of that moment, when a wait lasts beyond `after`.
    #[must_use]
    pub fn with_notice(mut self, after: Duration, tell: impl FnMut(&str) + 'a) -> Self {
        self.notice = Some(Notice {
            at: Instant::now() + after.min(LONGEST),
            tell: Box::new(tell),
        });
        self
    }

    /// Starts an attempt, which ends after `limit` or with everything else.
    pub fn begin_attempt(&mut self, limit: Duration) {
        self.attempt = (Instant::now() + limit.min(LONGEST)).min(self.end);
    }

    /// Whether the end of everything has come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// The whole time, as it was given.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// What is left of this attempt.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.attempt.saturating_duration_since(Instant::now())
    }

    /// Sets what the notice says is going on.
    pub fn doing(&mut self, activity: impl Into<Cow<'static, str>>) {
        self.activity = activity.into();
    }

    /// Waits until the descriptor is ready, at most until `until` (`false` then) and never beyond
    /// the attempt.
    ///
    /// # Errors
    /// A [`Halt`], or what poll(2) says.
    pub fn ready(
        &mut self,
        fd: BorrowedFd<'_>,
        flags: PollFlags,
        until: Option<Instant>,
    ) -> io::Result<bool> {
        let attempt = self.attempt;
        let until = until.filter(|until| *until < attempt);
        if self.poll(Some((fd, flags)), until.unwrap_or(attempt))? {
            return Ok(true);
        }
        match until {
            Some(_) => Ok(false),
            None => Err(Halt::Deadline.into()),
        }
    }

    /// Lets time pass between attempts, at most until the end of everything.
    ///
    /// # Errors
    /// [`Halt::Stopped`], or what poll(2) says.
    pub fn pause(&mut self, length: Duration) -> io::Result<()> {
        let until = (Instant::now() + length.min(LONGEST)).min(self.end);
        self.poll(None, until).map(|_| ())
    }

    fn poll(
        &mut self,
        wanted: Option<(BorrowedFd<'_>, PollFlags)>,
        until: Instant,
    ) -> io::Result<bool> {
        loop {
            let now = Instant::now();
            if let Some(notice) = &mut self.notice
                && now >= notice.at
            {
                (notice.tell)(&self.activity);
                self.notice = None;
            }
            let wake = self
                .notice
                .as_ref()
                .map_or(until, |notice| notice.at.min(until));
            let (mut stopped, mut ready) = (false, false);
            let timeout = timespec(wake.saturating_duration_since(now));
            // A closed standard descriptor never stands in for one that is not there: the list
            // has only what exists.
            let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(2);
            if let Some(stop) = &self.stop {
                fds.push(PollFd::new(stop, PollFlags::IN));
            }
            if let Some((fd, flags)) = &wanted {
                fds.push(PollFd::new(fd, *flags));
            }
            match rustix::event::poll(&mut fds, Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let mut answers = fds.iter().map(|fd| !fd.revents().is_empty());
            if self.stop.is_some() {
                stopped = answers.next().unwrap_or(false);
            }
            if wanted.is_some() {
                ready = answers.next().unwrap_or(false);
            }
            if stopped {
                return Err(Halt::Stopped.into());
            }
            if ready {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
        }
    }
}

/// A connected, non-blocking socket, read and written with a deadline.
pub struct Wire<'w, 'a> {
    /// The socket.
    pub fd: BorrowedFd<'w>,
    pub deadline: &'w mut Deadline<'a>,
}

impl io::Read for Wire<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::io::read(self.fd, &mut *buffer) {
                Err(rustix::io::Errno::AGAIN) => {
                    self.deadline.ready(self.fd, PollFlags::IN, None)?;
                }
                Err(rustix::io::Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }
}

impl io::Write for Wire<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            // NOSIGNAL: the binary leaves SIGPIPE as it was, which is usually deadly.
            match rustix::net::send(self.fd, bytes, rustix::net::SendFlags::NOSIGNAL) {
                Err(rustix::io::Errno::AGAIN) => {
                    self.deadline.ready(self.fd, PollFlags::OUT, None)?;
                }
                Err(rustix::io::Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Wire<'_, '_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_silent_peer_ends_at_the_deadline_and_not_at_the_earlier_bound() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut deadline = Deadline::new(Duration::from_millis(20));
        let soon = Instant::now() + Duration::from_millis(1);
        assert!(
            !deadline
                .ready(ours.as_fd(), PollFlags::IN, Some(soon))
                .unwrap()
        );
        let late = deadline
            .ready(ours.as_fd(), PollFlags::IN, None)
            .unwrap_err();
        assert_eq!(Halt::of(&late), Some(Halt::Deadline));
        assert!(deadline.is_over());
    }

    #[test]
    fn a_stop_beats_a_ready_descriptor() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (stop, mut stopper) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        let mut deadline = Deadline::new(Duration::from_secs(60)).with_stop(stop.as_fd());
        assert!(deadline.ready(ours.as_fd(), PollFlags::IN, None).unwrap());
        stopper.write_all(b"x").unwrap();
        let stopped = deadline
            .ready(ours.as_fd(), PollFlags::IN, None)
            .unwrap_err();
        assert_eq!(Halt::of(&stopped), Some(Halt::Stopped));
        let stopped = deadline.pause(Duration::from_secs(60)).unwrap_err();
        assert_eq!(Halt::of(&stopped), Some(Halt::Stopped));
    }

    #[test]
    fn the_notice_comes_once_with_what_was_going_on() {
        let mut told = Vec::new();
        let mut deadline = Deadline::new(Duration::from_millis(10))
            .with_notice(Duration::ZERO, |activity| told.push(activity.to_owned()));
        deadline.doing("hoping");
        deadline.pause(Duration::from_millis(1)).unwrap();
        deadline.doing("despairing");
        deadline.pause(Duration::from_millis(1)).unwrap();
        drop(deadline);
        assert_eq!(told, ["hoping"]);
    }

    #[test]
    fn a_wait_without_end_does_not_overflow() {
        let mut deadline = Deadline::new(Duration::MAX).with_notice(Duration::MAX, |_| {});
        deadline.begin_attempt(Duration::MAX);
        assert!(!deadline.is_over());
    }
}
