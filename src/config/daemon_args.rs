//! dockerd's own command line, read as dockerd (pflag) reads it, so that single flags can be
//! looked up and taken out while every other word stays exactly as the user wrote it.

use std::ffi::OsString;

use super::go_flags::Kind::{Switch, Value};
use super::go_flags::{Found, Grammar, Item, Package, parse_bool};

/// Flags that take a value, so that the word after them is known for one even when it begins with
/// `-`, and those with a letter.
const DOCKERD: Grammar = Grammar {
    package: Package::Pflag,
    flags: &[
        ("add-runtime", None, Value),
        ("allow-nondistributable-artifacts", None, Value),
        ("authorization-plugin", None, Value),
        ("bip", None, Value),
        ("bip6", None, Value),
        ("bridge", Some('b'), Value),
        ("cgroup-parent", None, Value),
        ("config-file", None, Value),
        ("containerd", None, Value),
        ("containerd-namespace", None, Value),
        ("containerd-plugins-namespace", None, Value),
        ("cpu-rt-period", None, Value),
        ("cpu-rt-runtime", None, Value),
        ("data-root", None, Value),
        ("debug", Some('D'), Switch),
        ("default-address-pool", None, Value),
        ("default-cgroupns-mode", None, Value),
        ("default-gateway", None, Value),
        ("default-gateway-v6", None, Value),
        ("default-ipc-mode", None, Value),
        ("default-network-opt", None, Value),
        ("default-runtime", None, Value),
        ("default-shm-size", None, Value),
        ("default-ulimit", None, Value),
        ("dns", None, Value),
        ("dns-opt", None, Value),
        ("dns-search", None, Value),
        ("exec-opt", None, Value),
        ("exec-root", None, Value),
        ("feature", None, Value),
        ("firewall-backend", None, Value),
        ("fixed-cidr", None, Value),
        ("fixed-cidr-v6", None, Value),
        ("graph", Some('g'), Value),
        ("group", Some('G'), Value),
        ("help", Some('h'), Switch),
        ("host", Some('H'), Value),
        ("host-gateway-ip", None, Value),
        ("http-proxy", None, Value),
        ("https-proxy", None, Value),
        ("init-path", None, Value),
        ("insecure-registry", None, Value),
        ("ip", None, Value),
        ("label", None, Value),
        ("log-driver", None, Value),
        ("log-format", None, Value),
        ("log-level", Some('l'), Value),
        ("log-opt", None, Value),
        ("max-concurrent-downloads", None, Value),
        ("max-concurrent-uploads", None, Value),
        ("max-download-attempts", None, Value),
        ("metrics-addr", None, Value),
        ("mtu", None, Value),
        ("network-control-plane-mtu", None, Value),
        ("no-proxy", None, Value),
        ("node-generic-resource", None, Value),
        ("oom-score-adjust", None, Value),
        ("pidfile", Some('p'), Value),
        ("registry-mirror", None, Value),
        ("seccomp-profile", None, Value),
        ("shutdown-timeout", None, Value),
        ("storage-driver", Some('s'), Value),
        ("storage-opt", None, Value),
        ("swarm-default-advertise-addr", None, Value),
        ("tlscacert", None, Value),
        ("tlscert", None, Value),
        ("tlskey", None, Value),
        ("userland-proxy-path", None, Value),
        ("userns-remap", None, Value),
        ("version", Some('v'), Switch),
    ],
};

/// A flag as the user gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The long name, without dashes; one-letter flags are translated.
    pub name: String,
    /// The value, if one was given.
    pub value: Option<String>,
}

impl From<&Found<'_>> for Flag {
    fn from(found: &Found<'_>) -> Self {
        Self {
            name: found.name.to_owned(),
            value: found.value.map(str::to_owned),
        }
    }
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
            let (count, found) = match DOCKERD.item(word, after.first().map(OsString::as_os_str)) {
                Item::End => (rest.len(), Vec::new()),
                Item::Word => (1, Vec::new()),
                Item::Flags(found, takes_next) => (1 + usize::from(takes_next), found),
            };
            let (own, after) = rest.split_at(count);
            tokens.push(Token {
                words: own.to_vec(),
                flags: found.iter().map(Flag::from).collect(),
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
        // What is no boolean is dockerd's to refuse.
        let value = flag.value.as_deref();
        Some(value.is_none_or(|value| parse_bool(value) != Some(false)))
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
