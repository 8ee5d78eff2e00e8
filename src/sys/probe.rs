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

mod child;

use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
pub use rustix::thread::UnshareFlags;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::time;
use child::Child;

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
        let state = match child::fork(namespaces, probe) {
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

#[cfg(test)]
mod tests;
