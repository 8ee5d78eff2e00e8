//! Settings of dockerd's that are lists or maps of options: each is judged by the option's key.
//! That somebody has set another key says nothing about ours.
//!
//! dockerd refuses a setting that is in its file and among its flags, whatever the keys are: where
//! the file has it, no flag can add to it.

use serde_json::Value;

use crate::config::Config;
use crate::host::daemon_json::DaemonFile;

/// A list or map of options, by its two names.
#[derive(Debug, Clone, Copy)]
pub struct Keyed {
    /// The flag; it can be given more than once.
    pub flag: &'static str,
    /// The key of the file.
    pub key: &'static str,
}

/// What new networks get, by driver and option; since 24.0.
pub const NETWORK: Keyed = Keyed {
    flag: "default-network-opt",
    key: "default-network-opts",
};

/// How containers are executed.
pub const EXEC: Keyed = Keyed {
    flag: "exec-opt",
    key: "exec-opts",
};

/// How images are stored.
pub const STORAGE: Keyed = Keyed {
    flag: "storage-opt",
    key: "storage-opts",
};

impl Keyed {
    /// The user's value of an option, which a path of keys names.
    #[must_use]
    pub fn get(self, config: &Config, file: &DaemonFile, path: &[&str]) -> Option<String> {
        let flags = config.daemon.values(self.flag);
        let flag = flags.into_iter().find_map(|words| option(words, path));
        flag.map(str::to_owned)
            .or_else(|| in_file(file.get(self.key)?, path))
    }

    /// Whether dockerd takes the setting as a flag, and so one more of ours.
    #[must_use]
    pub fn takes_flags(self, file: &DaemonFile) -> bool {
        file.get(self.key).is_none()
    }
}

/// The value of `KEY=KEY=VALUE`; dockerd compares without case.
fn option<'a>(words: &'a str, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(words, |rest, key| {
        let (name, rest) = rest.split_once('=')?;
        name.trim().eq_ignore_ascii_case(key).then_some(rest)
    })
}

/// A list has words as flags do, a map is nested as deep as the path.
fn in_file(value: &Value, path: &[&str]) -> Option<String> {
    if let Value::Array(list) = value {
        let words = list.iter().filter_map(Value::as_str);
        return words
            .filter_map(|words| option(words, path))
            .next()
            .map(str::to_owned);
    }
    let found = path.iter().try_fold(value, |map, key| {
        let mut keys = map.as_object()?.iter();
        keys.find(|(name, _)| name.eq_ignore_ascii_case(key))
            .map(|(_, value)| value)
    })?;
    Some(match found {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::said;

    #[test]
    fn an_option_is_found_by_its_key_wherever_it_is() {
        const MTU: [&str; 2] = ["bridge", "com.docker.network.driver.mtu"];
        let get = |keyed: Keyed, words: &[&str], json: &str, path: &[&str]| {
            keyed.get(&said::config(words, &[]), &said::file(json), path)
        };
        let flag = "--default-network-opt=bridge=com.docker.network.driver.mtu=1400";
        let other = "--default-network-opt=bridge=com.docker.network.bridge.enable_icc=false";
        let overlay = "--default-network-opt=overlay=com.docker.network.driver.mtu=1400";
        let text =
            r#"{"default-network-opts":{"bridge":{"com.docker.network.driver.mtu":"1400"}}}"#;
        let number =
            r#"{"default-network-opts":{"bridge":{"com.docker.network.driver.mtu":1400}}}"#;
        let without = r#"{"default-network-opts":{"bridge":{"a":"b"},"overlay":{}}}"#;
        for (words, json, want) in [
            (&[flag][..], "{}", Some("1400")),
            (&[other, flag], "{}", Some("1400")),
            (&[other, overlay], "{}", None),
            (&[], text, Some("1400")),
            (&[], number, Some("1400")),
            (&[], without, None),
            (&[], r#"{"default-network-opts":7}"#, None),
            (&[], "{}", None),
        ] {
            let found = get(NETWORK, words, json, &MTU);
            assert_eq!(found.as_deref(), want, "{words:?} {json}");
        }
        for (words, json) in [
            (&["--exec-opt", "native.cgroupdriver=systemd"][..], "{}"),
            (&["--exec-opt=Native.CgroupDriver=systemd"], "{}"),
            (
                &[],
                r#"{"exec-opts":["a=b","native.cgroupdriver=systemd"]}"#,
            ),
        ] {
            let found = get(EXEC, words, json, &["native.cgroupdriver"]);
            assert_eq!(found.as_deref(), Some("systemd"), "{words:?} {json}");
        }
        assert!(NETWORK.takes_flags(&said::file("{}")));
        assert!(!NETWORK.takes_flags(&said::file(without)));
    }
}
