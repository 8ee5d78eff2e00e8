//! How long the daemon lives and what ends it, typed and checked.

use std::path::PathBuf;
use std::time::Duration;

use super::bad::BadSettings;
use super::settings;
use super::values::absolute;
use super::{Identity, Mode};
use crate::base::environment::Environment;

/// Restarts within [`RESTART_WINDOW`] when `DIND_RESTART` names no number.
pub const RESTARTS: u32 = 5;

/// The time in which restarts are counted.
pub const RESTART_WINDOW: Duration = Duration::from_secs(600);

/// The ready file when `DIND_READY_FILE` names none.
pub const READY_FILE: &str = "/run/dind-init/ready";

/// Where a kubelet reads the termination message, unless `terminationMessagePath` is another path.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// Where the reason of an end is left, also when it is that another setting is bad.
#[must_use]
pub fn termination_log(env: &Environment) -> PathBuf {
    let path = settings::TERMINATION_LOG.of(env);
    path.unwrap_or_else(|| TERMINATION_LOG.into())
}

/// Everything about the daemon's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifetime {
    /// DIND_STOP_TIMEOUT.
    pub stop_timeout: Option<Duration>,
    /// DIND_DRAIN.
    pub drain: Option<Drain>,
    /// DIND_RESTART.
    pub restart: RestartPolicy,
    /// DIND_READY_FILE.
    pub ready_file: PathBuf,
    /// DIND_TERMINATION_LOG.
    pub termination_log: PathBuf,
    /// DIND_EXIT_WHEN.
    pub exit_when: Vec<ExitWhen>,
}

/// What a stop waits for before dockerd hears of it. The first condition that holds ends the wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// Until no container and no build runs.
    pub idle: bool,
    /// Until a file exists.
    pub file: Option<PathBuf>,
    /// Not longer than this.
    pub most: Option<Duration>,
}

/// What happens when dockerd dies without having been asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// We end, as the official image does.
    Never,
    /// It is started again.
    OnFailure {
        /// So often within [`RESTART_WINDOW`].
        most: u32,
    },
}

/// What ends the daemon from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitWhen {
    /// A file appears.
    File(PathBuf),
    /// The last process of this name, once seen, is gone.
    Process(String),
    /// No container runs and no client is connected for this long.
    Idle(Duration),
    /// Whoever started us, or in a shared pid namespace the other containers, are gone.
    Parent,
}

impl Lifetime {
    /// Reads the variables.
    pub(super) fn read(env: &Environment, identity: Identity, bad: &mut BadSettings) -> Self {
        let exit_when = settings::EXIT_WHEN.of(env);
        // Process 1 has no parent, and nobody to share a pid namespace with.
        if identity.pid == 1 && exit_when.contains(&ExitWhen::Parent) {
            bad.0.push(settings::EXIT_WHEN.bad(env));
        }
        Self {
            stop_timeout: settings::STOP_TIMEOUT.of(env),
            drain: settings::DRAIN.of(env),
            restart: settings::RESTART.of(env),
            ready_file: settings::READY_FILE
                .of(env)
                .unwrap_or_else(|| default_ready_file(env, identity)),
            termination_log: termination_log(env),
            exit_when,
        }
    }
}

/// A user has a runtime directory of its own.
fn default_ready_file(env: &Environment, identity: Identity) -> PathBuf {
    match identity.mode() {
        Mode::Rootful => READY_FILE.into(),
        Mode::Rootless => runtime_dir(env, identity.uid).join("dind-init/ready"),
    }
}

/// `${XDG_RUNTIME_DIR:-/run/user/UID}`.
#[must_use]
pub fn runtime_dir(env: &Environment, uid: u32) -> PathBuf {
    let set = env.non_empty("XDG_RUNTIME_DIR").map(PathBuf::from);
    set.unwrap_or_else(|| format!("/run/user/{uid}").into())
}

/// `Some(None)` is the word `now`.
pub(super) fn drain(value: &str) -> Option<Option<Drain>> {
    if value == "now" {
        return Some(None);
    }
    let mut drain = Drain {
        idle: false,
        file: None,
        most: None,
    };
    for word in value.split(',').map(str::trim) {
        match word.split_once(':') {
            None if word == "idle" => drain.idle = true,
            Some(("file", path)) => drain.file = Some(absolute(path)?),
            Some(("max", time)) => drain.most = Some(duration(time)?),
            _ => return None,
        }
    }
    // A bound alone bounds the usual wait.
    drain.idle |= drain.file.is_none();
    Some(Some(drain))
}

pub(super) fn restart(value: &str) -> Option<RestartPolicy> {
    let most = match value.split_once(':') {
        None if value == "never" => return Some(RestartPolicy::Never),
        None if value == "on-failure" => RESTARTS,
        Some(("on-failure", number)) => number.parse().ok().filter(|most| *most > 0)?,
        _ => return None,
    };
    Some(RestartPolicy::OnFailure { most })
}

pub(super) fn exit_when(value: &str) -> Option<Vec<ExitWhen>> {
    let condition = |word: &str| match word.split_once(':') {
        None if word == "parent" => Some(ExitWhen::Parent),
        Some(("file", path)) => absolute(path).map(ExitWhen::File),
        Some(("process", name)) if !name.is_empty() => Some(ExitWhen::Process(name.to_owned())),
        Some(("idle", time)) => duration(time)
            .filter(|time| !time.is_zero())
            .map(ExitWhen::Idle),
        _ => None,
    };
    value
        .split(',')
        .map(|word| condition(word.trim()))
        .collect()
}

/// Reads `500ms`, `9s`, `2m`, `1h` or plain seconds.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let seconds = |factor: u64| number.checked_mul(factor).map(Duration::from_secs);
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "" | "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)], pid: u32) -> Result<Lifetime, BadSettings> {
        let env = pairs.iter().map(|(k, v)| (*k, *v)).collect();
        let identity = Identity {
            pid,
            uid: 0,
            gid: 0,
        };
        let mut bad = BadSettings::of(&env, false);
        let lifetime = Lifetime::read(&env, identity, &mut bad);
        bad.or(lifetime)
    }

    #[test]
    fn a_drain_has_conditions_and_a_bound() {
        let drain = |value| read(&[("DIND_DRAIN", value)], 1).unwrap().drain;
        assert_eq!(drain("now"), None);
        let wait = |idle, file: Option<&str>, most| Drain {
            idle,
            file: file.map(PathBuf::from),
            most,
        };
        assert_eq!(drain("idle"), Some(wait(true, None, None)));
        let minute = Some(Duration::from_secs(60));
        assert_eq!(drain("max:1m"), Some(wait(true, None, minute)));
        assert_eq!(
            drain("file:/job/done, max:60"),
            Some(wait(false, Some("/job/done"), minute))
        );
    }

    #[test]
    fn a_restart_policy_has_a_number() {
        let restart = |value| read(&[("DIND_RESTART", value)], 1).unwrap().restart;
        assert_eq!(restart("never"), RestartPolicy::Never);
        assert_eq!(
            restart("on-failure"),
            RestartPolicy::OnFailure { most: RESTARTS }
        );
        assert_eq!(
            restart("on-failure:2"),
            RestartPolicy::OnFailure { most: 2 }
        );
    }

    #[test]
    fn several_conditions_end_the_daemon() {
        let value = "file:/x/done,process:Runner.Listener, idle:5m,parent";
        assert_eq!(
            read(&[("DIND_EXIT_WHEN", value)], 7).unwrap().exit_when,
            [
                ExitWhen::File("/x/done".into()),
                ExitWhen::Process("Runner.Listener".into()),
                ExitWhen::Idle(Duration::from_secs(300)),
                ExitWhen::Parent,
            ]
        );
    }

    #[test]
    fn bad_values_are_refused() {
        for (name, value) in [
            ("DIND_STOP_TIMEOUT", "soon"),
            ("DIND_DRAIN", "later"),
            ("DIND_DRAIN", "file:relative"),
            ("DIND_DRAIN", "idle,now"),
            ("DIND_RESTART", "always"),
            ("DIND_RESTART", "on-failure:0"),
            ("DIND_READY_FILE", "ready"),
            ("DIND_EXIT_WHEN", "idle:0"),
            ("DIND_EXIT_WHEN", "process:"),
            ("DIND_EXIT_WHEN", "parent"), // as process 1
        ] {
            assert_eq!(
                read(&[(name, value)], 1).unwrap_err().0[0].name,
                name,
                "{value}"
            );
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("90"), Some(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        assert_eq!(duration("-1s"), None);
        assert_eq!(duration("99999999999999999999s"), None);
    }
}
