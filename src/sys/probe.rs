//! Probes: closures that run in forked, throw-away children, with namespaces of their own and a
//! deadline each, so that a question to the kernel is answered by doing the thing itself.
//!
//! A probe changes nothing that outlives it: mounts, links and rules end with its namespaces. A
//! probe that hangs is killed and its answer is [`ProbeResult::Unknown`]; it never hangs the start.
//! Several run side by side and are collected by one poll loop:
//!
//! ```
//! use std::time::Duration;
//! use dind_init::sys::probe::{ProbeResult, Probes, UnshareFlags};
//!
//! let mut probes = Probes::new();
//! let sum = probes.start("sum", UnshareFlags::empty(), Duration::from_secs(9), || 1 + 1);
//! let name = probes.start("name", UnshareFlags::empty(), Duration::from_secs(9), || "x".to_owned());
//! let mut results = probes.collect();
//! assert_eq!(results.take(sum), ProbeResult::Known(2));
//! assert_eq!(results.take(name), ProbeResult::Known("x".to_owned()));
//! ```

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::mount::MountPropagationFlags;
use rustix::process::{Pid, Signal, WaitOptions};
pub use rustix::thread::UnshareFlags;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::signal::OriginalMask;
use super::time;
use super::userns;

/// Answers are facts, not files.
const LONGEST_ANSWER: usize = 256 * 1024;

/// The answer of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeResult<T> {
    /// What the probe found.
    Known(T),
    /// There is no answer; the text says why.
    Unknown(String),
}

impl<T> ProbeResult<T> {
    /// The answer, if there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(answer) => Some(answer),
            Self::Unknown(_) => None,
        }
    }
}

/// Stands for the answer of a probe that runs.
#[derive(Debug)]
#[must_use = "the answer is taken with it"]
pub struct Ticket<T> {
    index: usize,
    answer: PhantomData<fn() -> T>,
}

/// Probes that run side by side.
#[derive(Debug, Default)]
pub struct Probes(Vec<Running>);

#[derive(Debug)]
pub struct Results(Vec<Finished>);

#[derive(Debug)]
struct Running {
    name: &'static str,
    started: Instant,
    until: Instant,
    state: State,
}

#[derive(Debug)]
enum State {
    Answering {
        child: Option<Child>,
        reader: OwnedFd,
        bytes: Vec<u8>,
    },
    Ended {
        answer: Result<Vec<u8>, String>,
        took: Duration,
        child: Option<Child>,
    },
}

#[derive(Debug)]
struct Child {
    pid: Pid,
}

#[derive(Debug)]
struct Finished {
    name: &'static str,
    answer: Result<Vec<u8>, String>,
    took: Duration,
}

impl Probes {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a probe. The closure runs in a child that has the given namespaces for itself
    /// (mounts do not propagate out of them), no descriptor of ours, `/dev/null` as standard
    /// streams, no blocked signals, and dies when we die. Namespaces that cannot be had, and a
    /// panic, are unknown answers.
    ///
    /// The closure must not own descriptors: they are closed before it runs.
    pub fn start<T: Serialize>(
        &mut self,
        name: &'static str,
        namespaces: UnshareFlags,
        deadline: Duration,
        probe: impl FnOnce() -> T,
    ) -> Ticket<T> {
        let started = Instant::now();
        let state = match fork_probe(namespaces, probe) {
            Ok((child, reader)) => State::Answering {
                child: Some(child),
                reader,
                bytes: Vec::new(),
            },
            Err(error) => State::Ended {
                answer: Err(format!("it could not be started: {error}")),
                took: started.elapsed(),
                child: None,
            },
        };
        self.0.push(Running {
            name,
            started,
            until: started + deadline,
            state,
        });
        Ticket {
            index: self.0.len() - 1,
            answer: PhantomData,
        }
    }

    /// Waits for every answer, or its deadline.
    #[must_use]
    pub fn collect(mut self) -> Results {
        while let Some(until) = self.next_deadline() {
            wait_for_answers(&self.0, until);
            let now = Instant::now();
            self.0.iter_mut().for_each(|running| running.advance(now));
        }
        let finish = |running: Running| {
            let (answer, took) = match running.state {
                State::Ended {
                    answer,
                    took,
                    child,
                } => {
                    child.iter().for_each(Child::reap);
                    (answer, took)
                }
                // Not reached: the loop ends when nobody has an answer to come.
                State::Answering { .. } => (Err("not collected".into()), Duration::ZERO),
            };
            Finished {
                name: running.name,
                answer,
                took,
            }
        };
        let running = std::mem::take(&mut self.0);
        Results(running.into_iter().map(finish).collect())
    }

    fn next_deadline(&self) -> Option<Instant> {
        let answering = self.0.iter().filter(|running| running.reader().is_some());
        answering.map(|running| running.until).min()
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        for running in &self.0 {
            if let State::Answering { child, .. } = &running.state {
                child.iter().for_each(Child::kill);
                child.iter().for_each(Child::reap);
            }
        }
    }
}

impl Results {
    /// The answer of one probe. A second call finds nothing.
    pub fn take<T: DeserializeOwned>(&mut self, ticket: Ticket<T>) -> ProbeResult<T> {
        let Some(finished) = self.0.get_mut(ticket.index) else {
            return ProbeResult::Unknown("no such probe".into());
        };
        let taken = Err("the answer was taken already".to_owned());
        match std::mem::replace(&mut finished.answer, taken) {
            Err(why) => ProbeResult::Unknown(why),
            Ok(bytes) => match serde_json::from_slice::<Result<T, String>>(&bytes) {
                Ok(Ok(answer)) => ProbeResult::Known(answer),
                Ok(Err(why)) => ProbeResult::Unknown(why),
                Err(_) if bytes.is_empty() => {
                    ProbeResult::Unknown("it died without an answer".into())
                }
                Err(error) => ProbeResult::Unknown(format!("its answer cannot be read: {error}")),
            },
        }
    }

    /// How long each probe took, by name.
    pub fn times(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        self.0.iter().map(|finished| (finished.name, finished.took))
    }
}

impl Running {
    fn reader(&self) -> Option<&OwnedFd> {
        match &self.state {
            State::Answering { reader, .. } => Some(reader),
            State::Ended { .. } => None,
        }
    }

    /// Reads what is there; ends at the end of the answer or at the deadline.
    fn advance(&mut self, now: Instant) {
        let State::Answering {
            child,
            reader,
            bytes,
        } = &mut self.state
        else {
            return;
        };
        let answer = match read_available(reader, bytes) {
            Some(Ok(())) => Ok(std::mem::take(bytes)),
            Some(Err(why)) => Err(why),
            None if now >= self.until => Err(format!(
                "no answer within {:?}: killed",
                self.until - self.started
            )),
            None => return,
        };
        if answer.is_err() {
            child.iter().for_each(Child::kill);
        }
        let took = self.started.elapsed();
        let child = child.take();
        self.state = State::Ended {
            answer,
            took,
            child,
        };
    }
}

/// Reads without waiting. `Some` when nothing more will come.
fn read_available(reader: &OwnedFd, bytes: &mut Vec<u8>) -> Option<Result<(), String>> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match rustix::io::read(reader, &mut buffer) {
            Ok(0) => return Some(Ok(())),
            Ok(count) => bytes.extend(buffer.iter().take(count)),
            Err(rustix::io::Errno::AGAIN) => return None,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Some(Err(error.to_string())),
        }
        if bytes.len() > LONGEST_ANSWER {
            return Some(Err("its answer is too long: killed".into()));
        }
    }
}

fn wait_for_answers(running: &[Running], until: Instant) {
    let mut fds: Vec<_> = running
        .iter()
        .filter_map(Running::reader)
        .map(|reader| PollFd::new(reader, PollFlags::IN))
        .collect();
    let _ = poll(&mut fds, Some(&time::until(until)));
}

impl Child {
    fn kill(&self) {
        // One that is gone already is not missed.
        let _ = super::process::Child(self.pid).signal(libc::SIGKILL);
    }

    /// Reaps it, if it is dead already. It is not waited for: the end of its namespaces takes the
    /// kernel longer than the whole probe, and PID 1 reaps all of its children anyway.
    fn reap(&self) {
        while let Err(rustix::io::Errno::INTR) =
            rustix::process::waitpid(Some(self.pid), WaitOptions::NOHANG)
        {}
    }
}

/// The one descriptor that a probe has besides its standard streams.
const REPORT: RawFd = 3;

fn fork_probe<T: Serialize>(
    namespaces: UnshareFlags,
    probe: impl FnOnce() -> T,
) -> io::Result<(Child, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    let parent = rustix::process::getpid();
    // SAFETY: we are single-threaded (a rule of the crate), so the child has a whole copy of a
    // consistent process and may run any code; glibc keeps its own locks whole across fork. The
    // child ends by _exit in `live_and_die`.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => live_and_die(parent, writer, namespaces, probe),
        pid => {
            drop(writer);
            let pid = super::process::id(pid)
                .ok_or_else(|| io::Error::other("fork returned an impossible pid"))?;
            Ok((Child { pid }, reader))
        }
    }
}

fn live_and_die<T: Serialize>(
    parent: Pid,
    writer: OwnedFd,
    namespaces: UnshareFlags,
    probe: impl FnOnce() -> T,
) -> ! {
    // The unwind must not reach the parent's frames, which this process has a copy of.
    let _ = catch_unwind(AssertUnwindSafe(move || {
        let mut report = prepare_streams(&writer);
        std::mem::forget(writer); // closed by prepare_streams, or moved to REPORT
        let answer = prepare(parent, namespaces).and_then(|()| {
            catch_unwind(AssertUnwindSafe(probe)).map_err(|_| "it panicked".to_owned())
        });
        let bytes = serde_json::to_vec(&answer).unwrap_or_default();
        let _ = io::Write::write_all(&mut report, &bytes);
    }));
    // SAFETY: _exit runs no destructor and no handler; what this copy of the process owns ends
    // with it, and the parent's state is untouched.
    unsafe { libc::_exit(0) }
}

/// Leaves `/dev/null` on the standard streams, the pipe on [`REPORT`], and nothing else open.
fn prepare_streams(writer: &OwnedFd) -> std::fs::File {
    let raw = writer.as_raw_fd();
    if raw != REPORT {
        // SAFETY: both are numbers; whatever of the parent's copy had REPORT is not used any more.
        unsafe { libc::dup3(raw, REPORT, libc::O_CLOEXEC) };
    }
    // SAFETY: closes descriptors of this process only. Their owners are values copied from the
    // parent, none of which is dropped: the closure owns none, and the process ends by _exit.
    if unsafe { libc::syscall(libc::SYS_close_range, REPORT + 1, RawFd::MAX, 0) } != 0 {
        for fd in REPORT + 1..1024 {
            // SAFETY: as above; before Linux 5.9.
            unsafe { libc::close(fd) };
        }
    }
    let flags = rustix::fs::OFlags::RDWR;
    #[expect(clippy::disallowed_methods, reason = "a device of the kernel")]
    let null = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty());
    if let Ok(null) = null {
        for stream in 0..=2 {
            // SAFETY: `null` is open; the standard streams are nobody's OwnedFd.
            unsafe { libc::dup2(null.as_raw_fd(), stream) };
        }
    }
    // SAFETY: REPORT is open since the dup3 above, or was the writer itself, whose owner is
    // forgotten by the caller.
    unsafe { std::fs::File::from_raw_fd(REPORT) }
}

fn prepare(parent: Pid, namespaces: UnshareFlags) -> Result<(), String> {
    let failed = |call: &str, error: rustix::io::Errno| format!("{call}: {error}");
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|e| failed("prctl(PDEATHSIG)", e))?;
    if rustix::process::getppid() != Some(parent) {
        return Err("the parent is gone".into());
    }
    // Out of the terminal's foreground group: its Ctrl-C is meant for the parent.
    let _ = rustix::process::setpgid(None, None);
    let _ = OriginalMask::empty().restore();
    if namespaces.is_empty() {
        return Ok(());
    }
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    // SAFETY: this process has one thread and shares no descriptor table, so nothing of another
    // thread's is unshared from under it.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }.map_err(|e| failed("unshare", e))?;
    if namespaces.contains(UnshareFlags::NEWUSER) {
        userns::become_root_alone(uid.as_raw(), gid.as_raw())
            .map_err(|e| format!("map ids: {e}"))?;
    }
    if namespaces.contains(UnshareFlags::NEWNS) {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).map_err(|e| failed("make / private", e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
