//! Command lines of Go programs, read as Go reads them: with its package `flag` (rootlesskit,
//! docker-proxy) or with `pflag` (dockerd). Pure words: what a value means is decided elsewhere.

use std::collections::BTreeMap;
use std::ffi::OsStr;

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A value.
    Value,
    /// Nothing, or a boolean behind `=`.
    Switch,
    /// A value that may come again; commas separate values.
    List,
    /// A value that we cannot honour, with the reason.
    Unsupported(&'static str),
}

/// A flag that a program has: its name, its letter, and what it takes.
pub type Flag = (&'static str, Option<char>, Kind);

/// Which of the two packages reads the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Package {
    /// `flag`: one dash or two before a whole name.
    Flag,
    /// `pflag`: two dashes before a name, one before letters, the last of which may take the rest
    /// of the word as its value.
    Pflag,
}

/// A program's flags.
#[derive(Debug, Clone, Copy)]
pub struct Grammar {
    /// Who reads them.
    pub package: Package,
    /// All that matter.
    pub flags: &'static [Flag],
}

/// What begins at the first of some words.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// `--`: what follows are no flags.
    End,
    /// A word that is no flag.
    Word,
    /// The flags of one word, and whether the next word is the value of the last of them.
    Flags(Vec<Found<'a>>, bool),
}

/// A flag as it was given.
#[derive(Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The flag, when it is one of the program's.
    pub flag: Option<Flag>,
    /// The long name; as written where the flag is not known.
    pub name: &'a str,
    /// The value, if one was given.
    pub value: Option<&'a str>,
}

impl<'a> Found<'a> {
    fn new(flag: Option<Flag>, written: &'a str, value: Option<&'a str>) -> Self {
        let name = flag.map_or(written, |(name, ..)| name);
        Self { flag, name, value }
    }
}

impl Grammar {
    /// Reads one item. A flag that is not known takes the next word as its value when that does
    /// not look like a flag: whoever goes on has no words besides flags.
    pub fn item<'a>(&self, word: &'a OsStr, next: Option<&'a OsStr>) -> Item<'a> {
        // No flag has a name that is not UTF-8.
        let (word, next) = (word.to_str(), next.and_then(OsStr::to_str));
        match word.and_then(|word| word.strip_prefix('-')) {
            None | Some("") => Item::Word,
            Some("-") => Item::End,
            Some(name) => match (name.strip_prefix('-'), self.package) {
                (None, Package::Pflag) => self.letters(name, next),
                (long, _) => self.long(long.unwrap_or(name), next),
            },
        }
    }

    fn long<'a>(&self, word: &'a str, next: Option<&'a str>) -> Item<'a> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let letter = name.parse::<char>().ok();
        let letter = letter.filter(|_| self.package == Package::Flag);
        let flag = self.find(|flag| flag.0 == name || (letter.is_some() && flag.1 == letter));
        let next = next.filter(|next| match flag {
            _ if value.is_some() => false,
            Some((.., kind)) => kind != Kind::Switch,
            None => !next.starts_with('-'),
        });
        Item::Flags(vec![Found::new(flag, name, value.or(next))], next.is_some())
    }

    fn letters<'a>(&self, letters: &'a str, next: Option<&'a str>) -> Item<'a> {
        let mut found = Vec::new();
        for (index, letter) in letters.char_indices() {
            let (written, after) = letters
                .get(index..)
                .and_then(|rest| rest.split_at_checked(letter.len_utf8()))
                .unwrap_or_default();
            let flag = self.find(|flag| flag.1 == Some(letter));
            if flag.is_some_and(|(.., kind)| kind == Kind::Switch) {
                found.push(Found::new(flag, written, None));
                continue;
            }
            let here = after.strip_prefix('=').unwrap_or(after);
            let here = Some(here).filter(|_| !after.is_empty());
            found.push(Found::new(flag, written, here.or(next)));
            return Item::Flags(found, here.is_none() && next.is_some());
        }
        Item::Flags(found, false)
    }

    fn find(&self, is: impl Fn(&Flag) -> bool) -> Option<Flag> {
        self.flags.iter().copied().find(is)
    }

    /// Reads flags up to the first word that is none, and returns that word and what follows; `--`
    /// ends the flags, too, and is dropped.
    ///
    /// # Errors
    /// The first word that the program would refuse, or that we cannot honour.
    pub fn read<'a, W: AsRef<OsStr>>(&self, words: &'a [W]) -> Result<(Flags, &'a [W]), BadFlag> {
        let mut flags = Flags::default();
        let mut rest = words;
        while let Some((word, after)) = rest.split_first() {
            match self.item(word.as_ref(), after.first().map(AsRef::as_ref)) {
                Item::End => return Ok((flags, after)),
                Item::Word => break,
                Item::Flags(found, takes_next) => {
                    for found in &found {
                        flags.add(word.as_ref(), found)?;
                    }
                    rest = after.get(usize::from(takes_next)..).unwrap_or_default();
                }
            }
        }
        Ok((flags, rest))
    }
}

/// A word that is no flag of the program's, or none that we can honour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadFlag(String);

/// Flags with their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags(BTreeMap<&'static str, Vec<String>>);

impl Flags {
    fn add(&mut self, word: &OsStr, found: &Found<'_>) -> Result<(), BadFlag> {
        let bad = |text: String| Err(BadFlag(text));
        let Some((name, _, kind)) = found.flag else {
            return bad(format!("unknown flag {}", word.to_string_lossy()));
        };
        let values = match (kind, found.value) {
            (Kind::Unsupported(reason), _) => return bad(format!("--{name}: {reason}")),
            (Kind::Switch, None) => vec![true.to_string()],
            (Kind::Switch, Some(value)) => match parse_bool(value) {
                Some(value) => vec![value.to_string()],
                None => return bad(format!("--{name}={value}: neither true nor false")),
            },
            (Kind::Value | Kind::List, None) => return bad(format!("--{name} needs a value")),
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

/// What Go's `strconv.ParseBool` reads.
#[must_use]
pub fn parse_bool(word: &str) -> Option<bool> {
    match word {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GRAMMAR: Grammar = Grammar {
        package: Package::Flag,
        flags: &[
            ("mtu", None, Kind::Value),
            ("ipv6", None, Kind::Switch),
            ("pidns", None, Kind::Switch),
            ("copy-up", None, Kind::List),
            ("publish", Some('p'), Kind::List),
            ("vpnkit", None, Kind::Unsupported("no vpnkit")),
        ],
    };

    fn read(text: &str) -> Result<(Flags, Vec<&str>), BadFlag> {
        let words: Vec<&str> = text.split_whitespace().collect();
        GRAMMAR
            .read(&words)
            .map(|(flags, rest)| (flags, rest.to_vec()))
    }

    #[test]
    fn every_form_of_a_value_is_read_and_the_last_one_wins() {
        for text in ["--mtu=9", "--mtu 9", "-mtu=9", "-mtu 9", "--mtu 8 --mtu=9"] {
            let (flags, rest) = read(text).unwrap();
            assert_eq!(flags.value("mtu"), Some("9"), "{text}");
            assert!(rest.is_empty());
        }
        let (flags, _) = read("--mtu -9").unwrap();
        assert_eq!(flags.value("mtu"), Some("-9"));
    }

    #[test]
    fn a_switch_takes_a_value_only_with_an_equals_sign() {
        let (flags, rest) = read("--ipv6=F --pidns false").unwrap();
        assert_eq!(flags.switch("ipv6"), Some(false));
        assert_eq!(flags.switch("pidns"), Some(true));
        assert_eq!(flags.switch("utsns"), None);
        assert_eq!(rest, ["false"], "a bare word ends the flags");
    }

    #[test]
    fn lists_grow_and_are_split_on_commas() {
        let (flags, rest) =
            read("--copy-up=/etc,/run -p :1:1/tcp --copy-up /x -p=:2:2/udp -- --mtu=1 sh").unwrap();
        assert_eq!(flags.list("copy-up"), ["/etc", "/run", "/x"]);
        assert_eq!(flags.list("publish"), [":1:1/tcp", ":2:2/udp"]);
        assert_eq!(rest, ["--mtu=1", "sh"]);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (text, expected) in [
            ("--nett=x", "unknown flag --nett=x"),
            ("-x", "unknown flag -x"),
            ("-pidns=maybe", "--pidns=maybe: neither true nor false"),
            ("--mtu", "--mtu needs a value"),
            ("--vpnkit=x", "--vpnkit: no vpnkit"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), expected);
        }
    }

    proptest! {
        #[test]
        fn any_words_are_read_without_a_panic(
            words in proptest::collection::vec("-{0,2}[a-z0-9=,-]{0,9}", 0..6)
        ) {
            if let Ok((_, rest)) = GRAMMAR.read(&words) {
                prop_assert!(words.ends_with(rest));
            }
        }

        #[test]
        fn a_value_comes_back_as_it_was_given(value in "[^,=]{0,12}") {
            let words = ["--mtu".to_owned(), value.clone()];
            let (flags, _) = GRAMMAR.read(&words).unwrap();
            prop_assert_eq!(flags.value("mtu"), Some(value.as_str()));
        }
    }
}
