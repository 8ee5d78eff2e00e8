//! Changes to the environment, as data, and their application.

use std::ffi::{OsStr, OsString};

use crate::base::environment::Environment;

/// Variables to set, in order, for a program that is about to be executed.
pub type Changes = Vec<(&'static str, OsString)>;

/// An environment with some variables set.
#[must_use]
pub fn with(env: &Environment, changes: &Changes) -> Environment {
    changes
        .iter()
        .fold(env.clone(), |env, (name, value)| env.with(name, value))
}

/// An environment without some variables.
#[must_use]
pub fn without(env: &Environment, names: &[&str]) -> Environment {
    env.clone()
        .without(|name| names.iter().any(|unwanted| OsStr::new(unwanted) == name))
}

/// `A=1 B=` as an environment.
#[cfg(test)]
pub(crate) fn from_text(text: &str) -> Environment {
    text.split_whitespace()
        .filter_map(|word| word.split_once('='))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_replace_and_add_and_names_go() {
        let env = with(
            &from_text("A=1 AB=2"),
            &vec![("A", "3".into()), ("C", "4".into())],
        );
        assert_eq!(env, from_text("A=3 AB=2 C=4"));
        assert_eq!(without(&env, &["A", "C", "D"]), from_text("AB=2"));
    }
}
