//! Whose work a name asks for. Pure: the names come from argv, from the path that was executed,
//! and from the links on the way to our file.

use std::ffi::{OsStr, OsString};

/// A program that we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Persona {
    /// `dockerd-entrypoint.sh`.
    Entrypoint,
    /// `dind`.
    SetUp,
    /// `docker-entrypoint.sh`.
    Client,
    /// `docker-init` and `tini`.
    Init,
    /// `rootlesskit`.
    Rootlesskit,
    /// `rootlesskit-docker-proxy`.
    DockerProxy,
    /// `dind-init`, with its subcommands.
    CommandLine,
}

/// Every name of a program that we replace.
const NAMES: &[(&str, Persona)] = &[
    ("dockerd-entrypoint.sh", Persona::Entrypoint),
    ("dind", Persona::SetUp),
    ("docker-entrypoint.sh", Persona::Client),
    ("docker-init", Persona::Init),
    ("tini", Persona::Init),
    ("tini-static", Persona::Init),
    ("rootlesskit", Persona::Rootlesskit),
    ("docker-rootlesskit", Persona::Rootlesskit),
    ("rootlesskit-docker-proxy", Persona::DockerProxy),
];

/// What a longer name may hold, the more telling parts first: `docker-init.bak`,
/// `dockerd-entrypoint.sh.orig`, `orig-entrypoint.sh`. `dind` and `tini` count as words only, and
/// come last, as `dind-init` and `dind-entrypoint.sh` hold one of them.
const PARTS: &[(&str, Persona)] = &[
    ("dind-init", Persona::CommandLine),
    ("rootlesskit-docker-proxy", Persona::DockerProxy),
    ("rootlesskit", Persona::Rootlesskit),
    ("docker-entrypoint", Persona::Client),
    ("entrypoint", Persona::Entrypoint),
    ("docker-init", Persona::Init),
];

/// A name as it stands, without a guess.
pub(super) fn exact(name: &OsStr) -> Option<Persona> {
    let known = NAMES.iter().find(|(known, _)| name == *known);
    known.map(|(_, persona)| *persona)
}

/// Decides. `called` is the name that we were called by, `others` are the names of what was
/// executed and of the links that were followed, in that order; `subcommand` says whether a word
/// is one of ours.
pub(super) fn decide(
    called: &OsStr,
    others: &[OsString],
    words: &[OsString],
    subcommand: impl Fn(&str) -> bool,
) -> Persona {
    // Said by us or by somebody who means us, whatever the file is called: PID 1 starts its
    // forwarder so, also where the binary was copied to the name that it replaces.
    if called == "dind-init" {
        return Persona::CommandLine;
    }
    let names = || std::iter::once(called).chain(others.iter().map(OsString::as_os_str));
    if let Some(persona) = names().find_map(exact) {
        return persona;
    }
    let part = |(place, name): (usize, &OsStr)| match held(name.to_str()?, words)? {
        // Links end at our file, which has this name as a rule: that says nothing.
        Persona::CommandLine if place > 0 => None,
        persona => Some(persona),
    };
    if let Some(persona) = names().enumerate().find_map(part) {
        return persona;
    }
    let first = words.first().and_then(|word| word.to_str());
    match first {
        // Every image has a program `env`, and `docker run IMAGE env` means that one.
        Some(word) if word != "env" && subcommand(word) => Persona::CommandLine,
        // A copy of the official entrypoint works under every name.
        _ => Persona::Entrypoint,
    }
}

/// The program whose name is a part of this one.
fn held(name: &str, words: &[OsString]) -> Option<Persona> {
    let found = PARTS.iter().find(|(part, _)| name.contains(part));
    if let Some((_, persona)) = found {
        return Some(*persona);
    }
    if has_word(name, "tini") {
        return Some(Persona::Init);
    }
    has_word(name, "dind").then(|| match words.first() {
        Some(first) if !first.as_encoded_bytes().starts_with(b"-") => Persona::SetUp,
        // `dind` is nothing without a command: `start-dind.sh --debug` is to start a daemon.
        _ => Persona::Entrypoint,
    })
}

fn has_word(name: &str, word: &str) -> bool {
    let mut words = name.split(|c: char| !c.is_ascii_alphabetic());
    words.any(|found| found == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Called by the first name; the others are those of the links on the way.
    fn of(names: &str, words: &str) -> Persona {
        let mut names = names.split(" -> ").map(OsString::from);
        let called = names.next().unwrap_or_default();
        let others: Vec<_> = names.collect();
        let words: Vec<_> = words.split_whitespace().map(OsString::from).collect();
        decide(&called, &others, &words, |word| {
            ["plan", "env", "init", "forward-names"].contains(&word)
        })
    }

    #[test]
    fn names_are_found_as_they_are_linked_and_inside_longer_ones() {
        use Persona::*;
        for (names, words, expected) in [
            // Exactly.
            ("dockerd-entrypoint.sh -> dind-init", "", Entrypoint),
            ("dockerd-entrypoint.sh -> dind-init", "sh", Entrypoint),
            ("dind -> dind-init", "", SetUp),
            ("dind -> dind-init", "--version", SetUp),
            ("docker-entrypoint.sh", "sh", Client),
            ("docker-init", "-- sh", Init),
            ("tini", "-s -- sh", Init),
            ("tini-static", "-- sh", Init),
            ("rootlesskit", "sh", Rootlesskit),
            ("docker-rootlesskit", "sh", Rootlesskit),
            ("rootlesskit-docker-proxy", "-proto tcp", DockerProxy),
            ("dind-init", "", CommandLine),
            (
                "dind-init -> exe -> dockerd-entrypoint.sh",
                "forward-names",
                CommandLine,
            ),
            ("dind-init", "--version", CommandLine),
            ("dind-init", "nonsense", CommandLine),
            // By a link.
            ("orig -> dockerd-entrypoint.sh -> dind-init", "", Entrypoint),
            ("old.sh -> docker-entrypoint.sh -> dind-init", "sh", Client),
            ("prepare -> dind -> dind-init", "sh", SetUp),
            ("prepare -> dind -> dind-init", "", SetUp),
            ("reaper -> docker-init -> dind-init", "sh", Init),
            // What the caller says outranks what he executed.
            ("dind -> dockerd-entrypoint.sh -> dind-init", "sh", SetUp),
            // A part of a name, in a copy or a link.
            ("orig-entrypoint.sh", "", Entrypoint),
            ("entrypoint.sh -> dind-init", "dockerd", Entrypoint),
            ("dockerd-entrypoint.sh.orig", "--debug", Entrypoint),
            ("old-dockerd-entrypoint", "sh", Entrypoint),
            ("dind-entrypoint.sh", "sh", Entrypoint),
            ("docker-entrypoint.sh.orig", "sh", Client),
            ("docker-init.bak", "-- sh", Init),
            ("my-tini", "-- sh", Init),
            ("tini-static-amd64", "-- sh", Init),
            ("hack-dind", "dockerd --debug", SetUp),
            ("my-dind -> dind-init", "sh", SetUp),
            ("dind.orig", "sh", SetUp),
            ("rootlesskit-v2", "sh", Rootlesskit),
            ("dind-init-x86_64", "--version", CommandLine),
            ("dind-init.new", "", CommandLine),
            // `dind` without a command does nothing of use.
            ("start-dind.sh", "", Entrypoint),
            ("start-dind.sh", "--debug", Entrypoint),
            // Nothing known: the entrypoint, and ours only where the word can be nothing else.
            ("start-docker.sh -> dind-init", "", Entrypoint),
            ("start-docker.sh", "--version", Entrypoint),
            ("start-docker.sh", "dockerd", Entrypoint),
            ("start-docker.sh", "sh", Entrypoint),
            ("start-docker.sh", "env", Entrypoint),
            ("", "", Entrypoint),
            ("exe", "forward-names", CommandLine),
            ("dindctl -> dind-init", "plan", CommandLine),
            // Words that only look like a name.
            ("continit", "", Entrypoint),
            ("tinidind", "", Entrypoint),
        ] {
            assert_eq!(of(names, words), expected, "{names} {words}");
        }
    }
}
