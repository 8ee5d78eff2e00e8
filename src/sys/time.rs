//! Lengths of time as the kernel takes them.

use std::time::{Duration, Instant};

use rustix::event::Timespec;

/// A length of time for `poll(2)` and its kin, to the nanosecond: nothing is rounded down, so that
/// no wait ends early and spins.
#[must_use]
pub fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

/// What is left until a deadline; zero when it is over.
#[must_use]
pub fn until(deadline: Instant) -> Timespec {
    timespec(deadline.saturating_duration_since(Instant::now()))
}
