//! Whether a dockerd that died is started again. Pure.

use std::time::Duration;

use super::machine::Millis;
use crate::config::lifetime::{RESTART_WINDOW, RestartPolicy};
use crate::process::Outcome;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Last words of a start that is worth another try, each as a machine really said it. What is not
/// in this table is permanent: trying again would only hide it.
const TRANSIENT: &[(&str, &str)] = &[
    // failed to start daemon: failed to start containerd: timeout waiting for containerd to start
    (
        "timeout waiting for containerd to start",
        "containerd was not ready within dockerd's 15 s",
    ),
    // failed to start daemon: Error initializing network controller: … (iptables failed: iptables
    // --wait -t nat -N DOCKER: Another app is currently holding the xtables lock. …)
    (
        "Another app is currently holding the xtables lock",
        "another process held the lock of iptables",
    ),
    // iptables v1.8.7 (nf_tables): Could not fetch rule set generation id: … Resource temporarily
    // unavailable
    (
        "Could not fetch rule set generation id",
        "another process changed the netfilter rules",
    ),
];

/// Why dockerd's last words speak of a passing trouble.
#[must_use]
pub(super) fn transient(words: &str) -> Option<&'static str> {
    let found = TRANSIENT.iter().find(|(line, _)| words.contains(line));
    found.map(|(_, meaning)| *meaning)
}

/// How dockerd died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Death {
    /// Exit code or signal.
    pub(super) outcome: Outcome,
    /// Whether it had been ready in this life.
    pub(super) was_ready: bool,
    /// Whether its last words are in the table.
    pub(super) transient: bool,
}

/// The pause before the next try, when there is one.
#[must_use]
pub(super) fn pause(
    policy: RestartPolicy,
    death: Death,
    restarts: &[Millis],
    now: Millis,
) -> Option<Duration> {
    let RestartPolicy::OnFailure { most } = policy else {
        return None;
    };
    if death.outcome == Outcome::Code(0) || !(death.was_ready || death.transient) {
        return None;
    }
    let window = u64::try_from(RESTART_WINDOW.as_millis()).unwrap_or(u64::MAX);
    let recent = restarts
        .iter()
        .filter(|at| now.saturating_sub(**at) < window);
    let recent = u32::try_from(recent.count()).unwrap_or(u32::MAX);
    (recent < most).then(|| {
        FIRST_PAUSE
            .saturating_mul(1 << recent.min(8))
            .min(LONGEST_PAUSE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: Death = Death {
        outcome: Outcome::Signal(libc::SIGKILL),
        was_ready: true,
        transient: false,
    };
    const TWICE: RestartPolicy = RestartPolicy::OnFailure { most: 2 };

    #[test]
    fn only_failures_of_a_ready_daemon_or_passing_troubles_are_tried_again() {
        let first = Some(FIRST_PAUSE);
        let early = Death {
            was_ready: false,
            ..KILLED
        };
        let passing = Death {
            transient: true,
            ..early
        };
        let ended = Death {
            outcome: Outcome::Code(0),
            ..KILLED
        };
        assert_eq!(pause(TWICE, KILLED, &[], 0), first);
        assert_eq!(pause(TWICE, passing, &[], 0), first);
        assert_eq!(pause(TWICE, early, &[], 0), None);
        assert_eq!(pause(TWICE, ended, &[], 0), None);
        assert_eq!(pause(RestartPolicy::Never, KILLED, &[], 0), None);
    }

    #[test]
    fn the_pause_doubles_and_old_restarts_are_forgotten() {
        assert_eq!(pause(TWICE, KILLED, &[5], 6), Some(FIRST_PAUSE * 2));
        assert_eq!(pause(TWICE, KILLED, &[5, 6], 7), None);
        assert_eq!(
            pause(TWICE, KILLED, &[5, 6], 600_005),
            Some(FIRST_PAUSE * 2)
        );
        let many = RestartPolicy::OnFailure { most: u32::MAX };
        assert_eq!(pause(many, KILLED, &[1; 70], 7), Some(LONGEST_PAUSE));
    }

    #[test]
    fn the_recorded_lines_are_known_and_others_are_not() {
        for line in [
            "failed to start daemon: failed to start containerd: timeout waiting for containerd to start",
            "Another app is currently holding the xtables lock. Perhaps you want to use the -w option?",
        ] {
            assert!(transient(line).is_some(), "{line}");
        }
        assert_eq!(transient("failed to load listeners: address in use"), None);
    }
}
