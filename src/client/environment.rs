//! The environment as data: read once in main, looked up and changed here, handed to exec.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// `NAME=value` words in their original order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(Vec<OsString>);

/// Variables to set, in order, for a program that is about to be executed.
pub type Changes = Vec<(&'static str, OsString)>;

impl Environment {
    /// Takes the words of `environ` as they are.
    #[must_use]
    pub fn new(words: Vec<OsString>) -> Self {
        Self(words)
    }

    /// The value of a variable, also when it is empty; the first one counts, as in getenv(3).
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        self.0
            .iter()
            .find_map(|word| value_of(word.as_bytes(), name))
            .map(OsStr::from_bytes)
    }

    /// The value of a variable that is set and not empty: `${NAME:-}` of the shell.
    #[must_use]
    pub fn non_empty(&self, name: &str) -> Option<&OsStr> {
        self.value(name).filter(|value| !value.is_empty())
    }

    /// This environment with some variables set; each replaces every older one of its name.
    #[must_use]
    pub fn with(&self, changes: &Changes) -> Self {
        let mut words = self.0.clone();
        for (name, value) in changes {
            words.retain(|word| value_of(word.as_bytes(), name).is_none());
            let mut word = OsString::from(format!("{name}=")).into_vec();
            word.extend_from_slice(value.as_bytes());
            words.push(OsString::from_vec(word));
        }
        Self(words)
    }

    /// This environment without some variables.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Self {
        let mut words = self.0.clone();
        words.retain(|word| {
            !names
                .iter()
                .any(|name| value_of(word.as_bytes(), name).is_some())
        });
        Self(words)
    }

    /// The words, for exec.
    #[must_use]
    pub fn words(&self) -> &[OsString] {
        &self.0
    }
}

fn value_of<'a>(word: &'a [u8], name: &str) -> Option<&'a [u8]> {
    word.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

impl<S: Into<OsString>> FromIterator<S> for Environment {
    fn from_iter<I: IntoIterator<Item = S>>(words: I) -> Self {
        Self(words.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_set_but_not_non_empty() {
        let env = Environment::from_iter(["A=", "AB=x", "B=1=2"]);
        assert_eq!(env.value("A"), Some(OsStr::new("")));
        assert_eq!(env.non_empty("A"), None);
        assert_eq!(env.value("B"), Some(OsStr::new("1=2")));
        assert_eq!(env.value("C"), None);
    }

    #[test]
    fn a_change_replaces_every_word_of_that_name_and_no_other() {
        let env = Environment::from_iter(["A=1", "AB=2", "A=3"]);
        let changed = env.with(&vec![("A", "new".into())]);
        assert_eq!(changed, Environment::from_iter(["AB=2", "A=new"]));
        assert_eq!(
            changed.without(&["AB", "C"]),
            Environment::from_iter(["A=new"])
        );
    }
}
