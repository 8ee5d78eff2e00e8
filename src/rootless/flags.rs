//! The grammar of `rootlesskit`'s command line: `DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS`, and the
//! `rootlesskit` persona. Pure words: what the values mean is decided in [`super::options`].
//!
//! Go's flag package reads it: one dash or two, `--flag=value` or `--flag value`, switches take a
//! value only with `=`, the last one wins, lists grow and are split on commas, and the first word
//! that is no flag ends the flags.

use std::collections::BTreeMap;

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Value,
    /// Nothing, or `=true`, `=false`.
    Switch,
    /// A value that may come again; commas separate values.
    List,
    /// A value that we cannot honour, with the reason.
    Unsupported(&'static str),
}

const VPNKIT: &str = "vpnkit is not supported: slirp4netns and pasta are";
const LXC: &str = "lxc-user-nic is not supported: slirp4netns and pasta are";

/// Every flag of rootlesskit 2 and 3.
const FLAGS: &[(&str, Kind)] = &[
    ("cgroupns", Kind::Switch),
    ("cidr", Kind::Value),
    ("copy-up", Kind::List),
    ("copy-up-mode", Kind::Value),
    ("debug", Kind::Switch),
    ("detach-netns", Kind::Switch),
    ("disable-host-loopback", Kind::Switch),
    ("evacuate-cgroup2", Kind::Value),
    ("help", Kind::Switch),
    ("ifname", Kind::Value),
    ("ipcns", Kind::Switch),
    ("ipv6", Kind::Switch),
    ("lxc-user-nic-binary", Kind::Unsupported(LXC)),
    ("lxc-user-nic-bridge", Kind::Unsupported(LXC)),
    ("mtu", Kind::Value),
    ("net", Kind::Value),
    ("pasta-binary", Kind::Value),
    ("pidns", Kind::Switch),
    ("port-driver", Kind::Value),
    ("print-semver", Kind::Value),
    ("propagation", Kind::Value),
    ("publish", Kind::List),
    ("reaper", Kind::Value),
    ("slirp4netns-binary", Kind::Value),
    ("slirp4netns-sandbox", Kind::Value),
    ("slirp4netns-seccomp", Kind::Value),
    ("source-ip-transparent", Kind::Switch),
    ("state-dir", Kind::Value),
    ("subid-source", Kind::Value),
    ("utsns", Kind::Switch),
    ("version", Kind::Switch),
    ("vpnkit-binary", Kind::Unsupported(VPNKIT)),
];

/// Short names.
const SHORT: &[(&str, &str)] = &[("h", "help"), ("p", "publish"), ("v", "version")];

/// What Go's `strconv.ParseBool` reads.
const TRUE: [&str; 6] = ["1", "t", "T", "TRUE", "true", "True"];
const FALSE: [&str; 6] = ["0", "f", "F", "FALSE", "false", "False"];

/// Words that are no flags of rootlesskit's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFlag {
    /// Nobody knows it.
    #[error("unknown flag {word}")]
    Unknown {
        /// As written.
        word: String,
    },
    /// Known, and nothing that we can do.
    #[error("--{name}: {reason}")]
    Unsupported {
        name: &'static str,
        reason: &'static str,
    },
    /// The value is missing.
    #[error("--{name} needs a value")]
    NoValue { name: &'static str },
    /// A switch with a value that is neither true nor false.
    #[error("--{name}={value}: neither true nor false")]
    NotASwitch {
        name: &'static str,
        /// As written.
        value: String,
    },
}

/// Flags with their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags(BTreeMap<&'static str, Vec<String>>);

impl Flags {
    /// Reads flags up to the first word that is none, and returns that word and what follows.
    /// `--` ends the flags, too, and is dropped.
    ///
    /// # Errors
    /// The first word that rootlesskit would refuse, or that we cannot honour.
    pub fn parse(words: &[String]) -> Result<(Self, &[String]), BadFlag> {
        let mut flags = Self::default();
        let mut rest = words;
        while let Some((word, after)) = rest.split_first() {
            if word == "--" {
                return Ok((flags, after));
            }
            let Some(name) = word.strip_prefix('-').filter(|name| !name.is_empty()) else {
                return Ok((flags, rest));
            };
            let name = name.strip_prefix('-').unwrap_or(name);
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (name, None),
            };
            let (name, kind) =
                known(name).ok_or_else(|| BadFlag::Unknown { word: word.clone() })?;
            let takes_next = value.is_none() && kind != Kind::Switch;
            let value = value.or_else(|| takes_next.then(|| after.first())?.map(String::as_str));
            flags.add(name, kind, value)?;
            rest = after.get(usize::from(takes_next)..).unwrap_or_default();
        }
        Ok((flags, rest))
    }

    fn add(&mut self, name: &'static str, kind: Kind, value: Option<&str>) -> Result<(), BadFlag> {
        let values = match (kind, value) {
            (Kind::Unsupported(reason), _) => return Err(BadFlag::Unsupported { name, reason }),
            (Kind::Switch, None) => vec!["true".to_owned()],
            (Kind::Switch, Some(value)) if TRUE.contains(&value) => vec!["true".to_owned()],
            (Kind::Switch, Some(value)) if FALSE.contains(&value) => vec!["false".to_owned()],
            (Kind::Switch, Some(value)) => {
                let value = value.to_owned();
                return Err(BadFlag::NotASwitch { name, value });
            }
            (Kind::Value | Kind::List, None) => return Err(BadFlag::NoValue { name }),
            (Kind::Value, Some(value)) => vec![value.to_owned()],
            (Kind::List, Some(value)) => value.split(',').map(str::to_owned).collect(),
        };
        let list = self.0.entry(name).or_default();
        if kind != Kind::List {
            list.clear();
        }
        list.extend(values);
        Ok(())
    }

    /// The value that counts.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.last().map(String::as_str)
    }

    /// A switch, if it was given.
    #[must_use]
    pub fn switch(&self, name: &str) -> Option<bool> {
        Some(self.value(name)? == "true")
    }

    /// Every value of a list.
    #[must_use]
    pub fn list(&self, name: &str) -> &[String] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a flag was given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

fn known(name: &str) -> Option<(&'static str, Kind)> {
    let short = SHORT.iter().find(|(short, _)| *short == name);
    let name = short.map_or(name, |(_, long)| long);
    FLAGS.iter().find(|(known, _)| *known == name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<(Flags, Vec<String>), BadFlag> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Flags::parse(&words).map(|(flags, rest)| (flags, rest.to_vec()))
    }

    #[test]
    fn every_form_of_a_value_is_read_and_the_last_one_wins() {
        for text in ["--mtu=9", "--mtu 9", "-mtu=9", "-mtu 9", "--mtu 8 --mtu=9"] {
            let (flags, rest) = parse(text).unwrap();
            assert_eq!(flags.value("mtu"), Some("9"), "{text}");
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn a_switch_takes_a_value_only_with_an_equals_sign() {
        let (flags, rest) = parse("--ipv6 --disable-host-loopback=F --pidns false").unwrap();
        assert_eq!(flags.switch("ipv6"), Some(true));
        assert_eq!(flags.switch("disable-host-loopback"), Some(false));
        assert_eq!(flags.switch("pidns"), Some(true));
        assert_eq!(flags.switch("utsns"), None);
        assert_eq!(rest, ["false"], "a bare word ends the flags");
    }

    #[test]
    fn lists_grow_and_are_split_on_commas() {
        let (flags, rest) =
            parse("--copy-up=/etc,/run -p :1:1/tcp --copy-up /x -p=:2:2/udp -- --mtu=1 sh")
                .unwrap();
        assert_eq!(flags.list("copy-up"), ["/etc", "/run", "/x"]);
        assert_eq!(flags.list("publish"), [":1:1/tcp", ":2:2/udp"]);
        assert_eq!(rest, ["--mtu=1", "sh"]);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (text, expected) in [
            ("--nett=x", "unknown flag --nett=x"),
            ("-x", "unknown flag -x"),
            ("--mtu", "--mtu needs a value"),
            ("--ipv6=maybe", "--ipv6=maybe: neither true nor false"),
            (
                "--vpnkit-binary=x",
                "--vpnkit-binary: vpnkit is not supported: slirp4netns and pasta are",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), expected);
        }
    }

    proptest! {
        #[test]
        fn any_words_are_read_without_a_panic(
            words in proptest::collection::vec("-{0,2}[a-z0-9=,-]{0,9}", 0..6)
        ) {
            if let Ok((_, rest)) = Flags::parse(&words) {
                prop_assert!(words.ends_with(rest));
            }
        }

        #[test]
        fn a_value_comes_back_as_it_was_given(value in "[^,=]{0,12}") {
            let words = ["--net".to_owned(), value.clone()];
            let (flags, _) = Flags::parse(&words).unwrap();
            prop_assert_eq!(flags.value("net"), Some(value.as_str()));
        }
    }
}
