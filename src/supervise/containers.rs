//! The containers as dockerd recorded them on disk: who runs, with which stop signal and timeout.
//!
//! Not asked over the API: PID 1 speaks no HTTP, and dockerd may be dead. A hung data root must
//! not hang PID 1 either, so the files are read in a forked child, which sends [`encode`]d lines.

use std::path::Path;

use rustix::process::Pid;
use serde::Deserialize;

use crate::files;
use crate::process;
use crate::sys::process::id;

/// A running container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Running {
    /// Its first process, in dockerd's pid namespace.
    pub(super) pid: Pid,
    /// The stop timeout that it was given explicitly, in seconds; below 0 is "no limit".
    pub(super) stop_timeout: Option<i64>,
    pub(super) stop_signal: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct File {
    state: FileState,
    #[serde(default)]
    config: FileConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FileState {
    running: bool,
    pid: i32,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct FileConfig {
    stop_timeout: Option<i64>,
    stop_signal: String,
}

/// Reads every running container below a data root; what cannot be read is passed over.
#[must_use]
pub(super) fn read(data_root: &Path) -> Vec<Running> {
    let containers = files::entries(&data_root.join("containers")).unwrap_or_default();
    containers
        .iter()
        .filter_map(|dir| parse(&files::read(&dir.join("config.v2.json"), files::MOST).ok()?))
        .collect()
}

/// A `config.v2.json`, when its container runs.
fn parse(json: &[u8]) -> Option<Running> {
    let file: File = serde_json::from_slice(json).ok()?;
    let pid = id(file.state.pid).filter(|_| file.state.running)?;
    Some(Running {
        pid,
        stop_timeout: file.config.stop_timeout,
        stop_signal: signal_number(&file.config.stop_signal).unwrap_or(libc::SIGTERM),
    })
}

/// `15`, `TERM`, `SIGTERM`, `RTMIN+3`, as dockerd reads them.
fn signal_number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse() {
        return (1..=64).contains(&number).then_some(number);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some(offset) = name.strip_prefix("RTMIN") {
        let offset: i32 = if offset.is_empty() {
            0
        } else {
            offset.parse().ok()?
        };
        return (0..=30).contains(&offset).then_some(34 + offset);
    }
    format!("SIG{name}")
        .parse::<nix::sys::signal::Signal>()
        .ok()
        .map(|signal| signal as i32)
}

/// The largest explicit stop timeout; "no limit" is the largest of all.
#[must_use]
pub(super) fn longest(containers: &[Running]) -> Option<i64> {
    let timeouts = containers.iter().filter_map(|running| running.stop_timeout);
    timeouts.max_by_key(|timeout| if *timeout < 0 { i64::MAX } else { *timeout })
}

/// One line for each container.
#[must_use]
pub(super) fn encode(containers: &[Running]) -> String {
    let line = |running: &Running| {
        let timeout = running
            .stop_timeout
            .map_or_else(|| "-".into(), |t| t.to_string());
        let pid = running.pid.as_raw_nonzero();
        format!("{pid} {} {timeout}\n", running.stop_signal)
    };
    containers.iter().map(line).collect()
}

/// The lines back again.
#[must_use]
pub(super) fn decode(text: &str) -> Vec<Running> {
    let line = |line: &str| {
        let mut words = line.split(' ');
        Some(Running {
            pid: process::parse_id(words.next()?)?,
            stop_signal: words.next()?.parse().ok()?,
            stop_timeout: words.next()?.parse().ok(),
        })
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use super::*;

    fn file(state: &str, config: &str) -> String {
        format!(
            r#"{{"StreamConfig":{{}},"State":{{{state},"Paused":false,"Health":null}},
            "ID":"x","Config":{{"Hostname":"h","Env":["A=b"]{config}}},"HostConfig":{{}}}}"#
        )
    }

    #[test]
    fn only_running_containers_are_read_and_broken_files_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        for (id, text) in [
            ("a", file(r#""Running":true,"Pid":7"#, "")),
            (
                "b",
                file(r#""Running":false,"Pid":0"#, r#","StopTimeout":600"#),
            ),
            ("c", "{".into()),
            (
                "d",
                file(
                    r#""Running":true,"Pid":9"#,
                    r#","StopSignal":"SIGQUIT","StopTimeout":60"#,
                ),
            ),
        ] {
            let path = dir.path().join("containers").join(id);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join("config.v2.json"), text).unwrap();
        }
        let mut found = read(dir.path());
        found.sort_by_key(|running| running.pid.as_raw_nonzero());
        let running = |pid, stop_signal, stop_timeout| Running {
            pid: id(pid).unwrap(),
            stop_timeout,
            stop_signal,
        };
        assert_eq!(
            found,
            [
                running(7, libc::SIGTERM, None),
                running(9, libc::SIGQUIT, Some(60))
            ]
        );
        assert_eq!(longest(&found), Some(60));
        assert_eq!(decode(&encode(&found)), found);
        assert_eq!(
            longest(&[running(1, 15, Some(600)), running(2, 15, Some(-1))]),
            Some(-1)
        );
    }

    #[test]
    fn signals_are_read_as_dockerd_reads_them() {
        for (text, number) in [
            ("9", Some(9)),
            ("TERM", Some(15)),
            ("sigint", Some(2)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMIN", Some(34)),
            ("", None),
            ("SIGNONE", None),
            ("0", None),
        ] {
            assert_eq!(signal_number(text), number, "{text:?}");
        }
    }
}
