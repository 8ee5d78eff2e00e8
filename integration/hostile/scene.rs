//! The neighbour, what it shares with a daemon, and what it must not reach.

use crate::container::{Container, Create};
use crate::lab::{Lab, Output, Volume};

/// What a neighbour may do: nothing that any user could not.
const POWERLESS: [&str; 6] = [
    "--user",
    "1000",
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
];

/// Where the neighbour sees what it shares.
pub(crate) const SHARED: &str = "/shared";

/// Seconds after which an answer is late by two orders of magnitude.
const TIMEOUT: &str = "30";

/// Everything outside: names, kinds, modes, owners, sizes, the times of the last change, contents.
const FINGERPRINT: &str = "cd /outside
    find . -printf '%P %y %m %U %G %n %s %C@ %l\\n' | sort
    find . -type f -exec sha256sum {} + | sort";

/// A neighbour, a volume that it shares with whoever wants it, and a volume that it has no part in.
pub(crate) struct Scene {
    pub(crate) lab: &'static Lab,
    neighbour: Container,
    guard: Container,
    before: String,
    shared: Volume,
    outside: Volume,
}

impl Scene {
    /// Everything but a daemon.
    pub(crate) fn new(lab: &'static Lab) -> Self {
        Self::beside(lab, &[])
    }

    /// The same, with more options for the neighbour's container.
    pub(crate) fn beside(lab: &'static Lab, options: &[&str]) -> Self {
        let (shared, outside) = (lab.volume(), lab.volume());
        let base = || lab.base("forky").args(["sleep", "infinity"]);
        let guard = base()
            .volume(&shared, SHARED)
            .volume(&outside, "/outside")
            .start();
        // A volume that is not empty keeps its mode, whatever the image has at its place.
        guard.sh("touch /shared/.keep; chmod 0777 /shared
            cd /outside; mkdir -p tree/a/b other/c
            for file in secret tree/a/b/file other/c/file other/file; do
                echo 'the secret' >$file; chmod 0600 $file
            done");
        let before = guard.sh(FINGERPRINT);
        let neighbour = base()
            .options(POWERLESS)
            .options(options.iter().copied())
            .volume(&shared, SHARED)
            .start();
        Self {
            lab,
            neighbour,
            guard,
            before,
            shared,
            outside,
        }
    }

    /// A daemon that has the shared volume at a path, and the other one at `/outside`.
    pub(crate) fn dind(&self, at: &str) -> Create {
        self.give(self.lab.dind(), at)
    }

    /// Gives a container the two volumes.
    pub(crate) fn give(&self, create: Create, at: &str) -> Create {
        let create = create.volume(&self.shared, at);
        create.volume(&self.outside, "/outside")
    }

    /// A shell script of the neighbour's, which must succeed; what it prints.
    #[track_caller]
    pub(crate) fn attack(&self, script: &str) -> String {
        self.neighbour
            .sh(&format!("umask 0\ncd {SHARED}\n{script}"))
    }

    /// The same, whether it succeeds or not.
    #[track_caller]
    pub(crate) fn try_to(&self, script: &str) -> Output {
        let script = format!("umask 0\ncd {SHARED}\n{script}");
        self.neighbour.exec(["sh", "-ec", &script])
    }

    /// A program in Python that goes on until the scene is over. Waits until it has called
    /// `armed()`.
    #[track_caller]
    pub(crate) fn keep_attacking(&self, program: &str) {
        let program = format!("{PRELUDE}\n{program}");
        self.neighbour.sh("rm -f /tmp/armed");
        let words = ["exec", "--detach", "--workdir", SHARED, &self.neighbour.id];
        let words = words.into_iter().chain(["python3", "-c", &program]);
        self.lab.docker(words).ok();
        self.neighbour
            .sh("timeout 30 sh -c 'until [ -e /tmp/armed ]; do :; done'");
    }

    /// What root sees outside and in the shared volume.
    #[track_caller]
    pub(crate) fn guard(&self, script: &str) -> String {
        self.guard.sh(script)
    }

    /// Asserts that nothing was changed that the neighbour has no part in.
    #[track_caller]
    pub(crate) fn assert_nothing_outside_changed(&self) {
        let after = self.guard.sh(FINGERPRINT);
        let old: Vec<&str> = self.before.lines().collect();
        let new: Vec<&str> = after.lines().collect();
        let gone: Vec<_> = old.iter().filter(|line| !new.contains(line)).collect();
        let come: Vec<_> = new.iter().filter(|line| !old.contains(line)).collect();
        assert!(
            gone.is_empty() && come.is_empty(),
            "outside there were {gone:#?} and now there are {come:#?}"
        );
    }
}

/// What every program of a neighbour's needs.
const PRELUDE: &str = r#"
import ctypes, os, socket, sys, time
os.umask(0)
libc = ctypes.CDLL(None, use_errno=True)
def armed(): open("/tmp/armed", "w").close()
def exchange(one, other):
    return libc.renameat2(-100, one.encode(), -100, other.encode(), 2) == 0
def full(path):
    "a listener on which a connect waits for ever"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(0)
    held = [listener]
    while True:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        try: client.connect(path)
        except BlockingIOError: return held
        held.append(client)
"#;

/// A command in a container that must come to its end in time.
#[track_caller]
pub(crate) fn in_time(container: &Container, words: &[&str]) -> Output {
    let bound = ["timeout", "--kill-after=2", TIMEOUT];
    let output = container.exec(bound.iter().chain(words).copied());
    assert!(
        output.code != 124 && output.code != 137,
        "it hung: {output}"
    );
    output
}

/// A condition in a container that must come true in time.
#[track_caller]
pub(crate) fn comes_true(container: &Container, condition: &str) {
    let wait = format!("until {condition}; do sleep 0.02; done");
    let words = ["timeout", TIMEOUT, "sh", "-c", &wait];
    let output = container.exec(words);
    assert!(output.code == 0, "it never came true: {output}");
}

/// dockerd works, and PID 1 says so.
#[track_caller]
pub(crate) fn works(dind: &Container) {
    comes_true(dind, "timeout 20 docker version >/dev/null 2>&1");
    in_time(dind, &["dind-init", "probe", "--live"]).ok();
    in_time(dind, &["dind-init", "probe"]).ok();
}

/// Whether dockerd came to answer; else the container has ended by itself. Both take no time.
#[track_caller]
pub(crate) fn answers_or_ends(dind: &Container) -> bool {
    let wait = "until docker version >/dev/null 2>&1; do sleep 0.02; done";
    let answer = dind.exec(["timeout", "--kill-after=2", TIMEOUT, "sh", "-c", wait]);
    let running = dind.inspect("{{.State.Running}}") == "true";
    assert!(answer.code == 0 || !running, "it hung: {answer}");
    answer.code == 0
}

/// It works, ends when it is asked to, and works again.
#[track_caller]
pub(crate) fn works_stops_and_works_again(dind: &Container) {
    works(dind);
    assert_eq!(dind.stop(), "0", "{}", dind.log());
    dind.start();
    works(dind);
    assert_eq!(dind.stop(), "0", "{}", dind.log());
}
