//! The directories of one case, as volumes would share them, and one life of our program in them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// What a neighbour may write: where it is in the container, and its name in the world.
pub(super) const SHARED: [(&str, &str); 5] = [
    ("/run", "run"),
    ("/job", "job"),
    ("/certs", "certs"),
    ("/var/lib/docker", "data"),
    ("/home/rootless/.local/share/docker", "home"),
];

/// What a neighbour has no part in.
const OWN: [(&str, &str); 2] = [("/outside", "outside"), ("/outer", "outer")];

/// What nobody may come to read, in any file and on any terminal.
pub(super) const SECRET: &str = "a canary that must not be seen";

/// A neighbour's user id, which is not that of a rootless daemon either.
pub(super) const NEIGHBOUR: u32 = 1001;

/// Who the daemon is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Root,
    Rootless,
}

impl Who {
    pub(super) const ALL: [Self; 2] = [Self::Root, Self::Rootless];

    /// What tells our program so, in every process of the container.
    pub(super) fn variables(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Root => &[],
            Self::Rootless => &[
                ("DIND_ROOTLESS", "1"),
                ("XDG_RUNTIME_DIR", "/run/user/1000"),
            ],
        }
    }

    /// What a killed daemon of this kind left.
    pub(super) fn left_over(self) -> PathBuf {
        Path::new("/left-over").join(format!("{self:?}"))
    }

    fn uid(self) -> u32 {
        match self {
            Self::Root => 0,
            Self::Rootless => 1000,
        }
    }
}

/// The directories of one case, on one file system, so that a file may have a second name in any.
pub(super) struct World {
    pub(super) root: PathBuf,
    pub(super) who: Who,
    /// What our program says to whoever started it.
    pub(super) outer: UnixDatagram,
}

impl World {
    /// An empty world, or a copy of another one's shared directories.
    pub(super) fn new(name: &str, who: Who, like: Option<&Path>) -> Self {
        let root = Path::new("/worlds").join(name);
        fs::create_dir_all(&root).expect("a directory");
        // Whoever reads a secret changes its time of the last access.
        mount(
            "none",
            &root,
            "tmpfs",
            MountFlags::STRICTATIME,
            Some(c"mode=0755,size=2g"),
        )
        .expect("a tmpfs");
        for (_, name) in SHARED.iter().chain(&OWN) {
            fs::create_dir(root.join(name)).expect("a directory");
        }
        if let Some(like) = like {
            let shared = SHARED.map(|(_, name)| like.join(name));
            let status = Command::new("cp")
                .arg("-a")
                .args(shared)
                .arg(&root)
                .status();
            assert!(status.is_ok_and(|status| status.success()), "a copy");
        }
        for (_, name) in SHARED {
            let mode = fs::Permissions::from_mode(0o777);
            fs::set_permissions(root.join(name), mode).expect("a mode");
        }
        if who == Who::Rootless {
            // As in the image: where anybody could replace its runtime directory it would not start.
            let mode = |mode| fs::Permissions::from_mode(mode);
            fs::set_permissions(root.join("run"), mode(0o755)).expect("a mode");
            fs::create_dir_all(root.join("run/user")).expect("a directory");
            fs::set_permissions(root.join("run/user"), mode(0o1777)).expect("a mode");
        }
        // Where the job's container wants to find the ready file.
        fs::create_dir_all(root.join("job/state")).expect("a directory");
        for file in ["secret", "tree/a/b/file", "tree/file"] {
            let path = root.join("outside").join(file);
            fs::create_dir_all(path.parent().unwrap_or(&root)).expect("directories");
            fs::write(&path, SECRET).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        }
        let uid = Some(who.uid());
        for path in [
            "",
            "secret",
            "tree",
            "tree/a",
            "tree/a/b",
            "tree/a/b/file",
            "tree/file",
        ] {
            chown(root.join("outside").join(path), uid, uid).expect("an owner");
        }
        let notify = root.join("outer/notify.sock");
        let outer = UnixDatagram::bind(&notify).expect("a socket");
        for path in [&notify, &root.join("job/state")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("a mode");
        }
        Self { root, who, outer }
    }

    /// A path of the container's, as the neighbour has it.
    pub(super) fn place(&self, path: &Path) -> PathBuf {
        for (at, name) in SHARED {
            if let Ok(below) = path.strip_prefix(at) {
                return self.root.join(name).join(below);
            }
        }
        panic!("{} is not shared", path.display());
    }

    /// Our program as PID 1 of namespaces of its own, with these directories at their places.
    pub(super) fn command(&self, tracer: &[String], log: &Path) -> Command {
        let binds = SHARED
            .iter()
            .chain(&OWN)
            .map(|(at, name)| format!("mkdir -p .{at}; mount --bind $world/{name} .{at}\n"));
        // A root of its own, above the container's: what is not shared is nobody else's either.
        let script = format!(
            "set -e
            world={}
            mkdir $world/upper $world/work $world/root
            mount -t overlay -o lowerdir=/,upperdir=$world/upper,workdir=$world/work none $world/root
            cd $world/root
            mount --rbind /dev dev
            mount --rbind /sys sys
            mount -t proc none proc
            {}
            HOSTILE_ENTER=1 exec /sweep --exact sweep::world::enter --nocapture",
            self.root.display(),
            binds.collect::<String>()
        );
        let words = "unshare --mount --pid --net --fork --kill-child --propagation private sh -c";
        // env itself does nothing here but take words.
        let mut command = Command::new("env");
        command
            .args(tracer)
            .args(words.split_whitespace())
            .arg(&script)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .envs([
                ("DIND_CGROUP", "skip"),
                ("DIND_TMP", "skip"),
                ("DIND_SYSCTL", "skip"),
            ])
            .envs([
                ("DIND_RESTART", "on-failure"),
                ("DOCKER_TLS_CERTDIR", "/certs"),
            ])
            .env("DIND_READY_FILE", "/job/state/ready")
            .env("DIND_SOCKET_PATHS", "/job/sockets/docker.sock")
            .envs(self.who.variables().iter().copied())
            .env("NOTIFY_SOCKET", "/outer/notify.sock")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(log).expect("a log"));
        command
    }

    /// Everything outside, with what a reader, a writer, or a second name of it would change.
    pub(super) fn outside(&self) -> String {
        // To look into a directory is to read it.
        let look = "find . -mindepth 1 \\( -type d -printf '%P %y %m %U %G %s %T@\\n' \\) -o \\
            -printf '%P %y %m %U %G %s %T@ %A@ %l\\n' | sort";
        let output = Command::new("sh")
            .args(["-c", look])
            .current_dir(self.root.join("outside"))
            .output();
        String::from_utf8_lossy(&output.expect("find").stdout).into_owned()
    }
}

/// Not a test: takes the working directory for its root, and becomes our program there.
#[test]
fn enter() {
    use std::os::unix::process::CommandExt as _;
    if std::env::var_os("HOSTILE_ENTER").is_none() {
        return;
    }
    rustix::process::pivot_root(".", ".").expect("another root");
    unmount(".", UnmountFlags::DETACH).expect("the old root");
    std::env::set_current_dir("/").expect("the root");
    // This program ignores SIGPIPE, as every one in Rust does.
    let error = Command::new("env")
        .args(["--default-signal", "--unset=HOSTILE_ENTER"])
        .arg("dockerd-entrypoint.sh")
        .exec();
    panic!("{error}");
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = unmount(&self.root, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.root);
    }
}
