//! Signals to processes that are not our children, and what became of them.
#![expect(
    clippy::disallowed_methods,
    reason = "who is signalled was held and compared"
)]

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;
use std::io;
use std::num::NonZeroI32;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::record::{Process, Unread};
use crate::sys::process::{Pidfd, signal_without_pidfd};

/// The most pidfds that are held at a time: what reads /proc needs descriptors as well.
const MOST_HELD: usize = 256;

/// The most processes that a message names.
const MOST_NAMED: usize = 8;

/// Processes whose end is awaited.
///
/// A process is held by a pidfd and compared after that, so that one which got the same id later
/// is never hit. Without pidfds (before kernel 5.3, or beyond `MOST_HELD`) the comparison comes
/// in the instant before the signal, and the end is looked for.
#[derive(Debug)]
pub struct Watch {
    proc: PathBuf,
    most_held: usize,
    awaited: BTreeMap<Key, Awaited>,
    held: usize,
    gone: usize,
}

/// Id and start time.
type Key = (NonZeroI32, u64);

#[derive(Debug)]
struct Awaited {
    process: Process,
    pidfd: Option<Pidfd>,
    /// It was alive, and had a signal.
    signalled: bool,
    /// Why the last signal was not sent.
    trouble: Option<String>,
}

/// Who has a process's id now.
enum Holder {
    Same,
    /// Nobody, or another one.
    Gone,
    Unknown(Unread),
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            most_held: MOST_HELD,
            awaited: BTreeMap::new(),
            held: 0,
            gone: 0,
        }
    }
}

impl Watch {
    /// What to poll; each becomes readable when its process is gone.
    pub fn pidfds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let held = self.awaited.values().filter_map(|one| one.pidfd.as_ref());
        held.map(AsFd::as_fd)
    }

    /// Whether somebody must look again without being called.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.held < self.awaited.len()
    }

    /// Drops what is gone; whether nothing is left.
    pub fn is_over(&mut self) -> bool {
        let Self { proc, gone, .. } = self;
        self.awaited.retain(|_, one| {
            let is_gone = one.is_gone(proc);
            *gone += usize::from(is_gone && one.signalled);
            !is_gone
        });
        self.held = self.pidfds().count();
        self.awaited.is_empty()
    }

    /// How many of those who were alive when they had a signal are gone.
    #[must_use]
    pub fn gone(&self) -> usize {
        self.gone
    }

    /// Waits for a process.
    pub fn add(&mut self, process: &Process) {
        let _ = self.hold(process);
    }

    /// Sends a signal to a process and waits for its end; whether it had it.
    pub fn signal(&mut self, process: &Process, signal: i32) -> bool {
        let proc = self.proc.clone();
        self.hold(process)
            .is_some_and(|one| one.send(&proc, signal))
    }

    /// Holds a process, unless it is gone already: then it is not ours to count.
    fn hold(&mut self, process: &Process) -> Option<&mut Awaited> {
        let vacant = match self
            .awaited
            .entry((process.pid.as_raw_nonzero(), process.start))
        {
            Entry::Occupied(known) => return Some(known.into_mut()),
            Entry::Vacant(vacant) => vacant,
        };
        let mut pidfd = match Pidfd::open(process.pid) {
            Ok(pidfd) => Some(pidfd).filter(|_| self.held < self.most_held),
            Err(Errno::SRCH) => return None,
            Err(_) => None,
        };
        let trouble = match holder(&self.proc, process) {
            Holder::Same => None,
            Holder::Gone => return None,
            Holder::Unknown(unread) => {
                pidfd = None; // it may hold somebody else
                Some(unknown(&unread))
            }
        };
        self.held += usize::from(pidfd.is_some());
        let process = Process {
            cgroup: Vec::new(),
            ..process.clone()
        };
        Some(vacant.insert(Awaited {
            process,
            pidfd,
            signalled: false,
            trouble,
        }))
    }

    /// Names who is left, and why; nothing when all are gone.
    pub fn survivors(&mut self) -> Option<String> {
        if self.is_over() {
            return None;
        }
        let mut text = String::new();
        for one in self.awaited.values().take(MOST_NAMED) {
            let comma = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{comma}{}: {}", one.process, one.why(&self.proc));
        }
        let more = self.awaited.len().saturating_sub(MOST_NAMED);
        if more > 0 {
            let _ = write!(text, ", and {more} more");
        }
        Some(text)
    }
}

impl Awaited {
    fn send(&mut self, proc: &Path, signal: i32) -> bool {
        let sent = match (&self.pidfd, holder(proc, &self.process)) {
            (Some(pidfd), _) => pidfd.signal(signal),
            (None, Holder::Same) => signal_without_pidfd(self.process.pid, signal),
            (None, Holder::Gone) => return false,
            (None, Holder::Unknown(unread)) => {
                self.trouble = Some(unknown(&unread));
                return false;
            }
        };
        let had = sent.is_ok();
        self.trouble = match sent {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                Some(format!("signal {signal} is refused: {error}"))
            }
            // ESRCH: it was held alive, and went with the first process of its namespace.
            Ok(()) | Err(_) => {
                self.signalled |= signal != 0;
                None
            }
        };
        had
    }

    fn is_gone(&self, proc: &Path) -> bool {
        match &self.pidfd {
            Some(pidfd) => is_readable(pidfd),
            None => matches!(holder(proc, &self.process), Holder::Gone),
        }
    }

    fn why(&self, proc: &Path) -> String {
        if let Some(trouble) = &self.trouble {
            return trouble.clone();
        }
        match Process::read(proc, self.process.pid).map(|now| now.map(|now| now.state)) {
            Ok(Some('D')) => "it waits in the kernel (state D)".into(),
            Ok(Some('T' | 't')) => "it is stopped (state T)".into(),
            Ok(Some(state)) => format!("it does not end (state {state})"),
            Ok(None) => "it ends just now".into(),
            Err(unread) => unread.to_string(),
        }
    }
}

fn unknown(unread: &Unread) -> String {
    format!("cannot be checked: {unread}")
}

fn holder(proc: &Path, process: &Process) -> Holder {
    match Process::read(proc, process.pid) {
        Ok(Some(now)) if now.is(process) && now.alive => Holder::Same,
        Ok(_) => Holder::Gone,
        Err(unread) => Holder::Unknown(unread),
    }
}

/// A pidfd is readable when its process is gone: with all of its threads, reaped or not.
fn is_readable(pidfd: &Pidfd) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&now)), Ok(1..))
}

/// Holds a process to be told of its end.
///
/// # Errors
/// `ESRCH` when it is gone, or its id is somebody else's by now.
pub fn hold(process: &Process) -> io::Result<Pidfd> {
    let pidfd = Pidfd::open(process.pid)?;
    match holder(Path::new("/proc"), process) {
        Holder::Same => Ok(pidfd),
        Holder::Gone => Err(Errno::SRCH.into()),
        Holder::Unknown(unread) => Err(io::Error::other(unread.to_string())),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests;
