//! How long an asked stop may take. Pure.
//!
//! dockerd gives its containers 10 s each and wants 15 s for itself, while `docker stop` kills us
//! after 10: so the budget follows what kills *us*, and is raised only where the user asked for
//! more time in so many words.

use std::fmt;
use std::time::Duration;

/// One second less than `docker stop` grants.
pub const DEFAULT: Duration = Duration::from_secs(9);

/// Two seconds less than a pod's grace period.
pub const KUBERNETES: Duration = Duration::from_secs(28);

/// What dockerd needs after its slowest container: recording, unmounting, ending containerd.
pub const AFTER_CONTAINERS: Duration = Duration::from_secs(3);

/// How long before the end what is left inside the containers is killed.
const RESERVE: Duration = Duration::from_secs(2);

/// What the user said about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Said {
    /// DIND_STOP_TIMEOUT.
    pub setting: Option<Duration>,
    /// Whether this is a pod.
    pub kubernetes: bool,
    /// dockerd's `--shutdown-timeout`, in seconds; below 0 is "no limit".
    pub shutdown_timeout: Option<i64>,
    /// dockerd's `--default-stop-timeout`, likewise.
    pub default_stop_timeout: Option<i64>,
}

/// Which rule decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// `docker stop`'s deadline.
    Default,
    /// A pod's deadline.
    Kubernetes,
    /// DIND_STOP_TIMEOUT.
    Setting,
    /// `--shutdown-timeout`.
    ShutdownTimeout,
    /// `--default-stop-timeout`.
    DefaultStopTimeout,
    /// The stop timeout of a running container.
    Container,
}

/// The time for a stop and the reason for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// No limit when there is none.
    pub limit: Option<Duration>,
    pub rule: Rule,
}

/// Decides. `containers` is the largest stop timeout that a running container was given
/// explicitly, in seconds; below 0 is "no limit", as dockerd has it.
#[must_use]
pub fn budget(said: &Said, containers: Option<i64>) -> Budget {
    if let Some(limit) = said.setting {
        return Budget {
            limit: Some(limit),
            rule: Rule::Setting,
        };
    }
    let mut best = if said.kubernetes {
        Budget {
            limit: Some(KUBERNETES),
            rule: Rule::Kubernetes,
        }
    } else {
        Budget {
            limit: Some(DEFAULT),
            rule: Rule::Default,
        }
    };
    let after = |seconds: Option<i64>, rule, more: Duration| {
        seconds.map(|seconds| Budget {
            limit: u64::try_from(seconds)
                .ok()
                .map(|seconds| Duration::from_secs(seconds).saturating_add(more)),
            rule,
        })
    };
    let raises = [
        after(said.shutdown_timeout, Rule::ShutdownTimeout, Duration::ZERO),
        after(
            said.default_stop_timeout,
            Rule::DefaultStopTimeout,
            AFTER_CONTAINERS,
        ),
        after(containers, Rule::Container, AFTER_CONTAINERS),
    ];
    for other in raises.into_iter().flatten() {
        let longer = match (best.limit, other.limit) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(best), Some(other)) => other > best,
        };
        if longer {
            best = other;
        }
    }
    best
}

/// When, after the begin of the stop, what is left inside the containers is killed: dockerd can
/// then still record their ends.
#[must_use]
pub fn containers_end(limit: Duration) -> Duration {
    limit.saturating_sub(RESERVE.min(limit / 2))
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            None => f.write_str("no deadline")?,
            Some(limit) => write!(f, "{} s", limit.as_secs_f64())?,
        }
        f.write_str(match self.rule {
            Rule::Default => " (default: docker stop kills after 10 s)",
            Rule::Kubernetes => " (default in Kubernetes: a pod is killed after 30 s)",
            Rule::Setting => " (DIND_STOP_TIMEOUT)",
            Rule::ShutdownTimeout => " (dockerd's shutdown-timeout)",
            Rule::DefaultStopTimeout => " (dockerd's default-stop-timeout and 3 s)",
            Rule::Container => " (the longest stop timeout of a running container and 3 s)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Option<Duration> = |seconds| Some(Duration::from_secs(seconds));

    #[test]
    fn the_table_of_rules() {
        let said = Said::default();
        let pod = Said {
            kubernetes: true,
            ..said
        };
        let with = |shutdown_timeout, default_stop_timeout| Said {
            shutdown_timeout,
            default_stop_timeout,
            ..said
        };
        let set = Said {
            setting: S(3),
            ..with(Some(60), Some(-1))
        };
        for (said, containers, limit, rule) in [
            (said, None, S(9), Rule::Default),
            (pod, None, S(28), Rule::Kubernetes),
            (set, Some(600), S(3), Rule::Setting),
            (with(Some(30), None), None, S(30), Rule::ShutdownTimeout),
            (with(Some(5), None), None, S(9), Rule::Default),
            (with(None, Some(20)), None, S(23), Rule::DefaultStopTimeout),
            (with(None, Some(0)), None, S(9), Rule::Default),
            (said, Some(60), S(63), Rule::Container),
            (said, Some(6), S(9), Rule::Default),
            (pod, Some(26), S(29), Rule::Container),
            (with(Some(30), None), Some(20), S(30), Rule::ShutdownTimeout),
            (said, Some(-1), None, Rule::Container),
            (with(Some(-1), None), Some(60), None, Rule::ShutdownTimeout),
        ] {
            assert_eq!(budget(&said, containers), Budget { limit, rule });
        }
    }

    #[test]
    fn containers_end_two_seconds_before_or_half_way() {
        let end = |seconds| containers_end(Duration::from_secs(seconds)).as_millis();
        assert_eq!(
            (end(9), end(28), end(4), end(2), end(0)),
            (7000, 26000, 2000, 1000, 0)
        );
    }

    #[test]
    fn the_line_names_the_rule() {
        let line = budget(&Said::default(), Some(60)).to_string();
        assert!(line.starts_with("63 s (the longest stop timeout"), "{line}");
    }
}
