//! The phases of the start, in milliseconds.

use std::time::Instant;

/// Marks in the order in which they were reached.
#[derive(Debug, Clone)]
pub struct Timeline {
    start: Instant,
    marks: Vec<(&'static str, f64)>,
}

impl Timeline {
    /// Begins at a moment.
    #[must_use]
    pub fn new(start: Instant) -> Self {
        Self {
            start,
            marks: Vec::new(),
        }
    }

    #[must_use]
    pub fn start(&self) -> Instant {
        self.start
    }

    /// Marks the end of a phase; a repeated name keeps its first time.
    pub fn mark(&mut self, name: &'static str) {
        if self.marks.iter().all(|(known, _)| *known != name) {
            self.marks
                .push((name, self.start.elapsed().as_secs_f64() * 1000.0));
        }
    }

    #[must_use]
    pub fn marks(&self) -> &[(&'static str, f64)] {
        &self.marks
    }
}
