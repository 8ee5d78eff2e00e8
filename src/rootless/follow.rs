//! One poll loop for the processes that only stand between others: forward signals to one
//! process, reap everything, and end with it.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitOptions, WaitStatus};

use crate::supervise::machine::Outcome;
use crate::sys::signal;

/// What is looked after meanwhile.
pub(super) trait Beside {
    /// Descriptors that [`Beside::work`] is to be called for.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>>;
    /// When it is to be called at the latest.
    fn deadline(&self) -> Option<Instant>;
    /// Does what is due.
    fn work(&mut self);
    /// Hears of every process that was reaped.
    fn reaped(&mut self, pid: Pid, status: WaitStatus);
}

/// Follows a process to its end.
pub(super) fn follow(process: Pid, signals: &SignalFd, beside: &mut impl Beside) -> Outcome {
    loop {
        let left = beside
            .deadline()
            .map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
        let more = beside.descriptors().into_iter();
        fds.extend(more.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let _ = poll(&mut fds, left.as_ref());
        drop(fds);
        beside.work();
        while let Ok(Some(info)) = signals.read_signal() {
            let number = i32::try_from(info.ssi_signo).unwrap_or(0);
            if crate::supervise::forwardable(number) {
                let _ = signal::send(process, number); // it may just have ended
            }
        }
        let mut outcome = None;
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            beside.reaped(pid, status);
            if pid == process {
                outcome = Some(ended(status));
            }
        }
        if let Some(outcome) = outcome {
            return outcome;
        }
    }
}

fn ended(status: WaitStatus) -> Outcome {
    match status.terminating_signal() {
        Some(signal) => Outcome::Signal(signal),
        None => {
            let code = status.exit_status().unwrap_or_default();
            Outcome::Code(u8::try_from(code).unwrap_or(u8::MAX))
        }
    }
}
