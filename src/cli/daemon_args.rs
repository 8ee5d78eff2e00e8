//! dockerd's own command line, read as dockerd (pflag) reads it, so that single flags can be
//! looked up and taken out while every other word stays exactly as the user wrote it.

use std::ffi::{OsStr, OsString};

/// Flags that take a value, with their one-letter form. Only needed to know that the word after
/// them is a value even when it begins with `-`; an unknown flag takes the following word when
/// that does not look like a flag, since dockerd has no positional arguments.
const VALUED: &[(&str, Option<char>)] = &[
    ("add-runtime", None),
    ("allow-nondistributable-artifacts", None),
    ("authorization-plugin", None),
    ("bip", None),
    ("bip6", None),
    ("bridge", Some('b')),
    ("cgroup-parent", None),
    ("config-file", None),
    ("containerd", None),
    ("containerd-namespace", None),
    ("containerd-plugins-namespace", None),
    ("cpu-rt-period", None),
    ("cpu-rt-runtime", None),
    ("data-root", None),
    ("default-address-pool", None),
    ("default-cgroupns-mode", None),
    ("default-gateway", None),
    ("default-gateway-v6", None),
    ("default-ipc-mode", None),
    ("default-network-opt", None),
    ("default-runtime", None),
    ("default-shm-size", None),
    ("default-ulimit", None),
    ("dns", None),
    ("dns-opt", None),
    ("dns-search", None),
    ("exec-opt", None),
    ("exec-root", None),
    ("feature", None),
    ("firewall-backend", None),
    ("fixed-cidr", None),
    ("fixed-cidr-v6", None),
    ("graph", Some('g')),
    ("group", Some('G')),
    ("host", Some('H')),
    ("host-gateway-ip", None),
    ("http-proxy", None),
    ("https-proxy", None),
    ("init-path", None),
    ("insecure-registry", None),
    ("ip", None),
    ("label", None),
    ("log-driver", None),
    ("log-format", None),
    ("log-level", Some('l')),
    ("log-opt", None),
    ("max-concurrent-downloads", None),
    ("max-concurrent-uploads", None),
    ("max-download-attempts", None),
    ("metrics-addr", None),
    ("mtu", None),
    ("network-control-plane-mtu", None),
    ("no-proxy", None),
    ("node-generic-resource", None),
    ("oom-score-adjust", None),
    ("pidfile", Some('p')),
    ("registry-mirror", None),
    ("seccomp-profile", None),
    ("shutdown-timeout", None),
    ("storage-driver", Some('s')),
    ("storage-opt", None),
    ("swarm-default-advertise-addr", None),
    ("tlscacert", None),
    ("tlscert", None),
    ("tlskey", None),
    ("userland-proxy-path", None),
    ("userns-remap", None),
];

/// One-letter flags without a value.
const SWITCHES: &[(&str, char)] = &[("debug", 'D'), ("help", 'h'), ("version", 'v')];

/// A flag as the user gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The long name, without dashes; one-letter flags are translated.
    pub name: String,
    /// The value, if one was given.
    pub value: Option<String>,
}

/// Words that belong together, with the flags that they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    words: Vec<OsString>,
    flags: Vec<Flag>,
}

/// dockerd's arguments (without argv\[0\]).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DaemonArgs(Vec<Token>);

impl DaemonArgs {
    /// Splits words into flags. Never fails: what is not understood is kept for dockerd to judge.
    #[must_use]
    pub fn parse(words: &[OsString]) -> Self {
        let mut tokens = Vec::new();
        let mut rest = words;
        while let Some((word, after)) = rest.split_first() {
            if word == "--" {
                tokens.push(Token {
                    words: rest.to_vec(),
                    flags: Vec::new(),
                });
                break;
            }
            let (flags, takes_next) = read_word(word, after.first().map(OsString::as_os_str));
            let count = if takes_next { 2 } else { 1 };
            let (own, after) = rest.split_at(count.min(rest.len()));
            tokens.push(Token {
                words: own.to_vec(),
                flags,
            });
            rest = after;
        }
        Self(tokens)
    }

    /// The words again, exactly as they were given.
    #[must_use]
    pub fn words(&self) -> Vec<OsString> {
        self.0
            .iter()
            .flat_map(|token| token.words.iter().cloned())
            .collect()
    }

    /// Every flag, in order.
    pub fn flags(&self) -> impl Iterator<Item = &Flag> {
        self.0.iter().flat_map(|token| token.flags.iter())
    }

    /// Whether a flag was given in any form.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.flags().any(|flag| flag.name == name)
    }

    /// Every value of a flag, in order; for lists.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.flags()
            .filter(|f| f.name == name)
            .filter_map(|f| f.value.as_deref())
            .collect()
    }

    /// The value that counts: pflag lets the last one win.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).last().copied()
    }

    /// A switch's value: given without a value it is true; the last one wins.
    #[must_use]
    pub fn switch(&self, name: &str) -> Option<bool> {
        let flag = self.flags().filter(|flag| flag.name == name).last()?;
        // strconv.ParseBool's words for false; what it cannot parse is dockerd's to refuse.
        let no = ["0", "f", "F", "false", "FALSE", "False"];
        Some(
            flag.value
                .as_deref()
                .is_none_or(|value| !no.contains(&value)),
        )
    }

    /// Whether dockerd would print something and end instead of serving.
    #[must_use]
    pub fn only_prints(&self) -> bool {
        ["version", "help", "validate"]
            .iter()
            .any(|name| self.switch(name) == Some(true))
    }

    /// The words without one flag. Words that hold no such flag stay as they are; a cluster such
    /// as `-DHunix://x` is written anew without it.
    #[must_use]
    pub fn without(&self, name: &str) -> Vec<OsString> {
        let kept = |token: &Token| -> Vec<OsString> {
            if token.flags.iter().all(|flag| flag.name != name) {
                return token.words.clone();
            }
            let write = |flag: &Flag| match &flag.value {
                None => OsString::from(format!("--{}", flag.name)),
                Some(value) => OsString::from(format!("--{}={value}", flag.name)),
            };
            token
                .flags
                .iter()
                .filter(|flag| flag.name != name)
                .map(write)
                .collect()
        };
        self.0.iter().flat_map(kept).collect()
    }
}

/// The flags of one word, and whether the next word is the value of the last of them.
fn read_word(word: &OsStr, next: Option<&OsStr>) -> (Vec<Flag>, bool) {
    let Some(word) = word.to_str() else {
        return (Vec::new(), false); // no flag of dockerd's has a name that is not UTF-8
    };
    let next = next.and_then(OsStr::to_str);
    if let Some(long) = word.strip_prefix("--") {
        let (flag, takes) = read_long(long, next);
        return (vec![flag], takes);
    }
    match word.strip_prefix('-') {
        Some(letters) if !letters.is_empty() => read_short(letters, next),
        _ => (Vec::new(), false),
    }
}

fn read_long(word: &str, next: Option<&str>) -> (Flag, bool) {
    if let Some((name, value)) = word.split_once('=') {
        return (
            Flag {
                name: name.into(),
                value: Some(value.into()),
            },
            false,
        );
    }
    let switch = SWITCHES.iter().any(|(name, _)| *name == word);
    let valued = VALUED.iter().any(|(name, _)| *name == word);
    let value = next.filter(|next| valued || (!switch && !next.starts_with('-')));
    (
        Flag {
            name: word.into(),
            value: value.map(str::to_owned),
        },
        value.is_some(),
    )
}

fn read_short(letters: &str, next: Option<&str>) -> (Vec<Flag>, bool) {
    let mut flags = Vec::new();
    for (index, letter) in letters.char_indices() {
        let after = letters.get(index + letter.len_utf8()..).unwrap_or_default();
        if let Some((name, _)) = SWITCHES.iter().find(|(_, short)| *short == letter) {
            flags.push(Flag {
                name: (*name).into(),
                value: None,
            });
            continue;
        }
        let long = VALUED.iter().find(|(_, short)| *short == Some(letter));
        let name = long.map_or_else(|| letter.to_string(), |(name, _)| (*name).to_owned());
        let here = after.strip_prefix('=').unwrap_or(after);
        if !after.is_empty() {
            flags.push(Flag {
                name,
                value: Some(here.into()),
            });
            return (flags, false);
        }
        flags.push(Flag {
            name,
            value: next.map(str::to_owned),
        });
        return (flags, next.is_some());
    }
    (flags, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(words: &[&str]) -> DaemonArgs {
        DaemonArgs::parse(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_host_is_found_in_every_form() {
        for words in [
            &["-H", "unix:///x"][..],
            &["-Hunix:///x"],
            &["-H=unix:///x"],
            &["--host", "unix:///x"],
            &["--host=unix:///x"],
            &["-DHunix:///x"],
            &["-DH", "unix:///x"],
        ] {
            assert_eq!(parse(words).values("host"), ["unix:///x"], "{words:?}");
        }
    }

    #[test]
    fn taking_a_flag_out_leaves_the_other_words_alone() {
        let args = parse(&[
            "--debug",
            "-H",
            "tcp://:1",
            "--label=a=b",
            "-DHunix:///x",
            "-G",
            "-1",
        ]);
        assert_eq!(
            args.without("host"),
            ["--debug", "--label=a=b", "--debug", "-G", "-1"]
        );
        assert_eq!(args.value("group"), Some("-1"));
    }

    #[test]
    fn an_unknown_flag_takes_the_next_word_only_if_it_looks_like_a_value() {
        let args = parse(&[
            "--future",
            "x",
            "--other",
            "--tls",
            "--tlsverify=false",
            "--",
            "-H",
            "y",
        ]);
        assert_eq!(args.value("future"), Some("x"));
        assert_eq!(args.switch("tls"), Some(true));
        assert_eq!(args.switch("tlsverify"), Some(false));
        assert!(
            args.values("host").is_empty(),
            "words after -- are not flags"
        );
    }

    #[test]
    fn words_that_only_print_are_recognised() {
        for word in ["--version", "-v", "--help", "-h", "--validate", "-Dv"] {
            assert!(parse(&[word]).only_prints(), "{word}");
        }
        assert!(!parse(&["--validate=false", "--debug"]).only_prints());
    }

    proptest! {
        #[test]
        fn any_words_come_back_unchanged(words in proptest::collection::vec(".{0,12}", 0..8)) {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            prop_assert_eq!(DaemonArgs::parse(&words).words(), words);
        }
    }
}
