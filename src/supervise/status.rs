//! The status file: what `dind-init status` shows, written whole at every change of state.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::timeline::Timeline;
use crate::apply::file;
use crate::cli::environment::Environment;
use crate::plan::host::RUNTIME_DIR;
use crate::rootless::{lookout, places};

/// A phase of the start and the time of its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// Milliseconds since the start.
    pub at_ms: f64,
}

/// What is known about the daemon.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// `starting`, `ready`, `reloading`, `draining`, `stopping`, `restarting`, `ended`.
    pub state: String,
    /// Our process id.
    pub pid: u32,
    /// dockerd's process id.
    pub dockerd: u32,
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

/// The file.
#[derive(Debug)]
pub struct StatusFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
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
            tracing::warn!("{}", crate::explain::one_line(&error));
        }
    }
}

/// The status of the running daemon: root's, else that of the user that we are.
///
/// # Errors
/// There is no status file, or it is not ours.
pub fn read(env: &Environment) -> std::io::Result<Status> {
    let mut dirs = vec![PathBuf::from(RUNTIME_DIR)];
    dirs.extend(
        lookout::runtime_dirs(env)
            .iter()
            .map(|dir| places::own(dir)),
    );
    let files: Vec<_> = dirs.iter().map(|dir| dir.join("status.json")).collect();
    let found = files
        .iter()
        .find(|path| path.exists())
        .or_else(|| files.last());
    let bytes = std::fs::read(found.cloned().unwrap_or_default())?;
    Ok(serde_json::from_slice::<Status>(&bytes)?)
}

impl Status {
    /// The state, endpoints and warnings for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("state      {}\n", self.state);
        text.push_str(&format!(
            "pid        {}, dockerd {}\n",
            self.pid, self.dockerd
        ));
        for endpoint in &self.endpoints {
            text.push_str(&format!("endpoint   {endpoint}\n"));
        }
        if !self.client.is_empty() {
            text.push_str(&format!("clients    {}\n", self.client));
        }
        for choice in &self.choices {
            text.push_str(&format!("chosen     {choice}\n"));
        }
        if self.restarts > 0 {
            text.push_str(&format!("restarts   {}\n", self.restarts));
        }
        for (name, line) in [
            ("last death", &self.last_death),
            ("drain     ", &self.drain),
        ] {
            if let Some(line) = line {
                text.push_str(&format!("{name} {line}\n"));
            }
        }
        for warning in &self.warnings {
            text.push_str(&format!("warning    {warning}\n"));
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
            let name = &phase.name;
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
