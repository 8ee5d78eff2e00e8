//! DIND_MEMORY_RESERVE, measured: what is outside the nested part of our cgroup (dockerd,
//! containerd, a shim for each container, whoever is sent in) grows, and nested containers together
//! get what is left. On version 2 of cgroups.
//!
//! It is looked at twice a second. `memory.high` of our leaf would ring by itself, but it also slows
//! the leaf down and takes the pages of its programs away: with it a containerd was not ready within
//! dockerd's 15 seconds.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::files::kernel;
use crate::plan::cgroup::Keep;
use crate::sys::spawn;

/// The pause between two looks. What comes at once is a client or a shim, for which there is room.
const PAUSE: Duration = Duration::from_millis(500);

const MIB: u64 = 1 << 20;

/// So much stays free beside what is needed: a client that is sent in, a few shims.
const ROOM: u64 = 24 * MIB;

/// The last that nested containers keep.
const LEAST: u64 = 16 * MIB;

/// Both parts.
#[derive(Debug)]
pub struct MemoryReserve {
    keep: Keep,
    /// What is kept now.
    kept: u64,
    again: Instant,
}

impl MemoryReserve {
    /// Begins with what the user asked for, which holds already.
    #[must_use]
    pub fn watch(keep: Keep) -> Self {
        Self {
            kept: keep.bytes,
            keep,
            again: Instant::now(),
        }
    }

    /// When [`MemoryReserve::look`] wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.again
    }

    /// Looks, when it is time.
    pub fn look(&mut self) {
        if self.again > Instant::now() {
            return;
        }
        self.again = Instant::now() + PAUSE;
        let number = |path: &Path| kernel::text(path).ok()?.trim().parse::<u64>().ok();
        let stat = kernel::text(self.keep.outside.join("memory.stat")).unwrap_or_default();
        let Some(limit) = number(&self.keep.whole.join("memory.max")) else {
            return; // it was taken away
        };
        let Some(kept) = next(self.kept, needed(&stat), limit) else {
            return;
        };
        self.kept = kept;
        let left = limit - kept;
        tracing::info!(
            "dockerd and what is beside it need more memory: {} MiB are kept for them, nested \
             containers get {} MiB together",
            kept / MIB,
            left / MIB
        );
        let path = self.keep.nested.join("memory.max");
        // The limit holds at once, but the write waits until what is above it is gone.
        spawn::aside(|| {
            if let Err(error) = kernel::write(&path, left.to_string()) {
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

/// What is kept from now on, where that is more.
fn next(kept: u64, needed: u64, limit: u64) -> Option<u64> {
    let wanted = needed.saturating_add(ROOM);
    if wanted <= kept {
        return None;
    }
    // More than that, so that it does not grow with every page.
    let next = wanted
        .saturating_add(ROOM / 3)
        .min(u64::MAX - MIB)
        .next_multiple_of(MIB);
    let next = next.min(limit.saturating_sub(LEAST));
    (next > kept).then_some(next)
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
        assert_eq!(next(mib(64), mib(40), mib(300)), None);
        assert_eq!(next(mib(64), mib(60), mib(300)), Some(mib(92)));
        assert_eq!(next(mib(64), mib(290), mib(300)), Some(mib(284)));
        assert_eq!(next(mib(284), mib(290), mib(300)), None);
    }

    proptest! {
        #[test]
        fn both_parts_fit_into_the_whole(kept: u64, needed: u64, limit: u64) {
            if let Some(next) = next(kept, needed, limit) {
                prop_assert!(next > kept && next <= limit.saturating_sub(LEAST));
            }
        }
    }
}
