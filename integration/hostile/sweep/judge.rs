//! What must hold after each case.

use std::path::Path;
use std::time::Duration;

use super::life::{Came, Life};
use super::plant::Kind;
use super::world::{SECRET, World};

/// What a life without any neighbour takes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usual {
    pub(super) start: Duration,
    pub(super) again: Duration,
    pub(super) stop: Duration,
    /// KiB, of our program.
    pub(super) peak: u64,
    /// KiB, of whatever it started.
    pub(super) largest: u64,
}

/// How much longer anything may take.
const LONGER: Duration = Duration::from_secs(2);

/// How much more memory it may take, in KiB.
const MORE: u64 = 8 * 1024;

/// Where the API is served to everybody who may write there.
const SOCKETS: [&str; 3] = [
    "/run/docker.sock",
    "/run/user/1000/docker.sock",
    "/job/sockets/docker.sock",
];

/// The verdict on one case.
pub(super) struct Judge<'a> {
    pub(super) world: &'a World,
    pub(super) usual: Usual,
    pub(super) path: &'a Path,
    pub(super) kind: Kind,
    pub(super) outside: String,
    pub(super) wrong: Vec<String>,
}

/// The ready file of the lives, as the daemon has it.
fn ready_file() -> &'static Path {
    Path::new("/job/state/ready")
}

impl Judge<'_> {
    /// It came to be ready in its time, or ended and said why.
    pub(super) fn came(&mut self, what: &str, came: (Came, Duration), life: &Life<'_>) {
        let (came, time) = came;
        let usual = if what == "start" {
            self.usual.start
        } else {
            self.usual.again
        };
        match came {
            // Other tests and other people share the machine: three times the usual is not it.
            Came::Ready | Came::Ended(_) if time > usual * 3 + LONGER => {
                self.wrong
                    .push(format!("the {what} took {} ms", time.as_millis()));
            }
            Came::Ready => {}
            Came::Ended(code) => {
                if code == Some(0) || code.is_none() {
                    self.wrong.push(format!("the {what} ended with {code:?}"));
                }
                if !self.is_told(life) {
                    self.wrong
                        .push(format!("the {what} failed, and no line names the path"));
                }
            }
            Came::Neither => self.wrong.push(format!("the {what} hung")),
        }
    }

    /// It serves as if there were no neighbour, or there is a line about it.
    pub(super) fn serves(&mut self, life: &Life<'_>) {
        let live = life.inside(&["dind-init", "probe", "--live"]);
        let ready = life.inside(&["dind-init", "probe"]);
        for (name, (code, text)) in [("probe --live", live), ("probe", ready)] {
            // Who moved the API's path away has it so: it is told that it is not ready there.
            let public = SOCKETS
                .iter()
                .any(|socket| Path::new(socket).starts_with(self.path));
            let told =
                name == "probe" && public && SOCKETS.iter().any(|socket| text.contains(socket));
            if code != Some(0) && !told {
                self.wrong
                    .push(format!("{name}: {code:?} {}", text.trim_end()));
            }
            self.keeps_the_secret(name, &text);
        }
        let (code, text) = life.inside(&["dind-init", "status"]);
        if code != Some(0) || !text.contains("ready") {
            self.wrong
                .push(format!("status: {code:?} {}", text.trim_end()));
        }
        self.keeps_the_secret("status", &text);
        let ready = self.world.root.join("job/state/ready");
        let there = ready.symlink_metadata().is_ok_and(|meta| meta.is_file());
        // Who keeps exchanging it takes it away again as well: that is his, in his directory.
        let taken = self.kind == Kind::Changing && ready_file().starts_with(self.path);
        if !there && !taken && !self.is_told(life) {
            self.wrong
                .push("there is no ready file, and no line about it".into());
        }
        let peak = life.peak();
        if peak > self.usual.peak + MORE {
            self.wrong.push(format!("it grew to {peak} KiB"));
        }
    }

    /// It ended in its time.
    pub(super) fn stopped(&mut self, stop: (Option<i32>, Duration)) {
        let (code, time) = stop;
        match code {
            None => self.wrong.push("the stop hung".into()),
            Some(code) if code != 0 => self.wrong.push(format!("the stop ended with {code}")),
            Some(_) => {}
        }
        if code.is_some() && time > self.usual.stop * 3 + LONGER {
            self.wrong
                .push(format!("the stop took {} ms", time.as_millis()));
        }
    }

    /// Nothing that it started was large, either: it is all one container's memory.
    pub(super) fn is_small(&mut self, life: &Life<'_>) {
        let largest = life.largest();
        if largest > self.usual.largest + MORE {
            self.wrong.push(format!("something grew to {largest} KiB"));
        }
    }

    /// Nothing was read, written, removed or shown.
    pub(super) fn outside_is_untouched(&mut self, life: &Life<'_>, terminal: &str) {
        let after = self.world.outside();
        let lines = |text: &str| -> Vec<String> {
            let accessed = |line: &str| {
                let mut words: Vec<&str> = line.split(' ').collect();
                if self.kind.may_be_read() && words.len() > 7 {
                    words.remove(7);
                }
                words.join(" ")
            };
            text.lines().map(accessed).collect()
        };
        let (before, after) = (lines(&self.outside), lines(&after));
        for line in before.iter().filter(|line| !after.contains(line)) {
            let name = line.split(' ').next().unwrap_or_default();
            let now = after
                .iter()
                .find(|line| line.split(' ').next() == Some(name));
            self.wrong.push(format!("outside: {line} is now {now:?}"));
        }
        for line in after.iter().filter(|line| {
            let name = line.split(' ').next();
            !before.iter().any(|old| old.split(' ').next() == name)
        }) {
            self.wrong.push(format!("outside there is now {line}"));
        }
        if !terminal.is_empty() {
            self.wrong
                .push(format!("written to a terminal: {terminal:?}"));
        }
        let log = life.log();
        self.keeps_the_secret("the log", &log);
        if log.contains("panicked") {
            self.wrong.push("it panicked".into());
        }
    }

    fn keeps_the_secret(&mut self, what: &str, text: &str) {
        if text.contains(SECRET) {
            self.wrong.push(format!("{what} shows the secret"));
        }
    }

    /// Whether a warning or an error names the path, or what is above it.
    fn is_told(&self, life: &Life<'_>) -> bool {
        let log = life.log();
        let serious = |line: &&str| {
            let words = [
                "level=warning",
                "level=error",
                "error: ",
                "  why ",
                "  step ",
            ];
            words.iter().any(|word| line.contains(word))
        };
        let names: Vec<String> = self
            .path
            .ancestors()
            .take_while(|path| path.components().count() > 1)
            .filter(|path| *path != Path::new("/run") && *path != Path::new("/var/lib"))
            .map(|path| path.display().to_string())
            .collect();
        let about = |line: &str| names.iter().any(|name| line.contains(name.as_str()));
        log.lines().filter(serious).any(about)
    }
}
