//! Settings that we do not understand, and how they are told: all at once, so that nobody mends them
//! one start after the other.

use std::fmt;

use super::environment::Environment;
use super::settings;
use crate::explain::{Explain, exit};

/// A variable holds something that we do not understand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadSetting {
    /// The variable.
    pub name: &'static str,
    pub value: String,
}

/// Every such variable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BadSettings(pub Vec<BadSetting>);

impl BadSetting {
    fn row(&self) -> Option<&'static settings::Setting> {
        settings::SETTINGS.iter().find(|row| row.name == self.name)
    }

    fn takes(&self) -> String {
        let values = self.row().map_or("something else", |row| row.values);
        format!("{} takes: {values}", self.name)
    }

    fn remedy(&self) -> String {
        let name = self.name;
        let lower = self.value.trim().to_ascii_lowercase();
        let words = self.row().map_or("", |row| row.values).split([',', ' ']);
        if lower != self.value && words.map(str::trim).any(|word| word == lower) {
            return format!("write it as {name}={lower}");
        }
        let default = self.row().map_or("unset", |row| row.default);
        format!("change or remove {name}; the default is: {default}")
    }

    fn lines(all: &[Self], line: impl Fn(&Self) -> String) -> String {
        all.iter().map(line).collect::<Vec<_>>().join("\n")
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
    fn why(&self) -> String {
        BadSetting::lines(&self.0, BadSetting::takes)
    }
    fn fix(&self) -> String {
        BadSetting::lines(&self.0, BadSetting::remedy)
    }
    fn exit_code(&self) -> u8 {
        exit::REFUSED
    }
}

/// Reads variables and remembers those that make no sense.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    env: &'a Environment,
    bad: BadSettings,
}

impl<'a> Reader<'a> {
    pub(super) fn new(env: &'a Environment) -> Self {
        Self {
            env,
            bad: BadSettings::default(),
        }
    }

    /// A variable that holds something, as `parse` understands it.
    pub(super) fn setting<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.env.non_empty(name)?.to_string_lossy().into_owned();
        let parsed = parse(&value);
        if parsed.is_none() {
            self.bad.0.push(BadSetting { name, value });
        }
        parsed
    }

    /// A variable that holds one of some words.
    pub(super) fn word<T: Copy>(
        &mut self,
        name: &'static str,
        default: T,
        words: &[(&str, T)],
    ) -> T {
        let meaning = |value: &str| {
            let found = words.iter().find(|(word, _)| *word == value);
            found.map(|(_, meaning)| *meaning)
        };
        self.setting(name, meaning).unwrap_or(default)
    }

    /// Ends: with an error when anything was bad.
    pub(super) fn finish(self) -> Result<(), BadSettings> {
        match self.bad.0.is_empty() {
            true => Ok(()),
            false => Err(self.bad),
        }
    }
}

/// Yes or no, for every setting that is one of them.
#[must_use]
pub fn switch(value: &str) -> Option<bool> {
    match value {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}
