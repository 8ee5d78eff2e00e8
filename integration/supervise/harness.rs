//! Starts the binary in namespaces of its own, and reads what it says.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

/// What anything here may take at most; only a failure ever waits that long.
const DEADLINE: Duration = Duration::from_secs(60);

/// Whether namespaces can be made; says why not.
pub(crate) fn can_run() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    crate::skip::skip("mount and pid namespaces need root");
    false
}

/// What the namespaces' first shell does: a /run of its own, then the words.
const INSIDE: &str = "mount -t tmpfs none /run && exec \"$@\"";

/// A daemon about to be started.
pub(crate) struct Start {
    command: Command,
    pub(crate) dir: tempfile::TempDir,
    words: Vec<String>,
    before: String,
}

/// The binary with a stub that does as the words say.
pub(crate) fn start(stub: &str) -> Start {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display().to_string();
    let wrapper = dir.path().join("bin/dockerd");
    let tests = std::env::current_exe().unwrap();
    script(
        &wrapper,
        &format!("exec {} --exact stub::dockerd --nocapture", tests.display()),
    );
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--kill-child", "--mount-proc", "--mount"])
        .env_clear()
        .env("PATH", format!("{path}/bin:/usr/sbin:/usr/bin:/sbin:/bin"))
        .envs([("STUB", stub), ("STUB_DIR", &path), ("DIND_CGROUP", "skip")])
        .envs([("DIND_TMP", "skip"), ("DIND_DNS", "skip")])
        .env("DIND_READY_FILE", format!("{path}/ready"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let words = vec![
        "dockerd".to_owned(),
        format!("--host=unix://{path}/docker.sock"),
        format!("--pidfile={path}/docker.pid"),
        format!("--data-root={path}/data"),
        format!("--exec-root={path}/exec"),
    ];
    Start {
        command,
        dir,
        words,
        before: INSIDE.into(),
    }
}

/// Writes an executable shell script.
pub(crate) fn script(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Start {
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn arg(mut self, word: &str) -> Self {
        self.words.push(word.into());
        self
    }

    /// A path in the directory of this test.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The binary is not the first process: the shell stays, after doing this.
    pub(crate) fn beside(mut self, what: &str) -> Self {
        self.before = format!("mount -t tmpfs none /run; {what}; \"$@\"; exit $?");
        self
    }

    /// The binary's parent is a shell that does this, and leaves.
    pub(crate) fn between(mut self, what: &str) -> Self {
        let inner = format!("\"$@\" & {what}");
        self.before = format!(
            "mount -t tmpfs none /run; sh -c '{inner}' sh \"$@\";
            until [ -e $STUB_DIR/over ]; do sleep 0.1; done"
        );
        self
    }

    /// A container that dockerd recorded as running with that pid.
    pub(crate) fn container(self, id: &str, pid: u32, config: &str) -> Self {
        let dir = self.path("data/containers").join(id);
        fs::create_dir_all(&dir).unwrap();
        let json = format!(
            r#"{{"ID":"{id}","State":{{"Running":true,"Pid":{pid}}},"Config":{{{config}}}}}"#
        );
        fs::write(dir.join("config.v2.json"), json).unwrap();
        self
    }

    /// Starts it.
    pub(crate) fn run(mut self) -> Dind {
        let binary = env!("CARGO_BIN_EXE_dind-init");
        // Signals that our own caller ignores (a CI runner, `make test &`) would be ignored by all
        // below us: a shell cannot even trap them.
        self.command.args(["env", "--default-signal"]);
        self.command
            .args(["sh", "-c", &self.before, "sh", binary, "run"]);
        self.command.args(&self.words);
        let mut child = self.command.spawn().unwrap();
        let stderr = child.stderr.take();
        Dind {
            child,
            stderr,
            said: String::new(),
            read: 0,
            dir: self.dir,
        }
    }
}

/// A running daemon.
pub(crate) struct Dind {
    child: Child,
    stderr: Option<ChildStderr>,
    said: String,
    read: usize,
    pub(crate) dir: tempfile::TempDir,
}

impl Dind {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Reads until it says this, after what was found last; returns the line.
    #[track_caller]
    pub(crate) fn says(&mut self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let rest = &self.said[self.read..];
            let whole = rest.rfind('\n').map_or("", |end| &rest[..=end]);
            if let Some(place) = whole.find(text) {
                let begin = whole[..place].rfind('\n').map_or(0, |end| end + 1);
                let end = place + whole[place..].find('\n').unwrap();
                let line = whole[begin..end].to_owned();
                self.read += end + 1;
                return line;
            }
            let alive = self.read_more(deadline.saturating_duration_since(Instant::now()));
            assert!(alive, "it never said {text:?}:\n{}", self.end_of_said());
        }
    }

    /// Reads until it has said this, before or after what was found last.
    #[track_caller]
    pub(crate) fn has_said(&mut self, text: &str) {
        let deadline = Instant::now() + DEADLINE;
        while !self.said.contains(text) {
            let alive = self.read_more(deadline.saturating_duration_since(Instant::now()));
            assert!(alive, "it never said {text:?}:\n{}", self.end_of_said());
        }
    }

    /// Whether it has said this, as far as can be read without waiting.
    pub(crate) fn has_said_already(&mut self, text: &str) -> bool {
        self.read_more(Duration::ZERO);
        self.said.contains(text)
    }

    fn end_of_said(&self) -> String {
        let lines: Vec<&str> = self.said.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Everything that it has said so far.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    /// False at the end, or when the time is over.
    fn read_more(&mut self, deadline: Duration) -> bool {
        let Some(stderr) = &mut self.stderr else {
            return false;
        };
        let time = Timespec::try_from(deadline).unwrap();
        let mut fds = [PollFd::new(stderr, PollFlags::IN)];
        if !matches!(poll(&mut fds, Some(&time)), Ok(1..)) {
            return false;
        }
        let mut buffer = [0; 8192];
        let count = stderr.read(&mut buffer).unwrap();
        self.said
            .push_str(&String::from_utf8_lossy(&buffer[..count]));
        count > 0
    }

    /// Stops reading what it says; the pipe stays open and fills.
    pub(crate) fn stop_reading(&mut self) -> ChildStderr {
        self.stderr.take().unwrap()
    }

    /// The process id of the binary, as seen from here.
    #[track_caller]
    pub(crate) fn pid(&self) -> Pid {
        let children = |pid: i32| {
            let path = format!("/proc/{pid}/task/{pid}/children");
            let text = fs::read_to_string(path).unwrap_or_default();
            text.split_whitespace()
                .map(|pid| pid.parse().unwrap())
                .collect::<Vec<i32>>()
        };
        let own = i32::try_from(self.child.id()).unwrap();
        let mut pids = children(own);
        while let Some(pid) = pids.pop() {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            if name == "docker-init\n" {
                return Pid::from_raw(pid).unwrap();
            }
            pids.extend(children(pid));
        }
        panic!("no docker-init:\n{}", self.said);
    }

    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// A file as the binary sees it.
    pub(crate) fn inside(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pid().as_raw_nonzero()))
    }

    /// A command beside the binary, as `docker exec` starts one.
    pub(crate) fn beside(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.pid().as_raw_nonzero()));
        command.args(["--mount", "--pid"]).args(words);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// Runs the binary beside itself; exit code and all that it says.
    #[track_caller]
    pub(crate) fn asks(&self, words: &[&str]) -> (i32, String) {
        let all = [&[env!("CARGO_BIN_EXE_dind-init")], words].concat();
        let output = self.beside(&all).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap(),
            String::from_utf8(said).unwrap(),
        )
    }

    /// What PID 1 answers on its status socket.
    #[track_caller]
    pub(crate) fn status(&self) -> serde_json::Value {
        let mut socket = UnixStream::connect(self.inside("/run/dind-init/status.sock")).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Sends a request to the API socket; the answer, empty when the connection was reset.
    #[track_caller]
    pub(crate) fn request(&self, path: &str) -> String {
        let mut socket = UnixStream::connect(self.path("docker.sock")).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut text = String::new();
        let _ = socket.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes());
        let _ = socket.read_to_string(&mut text);
        text
    }

    /// Waits for its end, reading all that it says; the exit code.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> i32 {
        let deadline = Instant::now() + DEADLINE;
        while self.stderr.is_some() {
            if !self.read_more(deadline.saturating_duration_since(Instant::now())) {
                self.stderr = None;
            }
        }
        assert!(
            Instant::now() < deadline,
            "it does not end:\n{}",
            self.end_of_said()
        );
        let status = self.child.wait().unwrap();
        status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap())
    }

    /// Asks for a stop, and expects it to succeed.
    #[track_caller]
    pub(crate) fn stops(&mut self) {
        self.signal(Signal::TERM);
        let code = self.ends();
        assert_eq!(code, 0, "{}", self.end_of_said());
    }
}

impl Drop for Dind {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whoever started us: a socket that collects what is sent to it.
pub(crate) struct Outer(UnixDatagram);

impl Outer {
    pub(crate) fn bind(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(socket)
    }

    /// Waits for a datagram with this line.
    #[track_caller]
    pub(crate) fn hears(&self, line: &str) {
        let mut buffer = [0; 4096];
        loop {
            let count = self.0.recv(&mut buffer).expect(line);
            let text = String::from_utf8_lossy(&buffer[..count]);
            if text.lines().any(|found| found.starts_with(line)) {
                return;
            }
        }
    }
}
