//! The status file: what `dind-init status` shows, written whole at every change of state.

use std::num::NonZeroI32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::timeline::Timeline;
use crate::apply::file;
use crate::base::printable::line;

/// Its name in our runtime directory.
pub const STATUS_FILE: &str = "status.json";
/// The name of the socket on which PID 1 answers with the same.
pub const STATUS_SOCKET: &str = "status.sock";

/// A phase of the start and the time of its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    pub name: String,
    /// Milliseconds since the start.
    pub at_ms: f64,
}

/// What is known about the daemon.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// `starting`, `ready`, `reloading`, `draining`, `stopping`, `restarting`, `ended`.
    pub state: String,
    pub pid: u32,
    /// dockerd's process id: while it runs, and where it can be seen from here.
    pub dockerd: Option<NonZeroI32>,
    /// The unix socket that we ping ourselves, and `probe` does.
    pub socket: Option<PathBuf>,
    /// Where the API is served.
    pub endpoints: Vec<String>,
    /// What a client sets to get there.
    #[serde(default)]
    pub client: String,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// What was chosen for dockerd, and why: drivers, backends.
    #[serde(default)]
    pub choices: Vec<String>,
    /// How often dockerd was started again.
    #[serde(default)]
    pub restarts: u32,
    /// How dockerd last died.
    #[serde(default)]
    pub last_death: Option<String>,
    /// What a drain waits for.
    #[serde(default)]
    pub drain: Option<String>,
    /// The start.
    pub phases: Vec<Phase>,
}

#[derive(Debug)]
pub struct StatusFile {
    pub path: PathBuf,
    pub status: Status,
    /// The same, for whoever asks on the socket.
    reply: Vec<u8>,
}

impl StatusFile {
    /// A file that is not written yet.
    #[must_use]
    pub fn new(path: PathBuf, status: Status) -> Self {
        let reply = Vec::new();
        Self {
            path,
            status,
            reply,
        }
    }

    /// The last status that was written.
    #[must_use]
    pub fn reply(&self) -> &[u8] {
        &self.reply
    }

    /// Writes the state; a failure costs the file only.
    pub fn write(&mut self, state: &str, timeline: &Timeline) {
        state.clone_into(&mut self.status.state);
        self.status.phases = timeline
            .marks()
            .iter()
            .map(|(name, at_ms)| Phase {
                name: (*name).to_owned(),
                at_ms: *at_ms,
            })
            .collect();
        self.reply = serde_json::to_vec(&self.status).unwrap_or_default();
        self.reply.push(b'\n');
        if let Err(error) = file::replace(&self.path, &self.reply) {
            tracing::warn!("{}", crate::base::explain::one_line(&error));
        }
    }
}

impl Status {
    /// The state, endpoints and warnings for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // A row is a line, whatever names of others are in it.
        let mut row = |name: &str, value: &str| {
            text.push_str(&format!("{name:<10} {}\n", line(value)));
        };
        row("state", &self.state);
        let dockerd = self.dockerd.map(|pid| pid.to_string());
        let dockerd = dockerd.as_deref().unwrap_or("-");
        row("pid", &format!("{}, dockerd {dockerd}", self.pid));
        for endpoint in &self.endpoints {
            row("endpoint", endpoint);
        }
        if !self.client.is_empty() {
            row("clients", &self.client);
        }
        for choice in &self.choices {
            row("chosen", choice);
        }
        if self.restarts > 0 {
            row("restarts", &self.restarts.to_string());
        }
        for (name, value) in [("last death", &self.last_death), ("drain", &self.drain)] {
            if let Some(value) = value {
                row(name, value);
            }
        }
        for warning in &self.warnings {
            row("warning", warning);
        }
        text
    }

    /// The phases of the start as bars, each from the end of the one before.
    #[must_use]
    pub fn chart(&self) -> String {
        const WIDTH: f64 = 50.0;
        let total = self
            .phases
            .last()
            .map_or(1.0, |phase| phase.at_ms.max(0.001));
        let mut text = String::new();
        let mut from = 0.0;
        for phase in &self.phases {
            let column = |at: f64| (at / total * WIDTH).round();
            let indent = repeat(' ', column(from));
            let bar = repeat('█', (column(phase.at_ms) - column(from)).max(1.0));
            let length = phase.at_ms - from;
            let name = line(&phase.name).to_string();
            text.push_str(&format!(
                "{name:<16} {:>9.1} ms  +{length:>8.1}  {indent}{bar}\n",
                phase.at_ms
            ));
            from = phase.at_ms;
        }
        text
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 to 51 columns"
)]
fn repeat(symbol: char, count: f64) -> String {
    std::iter::repeat_n(symbol, count.clamp(0.0, 60.0) as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_text_is_one_line_whatever_is_in_it() {
        let status = Status {
            state: "ready".into(),
            warnings: vec!["/a\nerror: forged\u{1b}[2J".into()],
            last_death: Some("x\ry".into()),
            ..Status::default()
        };
        expect_test::expect![[r#"
            state      ready
            pid        0, dockerd -
            last death x\ry
            warning    /a\nerror: forged\u{1b}[2J
        "#]]
        .assert_eq(&status.text());
    }

    #[test]
    fn the_chart_shows_each_phase_after_the_one_before() {
        let phase = |name: &str, at_ms| Phase {
            name: name.into(),
            at_ms,
        };
        let status = Status {
            phases: vec![
                phase("sockets", 1.0),
                phase("exec", 5.0),
                phase("ready", 10.0),
            ],
            ..Status::default()
        };
        expect_test::expect![[r#"
            sockets                1.0 ms  +     1.0  █████
            exec                   5.0 ms  +     4.0       ████████████████████
            ready                 10.0 ms  +     5.0                           █████████████████████████
        "#]]
        .assert_eq(&status.chart());
    }
}
