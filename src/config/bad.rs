//! Settings that we do not understand, and how they are told: all at once, so that nobody mends them
//! one start after the other.

use std::fmt;

use super::settings;
use crate::base::environment::Environment;
use crate::base::explain::{Advice, Explain, samples};

/// A variable, or a flag that has one's meaning, holds something that we do not understand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadSetting {
    /// The variable or flag.
    pub name: String,
    value: String,
    why: String,
    fix: String,
}

impl BadSetting {
    /// A value that is none of those which are taken.
    #[must_use]
    pub fn new(name: impl Into<String>, value: &str, takes: &str) -> Self {
        let name = name.into();
        let lower = value.trim().to_ascii_lowercase();
        let mut words = takes.split([',', ' ']).map(str::trim);
        let fix = match lower != value && words.any(|word| word == lower) {
            true => format!("write it as {name}={lower}"),
            false => format!("change or remove {name}"),
        };
        Self {
            why: format!("{name} takes: {takes}"),
            value: value.to_owned(),
            fix,
            name,
        }
    }

    /// The same with a reason of its own.
    #[must_use]
    pub fn with_help(self, why: impl fmt::Display) -> Self {
        let why = format!("{}: {why}", self.name);
        Self { why, ..self }
    }

    /// The same with what holds without it.
    pub(super) fn or_default(mut self, default: &str) -> Self {
        if self.fix.starts_with("change") {
            self.fix.push_str(&format!("; the default is: {default}"));
        }
        self
    }
}

/// What a command that reads no other settings says of them: its log, too, is as was asked for.
///
/// # Errors
/// What is bad in those of the log.
pub(crate) fn log(env: &Environment) -> Result<(), BadSettings> {
    let rows: [&dyn settings::Row; 2] = [&settings::LOG_LEVEL, &settings::LOG_FORMAT];
    BadSettings(rows.iter().filter_map(|row| row.judge(env)).collect()).or(())
}

/// Every such variable or flag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BadSettings(pub Vec<BadSetting>);

impl BadSettings {
    /// What is bad in an environment; what only a rootless daemon reads is nobody else's business.
    pub(crate) fn of(env: &Environment, rootless: bool) -> Self {
        let read = |row: &&&dyn settings::Row| {
            rootless || !row.about().name.starts_with(settings::rootless::PREFIX)
        };
        let rows = settings::ALL.iter().filter(read);
        Self(rows.filter_map(|row| row.judge(env)).collect())
    }

    /// A result, or all of these.
    ///
    /// # Errors
    /// When there are any.
    pub fn or<T>(self, result: T) -> Result<T, Self> {
        match self.0.is_empty() {
            true => Ok(result),
            false => Err(self),
        }
    }

    fn lines(&self, line: impl Fn(&BadSetting) -> &str) -> String {
        self.0.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for BadSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.0.iter();
        let pairs: Vec<_> = pairs
            .map(|bad| format!("{}={:?}", bad.name, bad.value))
            .collect();
        let pairs = pairs.join(", ");
        match self.0.len() {
            1 => write!(f, "{pairs} is not a valid setting"),
            count => write!(f, "{count} settings are not valid: {pairs}"),
        }
    }
}

impl std::error::Error for BadSettings {}

impl Explain for BadSettings {
    fn advice(&self) -> Advice {
        Advice::new(self.lines(|bad| &bad.why), self.lines(|bad| &bad.fix))
    }
}

samples! { BadSettings:
    BadSettings(vec![BadSetting::new("DIND_NAME", "Yes", "auto, yes, no")]),
    BadSettings(vec![BadSetting::new("DIND_NAME", "value", "a number").or_default("5")]),
}
