//! Starts the binary as PID 1 of a new pid namespace, in any state of signals and descriptors.
//!
//! The thread that starts it gives itself a pid namespace for its children, so the init is a
//! direct child: its exit code, its pid and its death are seen without anybody in between.

use std::any::type_name;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// What anything here may take at most; only a failure ever waits that long.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs the body of a test where pid namespaces can be made.
pub fn pid1<F: FnOnce()>(body: F) {
    const NESTED: &str = "PID1_NESTED";
    if can_unshare() {
        return body();
    }
    let name = type_name::<F>().trim_end_matches("::{{closure}}");
    let name = name.split_once("::").unwrap().1;
    let may_nest = || {
        Command::new("unshare")
            .args(["-Ur", "unshare", "-p", "true"])
            .status()
            .is_ok_and(|s| s.success())
    };
    if std::env::var_os(NESTED).is_none() && may_nest() {
        let status = Command::new("unshare")
            .arg("-Ur")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(NESTED, "1")
            .status()
            .unwrap();
        assert!(status.success(), "{name} failed in a user namespace");
        return;
    }
    crate::skip::skip("pid namespaces need root or unprivileged user namespaces");
}

fn can_unshare() -> bool {
    // SAFETY: changes only where later children of this short-lived thread are put.
    let attempt = || unsafe { libc::unshare(libc::CLONE_NEWPID) } == 0;
    std::thread::spawn(attempt).join().unwrap()
}

/// A program about to be run under the init.
pub struct Start {
    command: Command,
    blocked: u64,
    ignored: Vec<i32>,
    closed: Vec<RawFd>,
    passed: Vec<(OwnedFd, RawFd)>,
    terminal: bool,
    namespace: bool,
}

/// The init under test.
pub fn binary() -> PathBuf {
    std::env::var_os(OTHER).map_or_else(|| env!("CARGO_BIN_EXE_dind-init").into(), PathBuf::from)
}

/// Whether that is ours, which promises more than tini.
pub fn ours() -> bool {
    std::env::var_os(OTHER).is_none()
}

const OTHER: &str = "PID1_UNDER_TEST";

/// The init under these options; the words after it are its arguments.
pub fn init<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Start {
    let mut command = Command::new(binary());
    command
        .arg0("/sbin/docker-init")
        .args(words)
        .env_remove("TINI_SUBREAPER")
        .env_remove("TINI_VERBOSITY")
        .env_remove("TINI_KILL_PROCESS_GROUP")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    Start {
        command,
        blocked: 0,
        ignored: Vec::new(),
        closed: Vec::new(),
        passed: Vec::new(),
        terminal: false,
        namespace: true,
    }
}

/// The init with a shell script as its program.
pub fn script(options: &[&str], text: &str) -> Start {
    init(options.iter().copied().chain(["--", "sh", "-c", text]))
}

impl Start {
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }
    /// Signals that are blocked when the init starts.
    pub fn blocked(mut self, signals: &[i32]) -> Self {
        self.blocked = set(signals);
        self
    }
    /// Signals that are ignored when the init starts.
    pub fn ignored(mut self, signals: &[i32]) -> Self {
        self.ignored = signals.to_vec();
        self
    }
    /// Standard descriptors that are closed when the init starts.
    pub fn closed(mut self, fds: &[RawFd]) -> Self {
        self.closed = fds.to_vec();
        self
    }
    /// A descriptor that the program is to find under this number.
    pub fn passed(mut self, fd: OwnedFd, number: RawFd) -> Self {
        // Far above every number that a test asks for, so that no target is another's source.
        let fd = rustix::io::fcntl_dupfd_cloexec(fd, 1000).unwrap();
        self.passed.push((fd, number));
        self
    }
    /// Standard input is the terminal of a session of its own.
    pub fn terminal(mut self, slave: OwnedFd) -> Self {
        self.terminal = true;
        self.command.stdin(slave);
        self
    }
    pub fn stdout(mut self, stream: impl Into<Stdio>) -> Self {
        self.command.stdout(stream);
        self
    }
    pub fn stderr(mut self, stream: impl Into<Stdio>) -> Self {
        self.command.stderr(stream);
        self
    }
    /// Not PID 1: in the pid namespace of the test.
    pub fn in_our_namespace(mut self) -> Self {
        self.namespace = false;
        self
    }

    pub fn start(self) -> Init {
        use std::os::fd::AsRawFd;
        let Self {
            mut command,
            blocked,
            ignored,
            closed,
            passed,
            terminal,
            namespace,
        } = self;
        let sources: Vec<_> = passed
            .iter()
            .map(|(fd, number)| (fd.as_raw_fd(), *number))
            .collect();
        let prepare = move || {
            // SAFETY: plain system calls between fork and exec; nothing allocates. Descriptors are
            // marked, or belong to the program that is about to start.
            unsafe {
                libc::syscall(
                    libc::SYS_close_range,
                    3,
                    u32::MAX,
                    libc::CLOSE_RANGE_CLOEXEC,
                );
                for &(source, number) in &sources {
                    if libc::dup2(source, number) < 0 {
                        return Err(io::Error::last_os_error());
                    }
                }
                if terminal && (libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0) {
                    return Err(io::Error::last_os_error());
                }
                for &fd in &closed {
                    libc::close(fd);
                }
                // The kernel's call: the C library keeps 32 and 33 for itself. Zeros are SIG_DFL.
                for signal in 1..=64 {
                    let handler = usize::from(ignored.contains(&signal)); // SIG_DFL or SIG_IGN
                    let action = [handler, 0, 0, 0];
                    libc::syscall(libc::SYS_rt_sigaction, signal, &raw const action, 0, 8);
                }
                let how = libc::SIG_SETMASK;
                libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const blocked, 0, 8);
            }
            Ok(())
        };
        // SAFETY: see there.
        unsafe { command.pre_exec(prepare) };
        let spawn = || {
            if namespace {
                // SAFETY: as in can_unshare.
                assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWPID) }, 0);
            }
            command.spawn().unwrap()
        };
        let mut child = std::thread::scope(|scope| scope.spawn(spawn).join().unwrap());
        watch(&child);
        let stdout = child.stdout.take().map(BufReader::new);
        Init { child, stdout }
    }

    pub fn code(self) -> i32 {
        self.start().code()
    }

    /// Runs to the end and returns the exit code, stdout and stderr.
    pub fn output(self) -> (i32, String, String) {
        let mut init = self.stderr(Stdio::piped()).start();
        let mut stderr = init.child.stderr.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let stdout = init.rest();
        (init.code(), stdout, reader.join().unwrap())
    }
}

/// A running init. Dropping it ends it and, as the last of its namespace, all below it.
pub struct Init {
    child: Child,
    stdout: Option<BufReader<std::process::ChildStdout>>,
}

impl Init {
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Waits for a line on the program's stdout.
    pub fn expect(&mut self, line: &str) {
        let mut got = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut got).unwrap();
        assert_eq!(got.trim_end(), line);
    }

    /// Passes over stdout up to a line that ends with this word.
    pub fn expect_within(&mut self, word: &str) {
        let stdout = self.stdout.as_mut().unwrap();
        let found = stdout.lines().any(|line| line.unwrap().ends_with(word));
        assert!(found, "no {word} on stdout");
    }

    /// What is still to come on stdout.
    pub fn rest(&mut self) -> String {
        let mut text = String::new();
        if let Some(stdout) = &mut self.stdout {
            stdout.read_to_string(&mut text).unwrap();
        }
        text
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: plain numbers.
        let result = unsafe { libc::kill(self.pid(), signal) };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }

    /// The program's pid: the init's oldest child.
    pub fn program(&self) -> i32 {
        until("the init has a child", || {
            children(self.pid()).first().copied()
        })
    }

    /// Waits for the end and returns the exit code; fails when a signal ended the init itself.
    pub fn code(mut self) -> i32 {
        let status = self.child.wait().unwrap();
        let signal = status.signal();
        status
            .code()
            .unwrap_or_else(|| panic!("signal {signal:?} ended the init (9: too late)"))
    }
}

/// Kills an init that is still there at the deadline, so that whoever waits for it, or reads from
/// its program, goes on and fails.
fn watch(child: &Child) {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).unwrap();
    let limit = Timespec {
        tv_sec: DEADLINE.as_secs() as i64,
        tv_nsec: 0,
    };
    std::thread::spawn(move || {
        if poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)) == Ok(0) {
            let _ = pidfd_send_signal(&pidfd, Signal::KILL);
        }
    });
}

impl Drop for Init {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The kernel's set of these signals.
pub fn set(signals: &[i32]) -> u64 {
    signals
        .iter()
        .fold(0, |set, signal| set | 1 << (signal - 1))
}

/// Waits for a condition that nothing announces.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

/// A line of /proc/PID/status.
pub fn status(pid: &str, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    field(&text, key)
}

pub fn field(text: &str, key: &str) -> Option<String> {
    text.lines()
        .find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(':')?.trim().to_owned()))
}

/// Direct children, zombies too, oldest first.
pub fn children(pid: i32) -> Vec<i32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect()
}

/// Waits until a process has exactly these descriptors: a program that has just been executed
/// opens some for a moment, for its libraries.
pub fn has_descriptors(pid: i32, expected: &BTreeSet<RawFd>) {
    let open = || -> BTreeSet<RawFd> {
        let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        entries
            .map(|entry| {
                entry
                    .unwrap()
                    .file_name()
                    .to_str()
                    .unwrap()
                    .parse()
                    .unwrap()
            })
            .collect()
    };
    until(&format!("{pid} has the descriptors {expected:?}"), || {
        (open() == *expected).then_some(())
    });
}

/// Waits until the process runs this program (its fork has not yet, just before the exec).
pub fn runs(pid: i32, name: &str) {
    let path = format!("/proc/{pid}/comm");
    until("the program runs", || {
        (std::fs::read_to_string(&path).ok()?.trim_end() == name).then_some(())
    });
}

/// A pipe: its reading and its writing end.
pub fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap()
}

/// Fills a pipe until it takes no byte more.
pub fn fill(pipe: impl AsFd) {
    let flags = rustix::fs::fcntl_getfl(&pipe).unwrap();
    rustix::fs::fcntl_setfl(&pipe, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
    while rustix::io::write(&pipe, &[b'x'; 4096]).is_ok() {}
    while rustix::io::write(&pipe, b"x").is_ok() {}
    rustix::fs::fcntl_setfl(&pipe, flags).unwrap();
}
