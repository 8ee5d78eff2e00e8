//! For unit tests: what a user said, as root in a container.

use std::ffi::OsString;

use crate::config::{CommandForm, Config, Identity};
use crate::host::daemon_json::{Content, DaemonFile};

/// Process 1, with every id 0.
pub(crate) const ROOT: Identity = Identity {
    pid: 1,
    uid: 0,
    gid: 0,
};

/// Flags alone, and variables.
pub(crate) fn config(words: &[&str], env: &[(&str, &str)]) -> Config {
    config_in(CommandForm::Default, words, env)
}

/// Words for dockerd in either form, and variables.
pub(crate) fn config_in(form: CommandForm, words: &[&str], env: &[(&str, &str)]) -> Config {
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    let env = env.iter().map(|(k, v)| (*k, *v)).collect();
    Config::new(form, &words, env, ROOT).unwrap()
}

/// A daemon.json with these keys; without a text there is no such file.
pub(crate) fn file(json: &str) -> DaemonFile {
    let content = match json {
        "" => Content::Absent,
        json => Content::Keys(serde_json::from_str(json).unwrap()),
    };
    DaemonFile {
        path: "/etc/docker/daemon.json".into(),
        content,
    }
}
