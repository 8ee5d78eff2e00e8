//! When to let dead orphans lie for a moment, so that one wake-up reaps several. Pure.
//!
//! Waking up and going to sleep cost as much as the reaping. In a steady storm of orphans a nap
//! of [`NAP`] between rounds saves most of that; where it would save nothing there is none: not
//! for an orphan now and then, and not for a heap that dies at once.

use std::time::{Duration, Instant};

/// How long the dead may lie: no longer than a scheduler may keep any process waiting. Signals
/// are passed on meanwhile.
pub(super) const NAP: Duration = Duration::from_millis(2);

/// Rounds that follow each other faster than this are close.
const CLOSE: Duration = Duration::from_millis(4);

/// This many close rounds in a row are a storm.
const STORM: u32 = 4;

/// What to do after a round of reaping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Let the dead lie for [`NAP`].
    Nap,
    /// Sleep until somebody dies.
    Sleep,
}

/// What the last rounds were like.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Instant>,
    close_rounds: u32,
    napping: bool,
}

impl Pace {
    /// After a round that found this many orphans, at least one.
    pub(super) fn after(&mut self, orphans: usize, now: Instant) -> Rest {
        let close = self
            .last
            .is_some_and(|last| now.duration_since(last) < CLOSE);
        let in_vain = self.napping && orphans < 2;
        self.last = Some(now);
        self.close_rounds = match (close, in_vain) {
            (true, false) => self.close_rounds.saturating_add(1),
            _ => 0,
        };
        self.napping = self.close_rounds >= STORM;
        if self.napping { Rest::Nap } else { Rest::Sleep }
    }

    /// After a round that found nobody.
    pub(super) fn quiet(&mut self) -> Rest {
        *self = Self::default();
        Rest::Sleep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rests(rounds: &[(usize, u64)]) -> Vec<Rest> {
        let mut pace = Pace::default();
        let mut now = Instant::now();
        let mut after = |&(orphans, milliseconds): &(usize, u64)| {
            now += Duration::from_millis(milliseconds);
            match orphans {
                0 => pace.quiet(),
                _ => pace.after(orphans, now),
            }
        };
        rounds.iter().map(&mut after).collect()
    }

    #[test]
    fn a_steady_storm_is_napped_through_until_it_ends() {
        let storm = [
            (1, 0),
            (1, 1),
            (1, 1),
            (1, 1),
            (1, 1),
            (5, 2),
            (5, 2),
            (0, 2),
            (1, 9),
        ];
        let rests = rests(&storm);
        let naps: Vec<usize> = (0..storm.len())
            .filter(|i| rests[*i] == Rest::Nap)
            .collect();
        assert_eq!(naps, [4, 5, 6]);
    }

    #[test]
    fn nobody_naps_for_an_orphan_now_and_then_or_for_a_heap() {
        assert!(!rests(&[(1, 4); 20]).contains(&Rest::Nap));
        assert!(!rests(&[(90, 50), (10, 1), (0, 1), (90, 50), (10, 1)]).contains(&Rest::Nap));
    }

    #[test]
    fn a_nap_that_saved_nothing_is_not_repeated_at_once() {
        let rests = rests(&[(1, 1); 9]);
        assert_eq!(rests.iter().filter(|rest| **rest == Rest::Nap).count(), 1);
    }
}
