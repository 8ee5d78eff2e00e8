//! Which dockerd this is, without running it: `dockerd --version` costs more than everything else
//! that we look at together. Its Go build information names the module, which changed with
//! engine 29; the exact version is there, too, unless it was built with `-trimpath`, and then the
//! package manager knows it.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::files;
use crate::sys::probe::{Probes, UnshareFlags};
use crate::sys::program;

/// It loads a hundred megabytes first.
const DEADLINE: Duration = Duration::from_secs(10);

/// The line that decides which image store and which flags there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generation {
    /// Graph drivers unless told otherwise.
    Before29,
    /// The containerd image store unless told otherwise.
    From29,
    /// It could not be told.
    #[default]
    Unknown,
}

/// What is known about dockerd.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineFacts {
    /// Before or after the new image store.
    pub generation: Generation,
    /// Its version, where it could be had.
    pub version: Option<String>,
}

impl EngineFacts {
    /// Reads the executable and the lists of the package managers.
    #[must_use]
    pub fn read(dockerd: &Path) -> Self {
        let by_build = build_info(dockerd).map(|text| from_build_info(&text));
        let mut facts = by_build.unwrap_or_default();
        let packaged = ["/usr/bin", "/usr/sbin"].map(Path::new);
        if facts.version.is_none() && dockerd.parent().is_some_and(|dir| packaged.contains(&dir)) {
            let lists = ["/var/lib/dpkg/status", "/lib/apk/db/installed"];
            let version = lists
                .iter()
                .find_map(|list| packaged_version(&short_text(list)));
            facts = facts.with_version(version);
        }
        facts
    }

    #[must_use]
    pub fn ask(dockerd: &Path, env: &[OsString]) -> Self {
        let (program, env) = (dockerd.to_owned(), env.to_owned());
        let mut probes = Probes::new();
        let ticket = probes.start(
            "dockerd version",
            UnshareFlags::empty(),
            DEADLINE,
            move || {
                let argv = ["dockerd", "--version"].map(OsString::from);
                let output = program::run(&program, &argv, &env, b"");
                output.map(|output| output.text).unwrap_or_default()
            },
        );
        let text = probes.collect().take::<String>(ticket);
        text.known()
            .map(|text| Self::from_version_line(text))
            .unwrap_or_default()
    }

    /// What `dockerd --version` prints.
    #[must_use]
    pub fn from_version_line(line: &str) -> Self {
        // Docker version 28.5.2+dfsg4, build 3ef3c07
        let word = line.strip_prefix("Docker version ");
        let version = word.and_then(|rest| rest.split([',', ' ', '\n']).next());
        Self::default().with_version(version.map(str::to_owned))
    }

    /// The first number of the version; 29 for a newer one of which only that is known.
    #[must_use]
    pub fn major(&self) -> Option<u32> {
        let known = self.version.as_deref().and_then(major);
        known.or_else(|| (self.generation == Generation::From29).then_some(29))
    }

    /// Takes a version that does not contradict what is known already.
    fn with_version(mut self, version: Option<String>) -> Self {
        let Some(found) = version.as_deref().and_then(major) else {
            return self;
        };
        let generation = if found >= 29 {
            Generation::From29
        } else {
            Generation::Before29
        };
        if self.generation == Generation::Unknown || self.generation == generation {
            self = Self {
                generation,
                version,
            };
        }
        self
    }
}

fn major(version: &str) -> Option<u32> {
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn from_build_info(text: &str) -> EngineFacts {
    let path = text.lines().find_map(|line| line.strip_prefix("path\t"));
    let generation = match path {
        Some(path) if path.starts_with("github.com/moby/moby/v2/") => Generation::From29,
        Some(path) if path.starts_with("github.com/docker/docker/") => Generation::Before29,
        _ => Generation::Unknown,
    };
    let flags = text
        .lines()
        .find(|line| line.starts_with("build\t-ldflags="));
    let version = flags
        .and_then(|flags| {
            flags
                .split_once("/dockerversion.Version=")?
                .1
                .split(['"', '\\', ' ', '\''])
                .next()
        })
        .map(str::to_owned);
    EngineFacts {
        generation,
        version: None,
    }
    .with_version(version)
}

/// The text of a package manager's list; one that is too long is not read.
fn short_text(path: &str) -> String {
    let read = files::read(Path::new(path), 8 << 20);
    read.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// The version of the package that holds dockerd, in the lists of dpkg and apk.
fn packaged_version(list: &str) -> Option<String> {
    const NAMES: [&str; 4] = ["docker.io", "docker-ce", "moby-engine", "docker-engine"];
    list.split("\n\n").find_map(|stanza| {
        let field = |names: [&str; 2]| {
            let mut lines = stanza.lines();
            lines.find_map(|line| names.iter().find_map(|name| line.strip_prefix(name)))
        };
        let name = field(["Package: ", "P:"])?;
        let version = field(["Version: ", "V:"])?;
        let removed = stanza.contains("\nStatus: deinstall");
        let without_epoch = version.split_once(':').map_or(version, |(_, rest)| rest);
        (NAMES.contains(&name) && !removed).then(|| without_epoch.to_owned())
    })
}

/// The Go build information of an executable: Go's `debug/buildinfo`, for the 64-bit
/// little-endian machines that we run on and the form that Go has written since 1.18.
fn build_info(program: &Path) -> Option<String> {
    let file = files::open(program).ok()?;
    let section = build_info_section(&file)?;
    let (head, mut rest) = section.split_at_checked(32)?;
    let inline = head.get(15)? & 2 != 0;
    if !head.starts_with(b"\xff Go buildinf:") || !inline {
        return None;
    }
    let _go_version = read_string(&mut rest)?;
    let module = read_string(&mut rest)?;
    let text = module.get(16..module.len().checked_sub(16)?)?; // marks at both ends
    Some(String::from_utf8_lossy(text).into_owned())
}

/// A string after its length, as Go's `binary.PutUvarint` writes that.
fn read_string<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut length = 0_usize;
    for shift in [0, 7, 14, 21] {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let (text, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            return Some(text);
        }
    }
    None
}

fn build_info_section(file: &File) -> Option<Vec<u8>> {
    let read = |offset: u64, length: usize| {
        let mut bytes = vec![0; length.min(1 << 20)];
        file.read_exact_at(&mut bytes, offset).ok().map(|()| bytes)
    };
    let head = read(0, 64)?;
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (entry, count) = (number(&head, 58, 2)?, number(&head, 60, 2)?);
    let names_index = number(&head, 62, 2)?;
    let table = read(number(&head, 40, 8)?, usize::try_from(entry * count).ok()?)?;
    let section = |index: u64| {
        let start = usize::try_from(index * entry).ok()?;
        let header = table.get(start..)?;
        Some((
            usize::try_from(number(header, 0, 4)?).ok()?,
            number(header, 24, 8)?,
            usize::try_from(number(header, 32, 8)?).ok()?,
        ))
    };
    let (_, offset, length) = section(names_index)?;
    let names = read(offset, length)?;
    let (_, offset, length) = (0..count).filter_map(section).find(|(name, _, _)| {
        let name = names.get(*name..).unwrap_or_default();
        name.starts_with(b".go.buildinfo\0")
    })?;
    read(offset, length)
}

/// A little-endian number.
fn number(bytes: &[u8], offset: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(offset..offset + length)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    )
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts(generation: Generation, version: Option<&str>) -> EngineFacts {
        EngineFacts {
            generation,
            version: version.map(str::to_owned),
        }
    }

    #[test]
    fn the_module_path_tells_the_generation_and_the_linker_flags_the_version() {
        use Generation::{Before29, From29, Unknown};
        for (text, expected) in [
            (
                "path\tgithub.com/docker/docker/cmd/dockerd\n",
                facts(Before29, None),
            ),
            (
                "path\tgithub.com/moby/moby/v2/cmd/dockerd\n",
                facts(From29, None),
            ),
            ("path\texample.org/x\n", facts(Unknown, None)),
            (
                "path\tgithub.com/docker/docker/cmd/dockerd\nbuild\t-ldflags=\"\\t-w -X \
                 \\\"github.com/docker/docker/dockerversion.Version=20.10.24+dfsg1\\\" \"\n",
                facts(Before29, Some("20.10.24+dfsg1")),
            ),
        ] {
            assert_eq!(from_build_info(text), expected, "{text}");
        }
    }

    #[test]
    fn packages_are_found_in_both_kinds_of_list() {
        let dpkg = "Package: docker-cli\nVersion: 1\n\nPackage: docker-ce\nStatus: install ok \
                    installed\nVersion: 5:28.5.2-1~debian.12~bookworm\n\nPackage: x\n";
        let apk = "C:Q1\nP:docker-engine\nV:29.1.0-r0\n\n";
        assert_eq!(
            packaged_version(dpkg).as_deref(),
            Some("28.5.2-1~debian.12~bookworm")
        );
        assert_eq!(packaged_version(apk).as_deref(), Some("29.1.0-r0"));
        assert_eq!(packaged_version("Package: docker-cli\nVersion: 1\n"), None);
    }

    #[test]
    fn a_version_that_contradicts_the_executable_is_not_believed() {
        let known = facts(Generation::From29, None);
        assert_eq!(known.clone().with_version(Some("28.1".into())), known);
        let line = "Docker version 29.1.0, build abc\n";
        assert_eq!(EngineFacts::from_version_line(line).major(), Some(29));
        assert_eq!(
            EngineFacts::from_version_line("podman version 5"),
            EngineFacts::default()
        );
    }

    #[test]
    fn files_that_are_no_go_program_are_unknown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(EngineFacts::read(file.path()), EngineFacts::default());
        assert_eq!(
            EngineFacts::read(Path::new("/proc/self/exe")),
            EngineFacts::default()
        );
        std::fs::write(file.path(), b"#!/bin/sh\nexec dockerd.real \"$@\"\n").unwrap();
        assert_eq!(EngineFacts::read(file.path()), EngineFacts::default());
    }

    proptest! {
        #[test]
        fn any_executable_is_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), [b"\x7fELF\x02\x01".as_slice(), &bytes].concat()).unwrap();
            let _ = build_info(file.path());
            let _ = read_string(&mut bytes.as_slice());
        }
    }
}
