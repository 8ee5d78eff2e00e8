//! argv and environment of the init persona. Pure: knows no host, touches nothing.
//!
//! The grammar is tini's, with one deviation: options end at the program's name, so that
//! `docker-init sh -c 'exit 7'` is no usage error. (glibc's getopt looks for options behind it
//! as well, musl's does not: scripts that work with both builds of tini work here.)

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use clap_lex::RawArgs;

use super::names;
use crate::base::explain::{Advice, Explain, samples};

/// What is told when nothing says otherwise: failures and warnings.
const DEFAULT_VERBOSITY: u32 = 1;

/// What argv asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// `-h`
    Help,
    /// `-l`
    License,
    /// Run a program under these options.
    Run(Options),
    /// `--version` and nothing else.
    Version,
}

/// How to run the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The program and its arguments; never empty.
    pub command: Vec<OsString>,
    /// Exit codes of the program that become 0.
    pub expected: BTreeSet<u8>,
    /// The signal that we want when our parent dies.
    pub parent_death_signal: Option<i32>,
    /// Who gets the signals that we get.
    pub receiver: Receiver,
    /// Whether orphans of our descendants come to us although we are not PID 1.
    pub subreaper: Subreaper,
    /// How much is told: 0 failures, 1 warnings, 2 information, 3 debugging, 4 and more a trace.
    pub verbosity: u32,
    /// Whether each reaped orphan is told.
    pub reaped: Reaped,
}

/// Who gets the signals that we get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// The program.
    Child,
    /// The program's process group.
    Group,
}

/// Whether to become a subreaper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subreaper {
    /// Become one.
    Register,
    /// Leave the attribute as it is.
    Unchanged,
}

/// What is told of a reaped orphan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaped {
    /// Nothing.
    Silent,
    /// A warning with its pid.
    Warn,
}

/// Why argv was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// `-e` without a number from 0 to 255.
    #[error("Not a valid option for -e: {0}")]
    ExitCode(String),
    /// An option without its value.
    #[error("option requires an argument -- '{0}'")]
    MissingValue(String),
    /// No program to run.
    #[error("no program given")]
    NoProgram,
    /// `-p` without a signal.
    #[error("Not a valid option for -p: {0}")]
    Signal(String),
    /// An option that does not exist.
    #[error("invalid option -- '{0}'")]
    Unknown(String),
}

impl Explain for UsageError {
    fn advice(&self) -> Advice {
        match self {
            Self::ExitCode(_) => Advice::new(
                "an exit code is a number from 0 to 255",
                "write it like -e 143; repeat -e for each code",
            ),
            Self::MissingValue(option) => Advice::new(
                "the command line ends behind the option",
                if option == "p" {
                    "write it like -p SIGTERM"
                } else {
                    "write it like -e 143"
                },
            ),
            Self::NoProgram => Advice::new(
                "an init without a program would end at once",
                "name the program, like: docker-init -- sleep infinity",
            ),
            Self::Signal(_) => Advice::new(
                "a signal is a name or a number from 1 to 64",
                "write it like -p SIGTERM, -p TERM, -p 15 or -p RTMIN+3",
            ),
            Self::Unknown(_) => Advice::new(
                "options of the program itself belong behind its name",
                "put -- before the program; -h lists the options",
            ),
        }
        .with_code(1) // tini's; scripts tell a usage error from the program's own 2 by it
    }
}

samples! { UsageError {
    ExitCode("256".into()),
    MissingValue("p".into()),
    MissingValue("e".into()),
    NoProgram,
    Signal("SIGFOO".into()),
    Unknown("q".into()),
} }

/// Reads argv, the program name included, and the variables `TINI_*`.
///
/// # Errors
/// [`UsageError`]
pub fn parse(argv: &[OsString], env: &[(OsString, OsString)]) -> Result<Request, UsageError> {
    if let [_, only] = argv
        && only == "--version"
    {
        return Ok(Request::Version);
    }
    let mut options = Options {
        command: Vec::new(),
        expected: BTreeSet::new(),
        parent_death_signal: None,
        receiver: Receiver::Child,
        subreaper: Subreaper::Unchanged,
        verbosity: DEFAULT_VERBOSITY,
        reaped: Reaped::Silent,
    };
    let words = RawArgs::new(argv);
    let mut at = words.cursor();
    words.next_os(&mut at); // our own name
    while let Some(word) = words.next(&mut at) {
        if word.is_escape() {
            break;
        }
        if let Some((name, _)) = word.to_long() {
            let name = name.map_or_else(shown, str::to_owned);
            return Err(UsageError::Unknown(format!("--{name}")));
        }
        let Some(mut flags) = word.to_short() else {
            options.command.push(word.to_value_os().to_owned());
            break;
        };
        while let Some(flag) = flags.next_flag() {
            let mut value = |option: &str| {
                let rest = flags.next_value_os().map(without_equals);
                let value = rest.or_else(|| words.next_os(&mut at));
                value.ok_or_else(|| UsageError::MissingValue(option.to_owned()))
            };
            match flag.unwrap_or(char::REPLACEMENT_CHARACTER) {
                'e' => {
                    let code = value("e")?;
                    let number =
                        exit_code(code).ok_or_else(|| UsageError::ExitCode(shown(code)))?;
                    options.expected.insert(number);
                }
                'g' => options.receiver = Receiver::Group,
                'h' => return Ok(Request::Help),
                'l' => return Ok(Request::License),
                'p' => {
                    let name = value("p")?;
                    let number = name.to_str().and_then(names::number);
                    options.parent_death_signal =
                        Some(number.ok_or_else(|| UsageError::Signal(shown(name)))?);
                }
                's' => options.subreaper = Subreaper::Register,
                'v' => options.verbosity = options.verbosity.saturating_add(1),
                'w' => options.reaped = Reaped::Warn,
                other => return Err(UsageError::Unknown(other.to_string())),
            }
        }
    }
    // Not `remaining`, which panics where the cursor is behind the end already.
    let rest = std::iter::from_fn(|| words.next_os(&mut at));
    options.command.extend(rest.map(OsStr::to_owned));
    if options.command.is_empty() {
        return Err(UsageError::NoProgram);
    }
    apply_variables(&mut options, env);
    Ok(Request::Run(options))
}

/// The last component of the first word, for the usage text.
#[must_use]
pub fn program_name(argv: &[OsString]) -> String {
    argv.first()
        .and_then(|word| Path::new(word).file_name())
        .map_or_else(|| "docker-init".to_owned(), shown)
}

/// A value that is joined to its option may follow an equals sign.
fn without_equals(value: &OsStr) -> &OsStr {
    let joined = value.as_bytes().strip_prefix(b"=");
    joined.map_or(value, OsStr::from_bytes)
}

/// A number as `strtol(3)` reads it, where nothing may follow it.
fn exit_code(text: &OsStr) -> Option<u8> {
    let number = text.to_str()?.trim_start().parse::<i64>().ok()?;
    u8::try_from(number).ok()
}

/// The variables come last: `TINI_VERBOSITY` beats `-v`.
fn apply_variables(options: &mut Options, env: &[(OsString, OsString)]) {
    let variable = |name: &str| env.iter().find(|(key, _)| key == name).map(|(_, v)| v);
    // Presence counts, even when empty.
    if variable("TINI_SUBREAPER").is_some() {
        options.subreaper = Subreaper::Register;
    }
    if variable("TINI_KILL_PROCESS_GROUP").is_some() {
        options.receiver = Receiver::Group;
    }
    if let Some(level) = variable("TINI_VERBOSITY") {
        options.verbosity = leading_number(&level.to_string_lossy());
    }
}

/// A number as `atoi(3)` reads it: what follows the digits is passed over, no digits are 0.
/// Below 0 is 0, too (tini takes it for the highest level).
fn leading_number(text: &str) -> u32 {
    let text = text.trim_start();
    let text = text.strip_prefix('+').unwrap_or(text);
    text.chars()
        .map_while(|digit| digit.to_digit(10))
        .fold(0, |number: u32, digit| {
            number.saturating_mul(10).saturating_add(digit)
        })
}

fn shown(text: &OsStr) -> String {
    text.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
