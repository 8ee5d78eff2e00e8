//! What is due when. Nothing is ever taken back: who is called looks whether it is still true.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::slab::Key;

/// What to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A client of the API that is slow.
    Api(Key),
    /// A UDP client that is silent.
    Client(Key),
    /// A transparent connection that is not answered.
    Dial(Key),
    /// Ports that found no free descriptor.
    Starved,
}

/// Everything that will be due.
#[derive(Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(Instant, Timer)>>);

impl Timers {
    pub(super) fn set(&mut self, at: Instant, timer: Timer) {
        self.0.push(Reverse((at, timer)));
    }

    /// The next deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes one that is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, timer))| timer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earliest_is_due_first_and_none_too_early() {
        let mut timers = Timers::default();
        let start = Instant::now();
        let key = Key {
            index: 1,
            generation: 0,
        };
        timers.set(start + Duration::from_secs(2), Timer::Dial(key));
        timers.set(start + Duration::from_secs(1), Timer::Starved);
        assert_eq!(timers.next(), Some(start + Duration::from_secs(1)));
        assert_eq!(timers.due(start), None);
        let late = start + Duration::from_secs(3);
        assert_eq!(timers.due(late), Some(Timer::Starved));
        assert_eq!(timers.due(late), Some(Timer::Dial(key)));
        assert_eq!(timers.due(late), None);
    }
}
