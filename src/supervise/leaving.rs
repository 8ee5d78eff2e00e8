//! What is under way at the end: the question about the containers, and the processes whose end
//! is awaited.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::containers::{self, Running};
use super::ending;
use super::machine::{Event, Stage, State};
use super::table::Table;
use super::{Passing, Supervisor, budget};
use crate::process::Watch;
use crate::sys::fork;

/// The answer of a child that read this much is cut off: a hundred bytes for each container.
const LONGEST_ANSWER: usize = 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Leaving {
    question: Option<(OwnedFd, Vec<u8>)>,
    running: Option<Vec<Running>>,
    /// The containers are to have their stop signals as soon as these are known.
    stop_when_read: bool,
    watch: Watch,
    /// /proc cannot be read: whether somebody is left is not known, and was said.
    unsure: bool,
    /// The watch was made anew and not looked at yet.
    fresh: bool,
}

impl Leaving {
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let question = self.question.iter().map(|(pipe, _)| pipe.as_fd());
        question.chain(self.watch.pidfds())
    }

    /// Whether nobody calls us for what we wait for.
    pub(super) fn must_look_again(&self) -> bool {
        self.watch.is_blind() || self.unsure
    }

    /// Who is left, when nobody is waited for any more.
    pub(super) fn survivors(&mut self) -> Option<String> {
        self.watch.survivors()
    }

    /// Whether there is something to look at without waiting.
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Reads what the child sends; true when the answer is whole.
    fn read(&mut self) -> bool {
        let Some((pipe, answer)) = &mut self.question else {
            return false;
        };
        let mut buffer = [0u8; 4096];
        loop {
            match rustix::io::read(&*pipe, &mut buffer) {
                Ok(count @ 1..) if answer.len() < LONGEST_ANSWER => {
                    answer.extend(buffer.get(..count).unwrap_or_default());
                }
                Err(rustix::io::Errno::AGAIN) => return false,
                Err(rustix::io::Errno::INTR) => {}
                Ok(_) | Err(_) => break,
            }
        }
        let text = String::from_utf8_lossy(answer);
        self.running = Some(containers::decode(&text));
        self.question = None;
        true
    }
}

impl Supervisor {
    /// Asks a child for the running containers, unless one is at it.
    pub(super) fn read_containers(&self, passing: &mut Passing) {
        let root = self.roots.data.clone();
        match fork::ask(move || containers::encode(&containers::read(&root)).into_bytes()) {
            Ok((_, pipe)) => passing.leaving.question = Some((pipe, Vec::new())),
            Err(error) => {
                tracing::warn!("the containers cannot be read: {error}");
                passing.leaving.running = Some(Vec::new());
            }
        }
    }

    /// The budget, once the containers are known.
    pub(super) fn containers_read(&self, passing: &mut Passing) -> Option<Event> {
        if !passing.leaving.read() {
            return None;
        }
        let running = passing.leaving.running.as_deref().unwrap_or_default();
        let budget = budget::budget(&self.said, containers::longest(running));
        let count = running.len();
        tracing::info!("{count} containers run; a stop may take: {budget}");
        self.outer.extend_timeout(budget.limit);
        if passing.leaving.stop_when_read {
            self.stop_containers(passing);
        }
        let millis = |limit: std::time::Duration| u64::try_from(limit.as_millis()).ok();
        Some(Event::BudgetKnown(budget.limit.and_then(millis)))
    }

    /// Sends the containers that dockerd left their stop signals, at once or when these are known.
    pub(super) fn stop_containers(&self, passing: &mut Passing) {
        let leaving = &mut passing.leaving;
        leaving.stop_when_read = false;
        leaving.fresh = true;
        if Table::read().is_empty_inside() {
            leaving.watch = Watch::default();
            return;
        }
        match &leaving.running {
            Some(running) => leaving.watch = ending::stop_containers(running),
            None => {
                leaving.stop_when_read = true;
                leaving.watch = Watch::default();
                if leaving.question.is_none() {
                    self.read_containers(passing);
                }
            }
        }
    }

    /// Sends a signal to everything that descends from us.
    pub(super) fn end_leftovers(&mut self, signal: i32, passing: &mut Passing) {
        for companion in &mut self.companions {
            companion.stop();
        }
        self.mode.let_go();
        passing.leaving.watch = ending::end_descendants(signal);
        passing.leaving.fresh = true;
    }

    /// Says when what a stage of leaving waits for is gone. Only when everybody that we knew of is
    /// gone do we look for others: what was born meanwhile is waited for as well.
    pub(super) fn left(&self, passing: &mut Passing) -> Option<Event> {
        let State::Leaving { stage, .. } = self.machine.state else {
            return None;
        };
        let leaving = &mut passing.leaving;
        leaving.fresh = false;
        if leaving.stop_when_read || !leaving.watch.is_over() {
            return None;
        }
        let table = Table::read();
        let (rest, signal) = match stage {
            Stage::Containers => (table.nested(), 0),
            Stage::Leftovers => (table.alive(), libc::SIGTERM),
            Stage::Last => (table.alive(), libc::SIGKILL),
        };
        for process in &rest {
            leaving.watch.signal(process, signal);
        }
        if let Some(unread) = table.unread() {
            if !std::mem::replace(&mut leaving.unsure, true) {
                tracing::warn!("whether any process is left cannot be told: {unread}");
            }
            return None;
        }
        leaving.unsure = false;
        rest.is_empty().then_some(Event::NoneLeft)
    }
}
