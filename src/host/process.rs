//! What this process may do.

use caps::{CapSet, Capability};
use serde::{Deserialize, Serialize};

use crate::files::kernel;

/// Rights of this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessFacts {
    /// Effective user id.
    pub uid: u32,
    /// Effective capabilities, by name.
    pub effective: Vec<String>,
    /// Bounding set, by name.
    pub bounding: Vec<String>,
    /// `no_new_privs`.
    pub no_new_privs: bool,
    /// Whether the user namespace maps every id, as the initial one does.
    pub full_id_map: bool,
    /// What filters our system calls.
    #[serde(default)]
    pub seccomp: Seccomp,
}

/// The `Seccomp` line of /proc/self/status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seccomp {
    /// Nothing does.
    Disabled,
    /// Four calls only.
    Strict,
    /// A program, such as the engine's default profile.
    Filter,
    /// The kernel does not say.
    #[default]
    Unknown,
}

impl Seccomp {
    fn parse(status: &str) -> Self {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("Seccomp:"));
        match line.map(str::trim) {
            Some("0") => Self::Disabled,
            Some("1") => Self::Strict,
            Some("2") => Self::Filter,
            _ => Self::Unknown,
        }
    }
}

impl ProcessFacts {
    /// Reads /proc/self and the capability sets.
    #[must_use]
    pub fn read() -> Self {
        let names = |set| {
            let mut names: Vec<String> = caps::read(None, set)
                .unwrap_or_default()
                .iter()
                .map(|capability: &Capability| capability.to_string())
                .collect();
            names.sort_unstable();
            names
        };
        Self {
            uid: rustix::process::geteuid().as_raw(),
            effective: names(CapSet::Effective),
            bounding: names(CapSet::Bounding),
            no_new_privs: rustix::thread::no_new_privs().unwrap_or(false),
            full_id_map: has_full_id_map(),
            seccomp: Seccomp::parse(&kernel::text("/proc/self/status").unwrap_or_default()),
        }
    }

    /// Whether a capability is effective.
    #[must_use]
    pub fn may(&self, capability: &str) -> bool {
        self.effective.iter().any(|name| name == capability)
    }
}

/// Whether the user namespace maps every id, as the initial one does.
#[must_use]
pub fn has_full_id_map() -> bool {
    full_id_map(&kernel::text("/proc/self/uid_map").unwrap_or_default())
}

fn full_id_map(text: &str) -> bool {
    text.split_whitespace().collect::<Vec<_>>() == ["0", "0", "4294967295"]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_initial_map_is_full_and_others_are_not() {
        assert!(full_id_map("         0          0 4294967295\n"));
        assert!(!full_id_map("0 1000 1\n1 100000 65536\n"));
    }

    #[test]
    fn the_seccomp_line_is_told_from_its_neighbours() {
        let status = |value| format!("NoNewPrivs:\t0\nSeccomp:\t{value}\nSeccomp_filters:\t1\n");
        assert_eq!(Seccomp::parse(&status("0")), Seccomp::Disabled);
        assert_eq!(Seccomp::parse(&status("2")), Seccomp::Filter);
        assert_eq!(Seccomp::parse("Seccomp_filters:\t1\n"), Seccomp::Unknown);
    }
}
