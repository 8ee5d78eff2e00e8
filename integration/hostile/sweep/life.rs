//! One life of our program: started, watched, asked to end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::world::World;

/// Ends a life that hangs, far beyond what is held against it.
const DEADLINE: Duration = Duration::from_secs(8);

/// How a wait for readiness ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    Ready,
    Ended(Option<i32>),
    Neither,
}

/// A running program.
pub(super) struct Life<'a> {
    world: &'a World,
    child: Child,
    log: PathBuf,
    /// How it ended: its exit code, and the size of the largest process below it, in KiB.
    over: Option<(Option<i32>, u64)>,
}

impl<'a> Life<'a> {
    /// Starts it.
    pub(super) fn start(world: &'a World, tracer: &[String]) -> Self {
        let log = world.root.join("log");
        let child = world.command(tracer, &log).spawn().expect("unshare");
        Self {
            world,
            child,
            log,
            over: None,
        }
    }

    /// Waits until it says that it is ready, or ends.
    pub(super) fn until_ready(&mut self) -> (Came, Duration) {
        let begin = Instant::now();
        let pause = Duration::from_millis(5);
        let outer = &self.world.outer;
        outer.set_read_timeout(Some(pause)).expect("a timeout");
        let mut buffer = [0; 4096];
        while begin.elapsed() < DEADLINE {
            if outer.recv(&mut buffer).is_ok() {
                if buffer.starts_with(b"READY=1") {
                    return (Came::Ready, begin.elapsed());
                }
            } else if let Some(code) = self.ended() {
                return (Came::Ended(code), begin.elapsed());
            }
        }
        (Came::Neither, begin.elapsed())
    }

    /// The exit code, when it is over; the usage of a process is that of all it has waited for.
    #[expect(unsafe_code, reason = "only wait4 tells how much memory was used")]
    fn ended(&mut self) -> Option<Option<i32>> {
        if self.over.is_none() {
            let pid = i32::try_from(self.child.id()).ok()?;
            let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
            // SAFETY: both places live until the call returns, and the child is ours to wait for.
            let found = unsafe { libc::wait4(pid, &mut status, libc::WNOHANG, usage.as_mut_ptr()) };
            // SAFETY: it was zeroed, which is a valid value of this struct of integers.
            let usage = unsafe { usage.assume_init() };
            if found == pid {
                let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
                self.over = Some((code, u64::try_from(usage.ru_maxrss).unwrap_or(0)));
            }
        }
        self.over.map(|(code, _)| code)
    }

    /// The size of the largest process that it ever had below it, in KiB.
    pub(super) fn largest(&self) -> u64 {
        self.over.map_or(0, |(_, largest)| largest)
    }

    /// Our program, below unshare, and perhaps strace.
    pub(super) fn pid(&self) -> Option<Pid> {
        let mut pids = children(i32::try_from(self.child.id()).ok()?);
        while let Some(pid) = pids.pop() {
            if executes(pid, "/usr/local/bin/dind-init") {
                return Some(pid);
            }
            pids.extend(children(pid.as_raw_nonzero().get()));
        }
        None
    }

    /// dockerd's stub, below our program.
    fn stub(&self) -> Option<Pid> {
        let mut pids = children(self.pid()?.as_raw_nonzero().get());
        while let Some(pid) = pids.pop() {
            if executes(pid, "/sweep") {
                return Some(pid);
            }
            pids.extend(children(pid.as_raw_nonzero().get()));
        }
        None
    }

    /// dockerd dies.
    pub(super) fn kill_dockerd(&self) {
        if let Some(stub) = self.stub() {
            let _ = kill_process(stub, Signal::KILL);
        }
    }

    /// The most memory that our program ever had, in KiB.
    pub(super) fn peak(&self) -> u64 {
        let pid = self.pid().map_or(0, |pid| pid.as_raw_nonzero().get());
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
        number
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0)
    }

    /// A program inside, with a bound; its exit code, and all that it prints.
    pub(super) fn inside(&self, words: &[&str]) -> (Option<i32>, String) {
        let pid = self.pid().map_or(0, |pid| pid.as_raw_nonzero().get());
        let output = std::process::Command::new("nsenter")
            .args(["--target", &pid.to_string(), "--mount", "--pid", "--net"])
            .args(["timeout", "--kill-after=1", "5"])
            .args(words)
            .envs(self.world.who.variables().iter().copied())
            .output()
            .expect("nsenter");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    /// A signal for our program.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, signal);
        }
    }

    /// Asks it to end; how it did, nothing when it did not.
    pub(super) fn stop(&mut self) -> (Option<i32>, Duration) {
        let begin = Instant::now();
        self.signal(Signal::TERM);
        while begin.elapsed() < DEADLINE {
            if let Some(code) = self.ended() {
                return (Some(code.unwrap_or(-1)), begin.elapsed());
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        (None, begin.elapsed())
    }

    /// What it has said.
    pub(super) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Life<'_> {
    fn drop(&mut self) {
        if self.over.is_none() {
            // A hanging PID 1 takes everything below it along; unshare follows.
            self.signal(Signal::KILL);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn executes(pid: Pid, program: &str) -> bool {
    let link = fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero()));
    link.is_ok_and(|exe| exe == Path::new(program))
}

fn children(pid: i32) -> Vec<Pid> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let text = text.unwrap_or_default();
    let numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
    numbers.filter_map(Pid::from_raw).collect()
}
