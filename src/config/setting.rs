//! A row of the table of settings ([`super::settings`]): what a variable is called, what it may
//! hold, what holds without it, and how its text becomes a value.

use std::ffi::OsStr;
use std::fmt::Debug;

use super::bad::BadSetting;
use crate::base::environment::Environment;

/// A variable that users may set, and that means a `T`.
#[derive(Debug)]
pub struct Setting<T: 'static> {
    /// The variable.
    pub name: &'static str,
    /// What it may hold.
    pub takes: Takes<T>,
    /// What holds when it is not set: as a user reads it, and as we do. It is `None` where that is
    /// decided later, from what the machine is.
    pub default: (&'static str, T),
    /// One line of documentation.
    pub help: &'static str,
}

/// What a value may be. Texts are for users, functions for us.
#[derive(Debug, Clone, Copy)]
pub enum Takes<T: 'static> {
    /// One of these words.
    Words(&'static [(&'static str, T)]),
    /// What the function understands; nothing is as good as not set.
    Text(&'static str, fn(&str) -> Option<T>),
    /// Everything, and being set to nothing means something.
    Anything(&'static str, fn(&OsStr) -> T),
}

impl<T: Clone> Takes<T> {
    /// What a text means; nothing when it is not understood.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<T> {
        match self {
            Self::Words(words) => {
                let found = words.iter().find(|(word, _)| *word == text);
                found.map(|(_, meaning)| meaning.clone())
            }
            Self::Text(_, read) => read(text),
            Self::Anything(_, read) => Some(read(OsStr::new(text))),
        }
    }

    /// The same for a user.
    #[must_use]
    pub fn values(&self) -> String {
        match self {
            Self::Words(words) => {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                words.join(", ")
            }
            Self::Text(values, _) | Self::Anything(values, _) => (*values).to_owned(),
        }
    }
}

impl<T: Clone> Setting<T> {
    /// What it is in an environment. What is not understood was refused ([`BadSetting`]); who asks
    /// before that gets the default.
    pub(crate) fn of(&self, env: &Environment) -> T {
        let read = match &self.takes {
            Takes::Anything(_, read) => env.get(self.name).map(read),
            takes => self.text(env).and_then(|text| takes.read(&text)),
        };
        read.unwrap_or_else(|| self.default.1.clone())
    }

    fn text(&self, env: &Environment) -> Option<String> {
        let value = env.non_empty(self.name)?;
        Some(value.to_string_lossy().into_owned())
    }

    /// The complaint about what it is in an environment, for a reason besides its text.
    pub(crate) fn bad(&self, env: &Environment) -> BadSetting {
        let text = self.text(env).unwrap_or_default();
        BadSetting::new(self.name, &text, &self.takes.values()).or_default(self.default.0)
    }
}

/// A setting, whatever it means.
pub trait Row: Sync {
    /// What is shown of it.
    fn about(&self) -> About;
    /// The complaint about what it is in an environment, if there is one.
    fn judge(&self, env: &Environment) -> Option<BadSetting>;
    /// Whether the default that is shown is the one that holds.
    #[cfg(test)]
    fn shows_its_default(&self) -> bool;
}

/// What is shown of a setting; see [`Setting`].
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields of Setting")]
pub struct About {
    pub name: &'static str,
    pub values: String,
    pub default: &'static str,
    pub help: &'static str,
}

impl<T: Clone + PartialEq + Debug + Sync> Row for Setting<T> {
    fn about(&self) -> About {
        About {
            name: self.name,
            values: self.takes.values(),
            default: self.default.0,
            help: self.help,
        }
    }

    fn judge(&self, env: &Environment) -> Option<BadSetting> {
        let text = self.text(env)?;
        self.takes.read(&text).is_none().then(|| self.bad(env))
    }

    #[cfg(test)]
    fn shows_its_default(&self) -> bool {
        let (shown, default) = &self.default;
        // What follows is an explanation.
        let shown = shown.split([':', ' ']).next().unwrap_or_default();
        match self.takes {
            Takes::Anything(..) => true,
            _ if format!("{default:?}") == "None" => true,
            _ => self
                .takes
                .read(shown)
                .as_ref()
                .is_none_or(|read| read == default),
        }
    }
}
