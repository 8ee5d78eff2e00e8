//! DIND_MEMORY_RESERVE, measured: what is outside the nested part of our cgroup (dockerd,
//! containerd, a shim for each container, whoever is sent in) grows, and nested containers together
//! get what is left. On version 2 of cgroups.
//!
//! `memory.high` of our leaf is the alarm: the kernel tells of it by poll(2) on `memory.events`, and
//! slows the leaf down until it is raised. So the sum of both parts stays below our own limit, at
//! which Kubernetes has everything killed (`memory.oom.group`).
#![expect(
    clippy::disallowed_methods,
    reason = "the supervisor's own writes: two files of our own cgroup"
)]

use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::plan::cgroup::Keep;
use crate::sys::spawn;

const MIB: u64 = 1 << 20;

/// The alarm comes so much before what is needed.
const ROOM: u64 = 16 * MIB;

/// The last that nested containers keep.
const LEAST: u64 = 16 * MIB;

/// Both parts, and the alarm.
#[derive(Debug)]
pub struct MemoryReserve {
    keep: Keep,
    events: File,
    high: u64,
}

impl MemoryReserve {
    /// Sets the alarm; a kernel that refuses leaves the reserve as the user gave it.
    #[must_use]
    pub fn watch(keep: Keep) -> Option<Self> {
        let high = keep.bytes;
        let watched = File::open(keep.outside.join("memory.events")).and_then(|events| {
            fs::write(keep.outside.join("memory.high"), high.to_string())?;
            Ok(Self { keep, events, high })
        });
        watched
            .inspect_err(|error| {
                tracing::warn!("DIND_MEMORY_RESERVE stays as it is, whatever grows: {error}");
            })
            .ok()
    }

    /// What to poll.
    #[must_use]
    pub fn poll_fd(&self) -> PollFd<'_> {
        PollFd::new(&self.events, PollFlags::PRI)
    }

    /// Does what an alarm asks for.
    pub fn look(&mut self) {
        let none = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        if !matches!(poll(&mut [self.poll_fd()], Some(&none)), Ok(1..)) {
            return;
        }
        // Reading it is what makes the next alarm possible.
        let mut text = String::new();
        let _ = self.events.rewind();
        let _ = self.events.read_to_string(&mut text);
        let number = |path: &Path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
        let stat = fs::read_to_string(self.keep.outside.join("memory.stat")).unwrap_or_default();
        let Some(limit) = number(&self.keep.whole.join("memory.max")) else {
            return; // it was taken away
        };
        let Some(high) = next(self.high, needed(&stat), limit) else {
            return;
        };
        self.high = high;
        let left = limit - high;
        tracing::info!(
            "dockerd and what is beside it need more memory: {} MiB are kept for them, nested \
             containers get {} MiB together",
            high / MIB,
            left / MIB
        );
        if let Err(error) = fs::write(self.keep.outside.join("memory.high"), high.to_string()) {
            tracing::warn!("memory.high of {}: {error}", self.keep.outside.display());
        }
        let path = self.keep.nested.join("memory.max");
        // The limit holds at once, but the write waits until what is above it is gone.
        spawn::aside(|| {
            if let Err(error) = fs::write(&path, left.to_string()) {
                tracing::warn!("{}: {error}", path.display());
            }
        });
    }
}

/// What of a group cannot be taken away from it: caches can.
fn needed(stat: &str) -> u64 {
    const KEPT: [&str; 7] = [
        "anon",
        "shmem",
        "sock",
        "slab_unreclaimable",
        "kernel_stack",
        "pagetables",
        "percpu",
    ];
    let value = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        KEPT.contains(&name)
            .then(|| value.trim().parse::<u64>().ok())?
    };
    let values = stat.lines().filter_map(value);
    values.fold(0, u64::saturating_add)
}

/// The next alarm, where the one that came was not about caches.
fn next(high: u64, needed: u64, limit: u64) -> Option<u64> {
    let wanted = needed.saturating_add(ROOM);
    if wanted <= high {
        return None;
    }
    let next = wanted.saturating_add(ROOM).next_multiple_of(MIB);
    let next = next.min(limit.saturating_sub(LEAST));
    (next > high).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn caches_are_not_needed() {
        let stat = "anon 50000000\nfile 900000000\nkernel 3000000\nslab_reclaimable 7\n\
                    slab_unreclaimable 1000\nshmem 20\nsock x\n";
        assert_eq!(needed(stat), 50_001_020);
    }

    #[test]
    fn the_reserve_grows_with_what_is_needed_and_leaves_something() {
        let mib = |count: u64| count * MIB;
        assert_eq!(next(mib(64), mib(40), mib(300)), None, "a cache rang");
        assert_eq!(next(mib(64), mib(60), mib(300)), Some(mib(92)));
        assert_eq!(next(mib(64), mib(290), mib(300)), Some(mib(284)));
        assert_eq!(next(mib(284), mib(290), mib(300)), None);
    }

    proptest! {
        #[test]
        fn both_parts_fit_into_the_whole(high: u64, needed: u64, limit: u64) {
            if let Some(next) = next(high, needed, limit) {
                prop_assert!(next > high && next <= limit.saturating_sub(LEAST));
            }
        }
    }
}
