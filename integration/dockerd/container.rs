//! Containers: how they are made, what is done in them, and how they go away.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::lab::{LABEL, Lab, NESTED, Network, Output, Volume, until};

/// A container to be created.
#[derive(Debug)]
#[must_use]
pub(crate) struct Create {
    lab: &'static Lab,
    image: String,
    options: Vec<String>,
    words: Vec<String>,
    /// Copied over the container's root before it starts.
    files: Option<tempfile::TempDir>,
}

impl Create {
    /// A container of an image.
    pub(crate) fn of(lab: &'static Lab, image: &str) -> Self {
        let options = ["create", "--label", LABEL].map(str::to_owned).to_vec();
        Self {
            lab,
            image: image.to_owned(),
            options,
            words: Vec::new(),
            files: None,
        }
    }

    /// A word for `docker create`.
    pub(crate) fn option(mut self, word: &str) -> Self {
        self.options.push(word.to_owned());
        self
    }

    /// Words for `docker create`.
    pub(crate) fn options<'a>(self, words: impl IntoIterator<Item = &'a str>) -> Self {
        words.into_iter().fold(self, Self::option)
    }

    /// `NAME=value`.
    pub(crate) fn env(self, pair: &str) -> Self {
        self.options(["--env", pair])
    }

    /// On a network, under the name `docker`.
    pub(crate) fn named_docker(self, network: &Network) -> Self {
        self.options(["--network", &network.name, "--network-alias", "docker"])
    }

    /// A volume, at a path.
    pub(crate) fn volume(self, volume: &Volume, path: &str) -> Self {
        self.options(["--volume", &format!("{}:{path}", volume.name)])
    }

    /// Takes `--privileged` back.
    pub(crate) fn unprivileged(mut self) -> Self {
        self.options.retain(|word| word != "--privileged");
        self
    }

    /// The program that runs instead of the image's.
    pub(crate) fn entrypoint(self, program: &str) -> Self {
        self.options(["--entrypoint", program])
    }

    /// Words for the entrypoint.
    pub(crate) fn args<'a>(mut self, words: impl IntoIterator<Item = &'a str>) -> Self {
        self.words.extend(words.into_iter().map(str::to_owned));
        self
    }

    /// A shell script that runs first, in the same process, after all words are given.
    pub(crate) fn before(mut self, script: &str) -> Self {
        let script = format!("set -e\n{script}\nexec dockerd-entrypoint.sh \"$@\"");
        self.words
            .splice(0..0, ["-c".to_owned(), script, "sh".to_owned()]);
        self.entrypoint("sh")
    }

    /// A file that is there at the start.
    pub(crate) fn file(mut self, path: &str, mode: u32, text: &str) -> Self {
        let place = self.place(path);
        fs::write(&place, text).expect("a file");
        fs::set_permissions(&place, fs::Permissions::from_mode(mode)).expect("its mode");
        self
    }

    /// A copy of a file of ours, with its mode.
    pub(crate) fn copy(mut self, path: &str, source: &Path) -> Self {
        fs::copy(source, self.place(path)).expect("a copy");
        self
    }

    /// An empty directory that is there at the start.
    pub(crate) fn directory(mut self, path: &str) -> Self {
        fs::create_dir(self.place(path)).expect("a directory");
        self
    }

    fn place(&mut self, path: &str) -> PathBuf {
        let root = self
            .files
            .get_or_insert_with(|| tempfile::tempdir().expect("a directory"));
        let place = root.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap_or_else(|| root.path())).expect("directories");
        place
    }

    /// Puts a script in front of dockerd. The exec at its end keeps process id and descriptors.
    pub(crate) fn before_dockerd(self, script: &str) -> Self {
        let text = format!("#!/bin/sh\nset -e\n{script}\nexec /usr/sbin/dockerd \"$@\"\n");
        self.file("/usr/local/sbin/dockerd", 0o755, &text)
    }

    /// Creates the container.
    #[track_caller]
    pub(crate) fn create(self) -> Container {
        let words = self.options.iter().chain([&self.image]).chain(&self.words);
        let container = Container {
            lab: self.lab,
            id: self.lab.docker(words).ok(),
        };
        if let Some(files) = &self.files {
            // The modes of the tree's directories reach the container's: 0700 must not.
            fs::set_permissions(files, fs::Permissions::from_mode(0o755)).expect("its mode");
            let source = format!("{}/.", files.path().display());
            self.lab
                .docker(["cp", &source, &format!("{}:/", container.id)])
                .ok();
        }
        container
    }

    /// Creates and starts it.
    #[track_caller]
    pub(crate) fn start(self) -> Container {
        let container = self.create();
        container.start();
        container
    }

    /// Runs it to its end; the container stays for inspection.
    #[track_caller]
    pub(crate) fn run_to_end(self) -> (Container, Output) {
        let container = self.create();
        let output = container.lab.docker(["start", "--attach", &container.id]);
        (container, output)
    }
}

/// A container, removed with its anonymous volumes when dropped.
#[derive(Debug)]
pub(crate) struct Container {
    lab: &'static Lab,
    /// Its id.
    pub(crate) id: String,
}

impl Container {
    /// `docker start`.
    #[track_caller]
    pub(crate) fn start(&self) {
        self.lab.docker(["start", &self.id]).ok();
    }

    /// Waits until a script that runs first is over: before that there are no sockets of ours.
    #[track_caller]
    pub(crate) fn until_ours(&self) {
        self.sh("until [ \"$(readlink /proc/1/exe)\" = /usr/local/bin/dind-init ]; do :; done");
    }

    /// `docker exec`.
    #[track_caller]
    pub(crate) fn exec<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Output {
        let words: Vec<&str> = words.into_iter().collect();
        self.lab.docker(["exec", &self.id].iter().chain(&words))
    }

    /// A shell script inside, which must succeed; what it prints.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        self.exec(["sh", "-ec", script]).ok()
    }

    /// The docker client inside, which must succeed; what it prints.
    #[track_caller]
    pub(crate) fn docker<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> String {
        self.exec(["docker"].into_iter().chain(words)).ok()
    }

    /// The addresses of a network of the daemon inside.
    #[track_caller]
    pub(crate) fn subnet(&self, network: &str) -> String {
        let format = "{{(index .IPAM.Config 0).Subnet}}";
        self.docker(["network", "inspect", "--format", format, network])
    }

    /// Imports the nested image through the docker client inside.
    #[track_caller]
    pub(crate) fn import_nested(&self) {
        let tar = File::open(&self.lab.nested_tar).expect("the nested tar");
        let words = ["exec", "-i", &self.id, "docker", "import", "-", NESTED];
        self.lab.docker_reading(tar.into(), words).ok();
    }

    /// Asserts how dockerd was called: what we pass, and what the user gave. Between them there may
    /// be flags that the machine asks for, about anything but addresses and TLS.
    #[track_caller]
    pub(crate) fn dockerd_runs_as(&self, ours: &str, users: &str) {
        let argv = self.sh("tr '\\0' ' ' </proc/$(cat /run/docker.pid)/cmdline");
        let argv = argv.trim_end();
        let middle = argv
            .strip_prefix(ours)
            .and_then(|rest| rest.strip_suffix(users));
        let added = |word: &str| {
            let flag = word.starts_with("--") && word.contains('=');
            flag && !word.starts_with("--host") && !word.starts_with("--tls")
        };
        let only_added = middle.is_some_and(|middle| middle.split_whitespace().all(added));
        assert!(only_added, "{argv:?} is not {ours:?} … {users:?}");
    }

    /// Waits until it has said something.
    #[track_caller]
    pub(crate) fn until_log(&self, text: &str) {
        until(text, || self.log().stderr.contains(text).then_some(()));
    }

    /// One field of `docker inspect`.
    #[track_caller]
    pub(crate) fn inspect(&self, format: &str) -> String {
        self.lab
            .docker(["inspect", "--format", format, &self.id])
            .ok()
    }

    /// `docker stop`; the exit code.
    #[track_caller]
    pub(crate) fn stop(&self) -> String {
        self.lab.docker(["stop", &self.id]).ok();
        self.inspect("{{.State.ExitCode}}")
    }

    /// `docker kill` with a signal.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        self.lab.docker(["kill", "--signal", name, &self.id]).ok();
    }

    /// Waits for its end; the exit code.
    #[track_caller]
    pub(crate) fn wait(&self) -> String {
        self.lab.docker(["wait", &self.id]).ok()
    }

    /// What it has printed.
    #[track_caller]
    pub(crate) fn log(&self) -> Output {
        self.lab.docker(["logs", &self.id])
    }

    /// The paths below a directory that it made, changed or removed (`docker diff`); volumes and
    /// mounts are not looked at.
    #[track_caller]
    fn changed(&self, directory: &str) -> Vec<String> {
        let changes = self.lab.docker(["diff", &self.id]).ok();
        let paths = changes.lines().filter_map(|line| line.split_once(' '));
        let below = paths.filter(|(_, path)| Path::new(path).starts_with(directory));
        below.map(|(_, path)| path.to_owned()).collect()
    }

    /// Asserts that it changed nothing below a directory.
    #[track_caller]
    pub(crate) fn assert_untouched(&self, directory: &str) {
        let changed = self.changed(directory);
        assert!(changed.is_empty(), "changed: {changed:?}");
    }

    /// Asserts that nothing is left which the next start, or a client, could stumble over.
    #[track_caller]
    pub(crate) fn assert_tidy(&self) {
        let mut left = self.changed("/");
        left.retain(|path| {
            let name = path.rsplit('/').next().unwrap_or_default();
            // containerd leaves these two behind at every end.
            let usual = ["containerd-debug.sock", "containerd.sock.ttrpc"].contains(&name);
            (name.contains(".sock") || name.ends_with(".pid")) && !usual
        });
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

impl Drop for Container {
    #[expect(clippy::print_stderr, reason = "the log of a failed test's container")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.lab.clean_up(["logs", "--tail", "200", &self.id]);
            eprintln!("log of container {}:\n{}", self.id, log.stdout);
            let chatter = |line: &&str| line.contains("loading plugin");
            let lines = log.stderr.lines().filter(|line| !chatter(line));
            lines.for_each(|line| eprintln!("{line}"));
        }
        self.lab.clean_up(["rm", "--force", "--volumes", &self.id]);
    }
}
