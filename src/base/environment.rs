//! The environment as it was handed to us: read once in `run`, passed as a value from then on.

use std::ffi::{OsStr, OsString};

/// An ordered list of variables. Order and duplicates are kept, because dockerd must get the
/// environment unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// Wraps a list of name/value pairs.
    #[must_use]
    pub fn new(variables: Vec<(OsString, OsString)>) -> Self {
        Self(variables)
    }

    /// The pairs, in order.
    #[must_use]
    pub fn pairs(&self) -> &[(OsString, OsString)] {
        &self.0
    }

    /// The value of a variable, if it is set, even to nothing.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_os_str())
    }

    /// The value of a variable that is set to something.
    #[must_use]
    pub fn non_empty(&self, name: &str) -> Option<&OsStr> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// A copy with one variable set, in its old place if it had one.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        let value = value.into();
        match self.0.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.into(), value)),
        }
        self
    }

    /// A copy without the variables that the predicate names.
    #[must_use]
    pub fn without(mut self, unwanted: impl Fn(&OsStr) -> bool) -> Self {
        self.0.retain(|(key, _)| !unwanted(key));
        self
    }

    /// A copy without the sockets that were passed to this process (`sd_listen_fds(3)`): a child
    /// has neither the pid nor the descriptors that they speak of.
    #[must_use]
    pub fn without_activation(self) -> Self {
        self.without_any(&["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"])
    }

    /// A copy without anything that a service manager told this process, and nobody else.
    #[must_use]
    pub fn without_service_manager(self) -> Self {
        self.without_activation()
            .without_any(&["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"])
    }

    fn without_any(self, names: &[&str]) -> Self {
        self.without(|name| names.iter().any(|unwanted| name == *unwanted))
    }

    /// `NAME=value` words, as execve wants them.
    #[must_use]
    pub fn words(&self) -> Vec<OsString> {
        let word = |(key, value): &(OsString, OsString)| {
            let mut word = key.clone();
            word.push("=");
            word.push(value);
            word
        };
        self.0.iter().map(word).collect()
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_replaces_in_place_and_keeps_the_rest() {
        let env: Environment = [("A", "1"), ("B", "2")].into_iter().collect();
        let env = env
            .with("A", "3")
            .with("C", "4")
            .without(|name| name == "B");
        assert_eq!(env.words(), ["A=3", "C=4"]);
        assert_eq!(env.non_empty("A"), Some(OsStr::new("3")));
        assert_eq!(env.get("B"), None);
    }
}
