//! The harness: what `integration/lab/lab` prepared, and the commands on it.
//!
//! Everything that a test makes carries the lab's label and is removed by id when its value is
//! dropped, by a panic too. No test waits by the clock: a client of the product's sockets is
//! answered when dockerd is up, and everything else is a condition with a deadline.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::container::Create;

/// Ends a test that hangs; nothing that works takes this long.
const TIMEOUT: Duration = Duration::from_secs(180);

/// What timeout(1) ends with when the time is over.
const TIMED_OUT: i32 = 124;

/// On everything of ours, so that `lab down` finds it.
pub(crate) const LABEL: &str = "dind-init-lab=1";

/// The nested image that [`crate::container::Container::import_nested`] makes.
pub(crate) const NESTED: &str = "nested:test";

/// What `integration/lab/lab` prepared.
#[derive(Debug)]
pub(crate) struct Lab {
    docker: PathBuf,
    image: String,
    /// A root for nested containers, for `docker import`.
    pub(crate) nested_tar: PathBuf,
}

impl Lab {
    /// The lab; nothing, with the reason printed, when there is none.
    pub(crate) fn find() -> Option<&'static Self> {
        static LAB: OnceLock<Result<Lab, &str>> = OnceLock::new();
        match LAB.get_or_init(Self::read) {
            Ok(lab) => Some(lab),
            Err(missing) => {
                crate::skip::skip(&format!("{missing} is not set; run `make integration`"));
                None
            }
        }
    }

    fn read() -> Result<Self, &'static str> {
        let variable = |name| std::env::var_os(name).ok_or(name);
        Ok(Self {
            docker: variable("DIND_LAB_DOCKER")?.into(),
            image: variable("DIND_LAB_IMAGE")?.to_string_lossy().into_owned(),
            nested_tar: variable("DIND_LAB_NESTED_TAR")?.into(),
        })
    }

    /// Runs the outer docker client to its end.
    #[track_caller]
    pub(crate) fn docker<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Output {
        self.docker_reading(Stdio::null(), words)
    }

    /// The same with an input.
    #[track_caller]
    pub(crate) fn docker_reading<S: AsRef<OsStr>>(
        &self,
        input: Stdio,
        words: impl IntoIterator<Item = S>,
    ) -> Output {
        let output = self.run(input, words);
        assert!(output.code != TIMED_OUT, "it hung: {output}");
        output
    }

    /// The same for a `drop`, which must not panic.
    pub(crate) fn clean_up<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Output {
        self.run(Stdio::null(), words)
    }

    fn run<S: AsRef<OsStr>>(&self, input: Stdio, words: impl IntoIterator<Item = S>) -> Output {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", &TIMEOUT.as_secs().to_string()]);
        command.arg(&self.docker).args(words).stdin(input);
        let (code, stdout, stderr) = match command.output() {
            Ok(output) => (
                output.status.code().unwrap_or(-1),
                output.stdout,
                output.stderr,
            ),
            Err(error) => (-1, Vec::new(), format!("{error}\n").into_bytes()),
        };
        Output {
            command: format!("{command:?}"),
            code,
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// A container of the product, without TLS.
    pub(crate) fn dind(&'static self) -> Create {
        let create = Create::of(self, &self.image);
        create.option("--privileged").env("DOCKER_TLS_CERTDIR=")
    }

    /// The product's binary, out of its image.
    fn binary(&'static self) -> &'static Path {
        static BINARY: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
        let (_, binary) = BINARY.get_or_init(|| {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let path = dir.path().join("dind-init");
            let container = Create::of(self, &self.image).create();
            let source = format!("{}:/usr/local/bin/dind-init", container.id);
            self.docker([OsStr::new("cp"), source.as_ref(), path.as_os_str()])
                .ok();
            (dir, path)
        });
        binary
    }

    /// A container with the docker client of a suite and the product beside it, doing nothing.
    pub(crate) fn client_with_binary(&'static self, suite: &str, network: &Network) -> Create {
        self.client(suite, network)
            .copy("/usr/local/bin/dind-init", self.binary())
    }

    /// The product on the engine of another suite: trixie has 26.1, bookworm 20.10.
    pub(crate) fn dind_on(&'static self, suite: &str) -> Create {
        self.base(suite)
            .copy("/usr/local/bin/dockerd-entrypoint.sh", self.binary())
            .entrypoint("dockerd-entrypoint.sh")
            .options(["--privileged", "--volume", "/var/lib/docker"])
            .env("DOCKER_TLS_CERTDIR=")
    }

    /// A container of a suite's base, which has the client and the daemon of its engine.
    pub(crate) fn base(&'static self, suite: &str) -> Create {
        Create::of(self, &format!("dind-init-lab/base:{suite}"))
    }

    /// A container with the docker client of a suite, on a network, doing nothing by itself.
    pub(crate) fn client(&'static self, suite: &str, network: &Network) -> Create {
        self.base(suite)
            .options(["--network", &network.name])
            .args(["sleep", "infinity"])
    }

    /// The name of the product's image.
    pub(crate) fn image(&self) -> &str {
        &self.image
    }

    /// An image of a Dockerfile without any other file.
    #[track_caller]
    pub(crate) fn build(&'static self, dockerfile: &str) -> Image {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("Dockerfile");
        std::fs::write(&path, dockerfile).expect("a Dockerfile");
        let name = format!("{}:test", unique());
        let directory = directory.path().to_string_lossy();
        self.docker(["build", "--label", LABEL, "--tag", &name, &directory])
            .ok();
        Image { lab: self, name }
    }

    /// A network of its own, with name resolution.
    pub(crate) fn network(&'static self) -> Network {
        self.network_with(&[])
    }

    /// The same, with more options of `docker network create`.
    pub(crate) fn network_with(&'static self, options: &[&str]) -> Network {
        let name = unique();
        let create = ["network", "create", "--label", LABEL];
        self.docker(create.iter().chain(options).chain(&[&*name]))
            .ok();
        Network { lab: self, name }
    }

    /// An empty volume.
    pub(crate) fn volume(&'static self) -> Volume {
        let name = unique();
        self.docker(["volume", "create", "--label", LABEL, &name])
            .ok();
        Volume { lab: self, name }
    }
}

fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("dind-itest-{}-{count}", std::process::id())
}

/// Asks until there is an answer.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "it never came true: {what}");
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Output {
    command: String,
    /// Its exit code.
    pub(crate) code: i32,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it complained.
    pub(crate) stderr: String,
}

impl Output {
    /// What it printed, when it succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert!(self.code == 0, "{self}");
        self.stdout.trim_end().to_owned()
    }

    /// Asserts a refusal by a plan: exit code 78, and one frame with what, why and fix.
    #[track_caller]
    pub(crate) fn assert_refused(&self, what: &str) {
        assert_eq!(self.code, 78, "{self}");
        assert_eq!(self.stdout, "", "{self}");
        for part in ["error: ", "\n  why    ", "\n  fix    "] {
            assert_eq!(self.stderr.matches(part).count(), 1, "{part:?} in {self}");
        }
        let first = self.stderr.lines().find(|line| line.starts_with("error: "));
        assert!(
            first.is_some_and(|line| line.contains(what)),
            "{what:?} in {self}"
        );
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            command,
            code,
            stdout,
            stderr,
        } = self;
        write!(
            f,
            "{command}\nended with {code}\n--- stdout\n{stdout}--- stderr\n{stderr}---"
        )
    }
}

/// A network, removed when dropped.
#[derive(Debug)]
pub(crate) struct Network {
    lab: &'static Lab,
    pub(crate) name: String,
}

impl Drop for Network {
    fn drop(&mut self) {
        self.lab.clean_up(["network", "rm", &self.name]);
    }
}

/// An image, removed when dropped.
#[derive(Debug)]
pub(crate) struct Image {
    lab: &'static Lab,
    pub(crate) name: String,
}

impl Drop for Image {
    fn drop(&mut self) {
        self.lab.clean_up(["image", "rm", "--force", &self.name]);
    }
}

/// A volume, removed when dropped.
#[derive(Debug)]
pub(crate) struct Volume {
    lab: &'static Lab,
    pub(crate) name: String,
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.lab.clean_up(["volume", "rm", "--force", &self.name]);
    }
}
