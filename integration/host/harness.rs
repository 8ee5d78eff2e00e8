//! Namespaces, file systems in files, and the plan of the real binary.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use serde_json::Value;

use crate::skip::skip;

/// Runs a test in mount and network namespaces of its own, as root with the programs that it
/// needs. What it mounts is gone when it ends.
#[track_caller]
pub(crate) fn on_a_machine<'a>(
    programs: impl IntoIterator<Item = &'a str>,
    test: impl FnOnce(&Machine) + Send,
) {
    if !rustix::process::geteuid().is_root() {
        return skip("namespaces and mounts need root");
    }
    for name in programs {
        if find(name).is_none() {
            return skip(&format!("there is no {name} in PATH"));
        }
    }
    // Namespaces belong to a thread, and this one ends with the test.
    let ended = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let machine = Machine::new();
                test(&machine);
            })
            .join()
    });
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

/// A program in PATH.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut candidates = std::env::split_paths(&path).map(|dir| dir.join(name));
    candidates.find(|program| program.is_file())
}

/// The namespaces, with a directory of its own in memory.
pub(crate) struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        // They are this thread's own.
        let namespaces = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_FS;
        unshare(namespaces).expect("namespaces");
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).expect("private mounts");
        let dir = tempfile::tempdir().expect("a directory");
        mount("tmpfs", dir.path(), "tmpfs", "mode=0755");
        let machine = Self { dir };
        // dockerd is only looked for, and asked for its version when nothing else tells.
        machine.script("bin/dockerd", "echo 'Docker version 28.5.2, build 1'");
        machine
    }

    /// A path on the machine's own memory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// An empty directory.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("a directory");
        path
    }

    /// A shell script.
    pub(crate) fn script(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    }

    /// A link in the directory that comes first in PATH.
    pub(crate) fn link(&self, name: &str, target: &Path) {
        std::os::unix::fs::symlink(target, self.directory("bin").join(name)).expect("a link");
    }

    /// A file system in a file, mounted.
    pub(crate) fn file_system(&self, fs_type: &str, mebibytes: u32) -> PathBuf {
        let (image, target) = (self.path("image"), self.directory("mounted"));
        let size = u64::from(mebibytes) << 20;
        fs::File::create(&image)
            .and_then(|file| file.set_len(size))
            .expect("a file");
        run(
            &format!("mkfs.{fs_type}"),
            ["-q".as_ref(), image.as_os_str()],
        );
        run(
            "mount",
            [
                "-o".as_ref(),
                "loop".as_ref(),
                image.as_os_str(),
                target.as_os_str(),
            ],
        );
        target
    }

    /// The plan for a data root, with variables and nothing asked about the packet filter.
    pub(crate) fn storage(&self, root: &Path, env: &[(&str, &str)]) -> Plan {
        self.plan(root, env, &["--iptables=false"])
    }

    /// The plan for `dockerd FLAGS`, with variables, for a data root.
    pub(crate) fn plan(&self, root: &Path, env: &[(&str, &str)], flags: &[&str]) -> Plan {
        let data_root = format!("--data-root={}", root.display());
        // Only doctored programs where there are any; what they need themselves comes after.
        let path = format!(
            "{}:{}",
            self.path("bin").display(),
            self.path("more").display()
        );
        let built = || env!("CARGO_BIN_EXE_dind-init").into();
        let binary = std::env::var_os("BINARY_UNDER_TEST").unwrap_or_else(built);
        let words = ["plan", "--json", "dockerd", &data_root];
        let output = Command::new(binary)
            .args(words)
            .arg("--host=unix:///nowhere.sock")
            .args(flags)
            .env_clear()
            .env("PATH", path)
            .envs(env.iter().copied())
            .output()
            .expect("the binary runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let json = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
        });
        Plan {
            json,
            code: output.status.code().unwrap_or(-1),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Loop devices end with their mounts; what is left goes with the namespace.
        let _ = rustix::mount::unmount(self.path("mounted"), UnmountFlags::DETACH);
        let _ = rustix::mount::unmount(self.dir.path(), UnmountFlags::DETACH);
    }
}

/// Mounts without mount(8), which is not everywhere.
pub(crate) fn mount(source: &str, target: &Path, fs_type: &str, options: &str) {
    let options = std::ffi::CString::new(options).expect("options");
    let flags = MountFlags::empty();
    let mounted = rustix::mount::mount(source, target, fs_type, flags, &*options);
    mounted.unwrap_or_else(|error| panic!("{fs_type} on {}: {error}", target.display()));
}

/// Runs a program, which must succeed; what it prints.
#[track_caller]
pub(crate) fn run<S: AsRef<OsStr> + Debug>(
    program: &str,
    words: impl IntoIterator<Item = S>,
) -> String {
    let mut command = Command::new(program);
    let output = command.args(words).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaint}");
    text
}

/// What `dind-init plan --json` printed.
#[derive(Debug)]
pub(crate) struct Plan {
    json: Value,
    /// Its exit code.
    pub(crate) code: i32,
}

impl Plan {
    /// A text by its JSON pointer.
    #[track_caller]
    pub(crate) fn text(&self, pointer: &str) -> &str {
        let found = self.json.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no {pointer} in {:#}", self.json))
    }

    /// The storage driver.
    #[track_caller]
    pub(crate) fn driver(&self) -> &str {
        assert_eq!(self.code, 0, "{:#}", self.json);
        self.text("/host/storage/driver")
    }

    /// The netfilter backend.
    #[track_caller]
    pub(crate) fn backend(&self) -> &str {
        assert_eq!(self.code, 0, "{:#}", self.json);
        self.text("/host/netfilter/backend")
    }

    /// The flags that are added, as words.
    pub(crate) fn flags(&self) -> Vec<String> {
        let flags = self.json.pointer("/host/flags").and_then(Value::as_array);
        let word = |flag: &Value| {
            let part = |name| flag.get(name).and_then(Value::as_str).unwrap_or_default();
            format!("--{}={}", part("name"), part("value"))
        };
        flags.into_iter().flatten().map(word).collect()
    }

    /// Asserts a warning with these words.
    #[track_caller]
    pub(crate) fn warns(&self, words: &[&str]) {
        let warnings = self
            .json
            .pointer("/host/warnings")
            .and_then(Value::as_array);
        let mut warnings = warnings.into_iter().flatten().filter_map(Value::as_str);
        let fits = |warning: &str| words.iter().all(|word| warning.contains(word));
        assert!(warnings.any(fits), "{words:?} in {:#}", self.json);
    }

    /// Asserts a refusal whose what, why and fix have these words.
    #[track_caller]
    pub(crate) fn refused(&self, what: &str, why: &str, fix: &str) {
        assert_eq!(self.code, 78, "{:#}", self.json);
        for (name, word) in [("/error", what), ("/why", why), ("/fix", fix)] {
            assert!(
                self.text(name).contains(word),
                "{word:?} in {name} of {:#}",
                self.json
            );
        }
    }
}
