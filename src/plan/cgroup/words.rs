//! What holds, in words.

use crate::host::cgroup::Group;

/// What holds for our own group (C6).
pub(super) fn limits(group: &Group) -> String {
    let mut parts = vec![group.controllers.join(" ")];
    parts.extend(
        group
            .memory_max
            .map(|bytes| format!("memory {}", mebibytes(bytes))),
    );
    parts.extend(group.cpu_max.as_deref().and_then(cpus));
    parts.extend(group.pids_max.map(|count| format!("{count} pids")));
    format!(" ({})", parts.join(", "))
}

/// `50000 100000` is half a CPU.
fn cpus(max: &str) -> Option<String> {
    let (quota, period) = max.split_once(' ')?;
    let hundredths =
        quota.parse::<u64>().ok()? * 100 / period.parse::<u64>().ok().filter(|p| *p > 0)?;
    Some(format!("{}.{:02} cpus", hundredths / 100, hundredths % 100))
}

/// Memory as people say it.
pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
