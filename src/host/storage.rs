//! Where images live: the file system below the data root, what an overlay does there, what is
//! there already, and whether somebody else uses it.

pub mod bridges;
pub mod content;
pub mod mounter;
pub mod overlay;
pub mod owner;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::daemon_json::DaemonFile;
use super::mountinfo::{self, Mount};
use crate::config::rootless::places;
use crate::config::settings;
use crate::config::{Config, Mode};
use crate::files::find_program;
use crate::files::{self, Dir, Kind};
use crate::sys::probe::{ProbeResult, Probes, Results, Ticket};
use content::Content;
use mounter::Mounter;
use overlay::{FuseProgram, OverlayProbe, RootProbe};
use owner::{LockState, Owner};

/// Where rootful dockerd keeps everything, unless it is told otherwise.
pub const DEFAULT_ROOT: &str = "/var/lib/docker";

/// Where a containerd that dockerd did not start keeps everything, unless it is told otherwise.
pub const DEFAULT_CONTAINERD_ROOT: &str = "/var/lib/containerd";

/// A mount with its module loaded first takes long on a slow machine; a hung one takes for ever.
const DEADLINE: Duration = Duration::from_secs(10);

/// Facts about storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageFacts {
    pub data_root: PathBuf,
    /// Whose it is, if it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_root_uid: Option<u32>,
    /// Where graph drivers keep their data: the data root, unless they have a mount of their own.
    pub root: RootFacts,
    /// The root of containerd's snapshots, where that is on another file system.
    pub snapshots: Option<RootFacts>,
    /// What is there already.
    pub content: Content,
    /// The lock on the data root.
    pub lock: LockState,
    /// Who we are when we hold it.
    pub owner: Owner,
    /// `fuse-overlayfs` in PATH.
    pub fuse_overlayfs: Option<PathBuf>,
    /// Why there is no /dev/fuse; nothing when there is one.
    pub no_dev_fuse: Option<String>,
}

/// A directory and the file system below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFacts {
    /// The directory.
    pub path: PathBuf,
    /// Whether it exists already.
    pub exists: bool,
    /// Where its file system is mounted.
    pub mount_point: PathBuf,
    /// Its type, as mountinfo has it.
    pub fs_type: String,
    /// Space that is left.
    pub free_bytes: u64,
    /// Inodes that are left, on file systems that count them.
    pub free_inodes: Option<u64>,
    /// Whether `--storage-opt size=` can work: project quotas on xfs.
    pub project_quota: bool,
    /// What an overlay does there.
    pub probe: ProbeResult<RootProbe>,
    /// What fuse-overlayfs does there, where it was asked for or overlay does not work.
    pub fuse_overlayfs: Option<ProbeResult<OverlayProbe>>,
}

/// The directories that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    pub data: PathBuf,
    pub containerd: PathBuf,
}

impl Roots {
    /// Follows dockerd: flag over file over default (`daemon/config`), and the containerd that it
    /// will use (`command.initContainerd`).
    #[must_use]
    pub fn of(config: &Config, file: &DaemonFile) -> Self {
        let flag = |name: &str| config.daemon.value(name).filter(|value| !value.is_empty());
        let data = flag("data-root")
            .or_else(|| flag("graph"))
            .or_else(|| file.text("data-root"))
            .or_else(|| file.text("graph"))
            .map_or_else(|| default_root(config), PathBuf::from);
        let foreign = flag("containerd").or_else(|| file.text("containerd"));
        let data = resolve(&data);
        let containerd = match (foreign, config.env.non_empty("DOCKER_CONTAINERD_ROOT")) {
            (Some(_), _) => DEFAULT_CONTAINERD_ROOT.into(),
            (None, Some(root)) => PathBuf::from(root),
            (None, None) => data.join("containerd/daemon"),
        };
        Self { data, containerd }
    }
}

/// The data root of a daemon that is not told of one.
fn default_root(config: &Config) -> PathBuf {
    match config.mode() {
        Mode::Rootful => DEFAULT_ROOT.into(),
        Mode::Rootless => places::data_root(&config.env),
    }
}

/// Follows links of the part of a path that exists, as dockerd does.
fn resolve(path: &Path) -> PathBuf {
    let existing = nearest(path);
    match (files::real(existing), path.strip_prefix(existing)) {
        // Joining nothing would add a slash.
        (Ok(real), Ok(rest)) if rest.as_os_str().is_empty() => real,
        (Ok(real), Ok(rest)) => real.join(rest),
        _ => path.to_owned(),
    }
}

/// The nearest directory above, or the path itself.
fn nearest(path: &Path) -> &Path {
    let mut above = path.ancestors();
    above
        .find(|dir| files::is_directory(dir))
        .unwrap_or_else(|| Path::new("/"))
}

/// Facts whose probes run.
#[derive(Debug)]
pub struct Probing {
    facts: StorageFacts,
    mounter: Mounter,
    fuse: Option<FuseProgram>,
    root: RootTickets,
    snapshots: Option<RootTickets>,
}

/// Answers to come about a root.
#[derive(Debug)]
struct RootTickets {
    overlay: Ticket<RootProbe>,
    fuse: Option<Ticket<OverlayProbe>>,
}

impl Probing {
    /// Starts the probes, then reads.
    #[must_use]
    pub fn start(
        config: &Config,
        file: &DaemonFile,
        mounts: &[Mount],
        probes: &mut Probes,
    ) -> Self {
        let roots = Roots::of(config, file);
        let mounter = Mounter::of(config.identity);
        // dockerd looks at the driver's own directory, which may be a mount (overlay2.Init).
        let graph = on_another_device(&roots.data, &roots.data.join("overlay2"));
        let graph = graph.unwrap_or_else(|| roots.data.clone());
        let snapshotter = "io.containerd.snapshotter.v1.overlayfs";
        let snapshots = on_another_device(&roots.data, &roots.containerd.join(snapshotter));

        let program = find_program("fuse-overlayfs".as_ref(), config.env.get("PATH"));
        let no_dev_fuse = dev_fuse().err().map(|error| error.to_string());
        let able = program.clone().filter(|_| no_dev_fuse.is_none());
        let fuse = able.map(|program| FuseProgram {
            program,
            env: config.env.words(),
        });
        let asked_for = fuse.as_ref().filter(|_| wants_fuse(config, file));
        let mut start = |names: [&'static str; 2], root: &Path| {
            let dir = nearest(root).to_owned();
            RootTickets {
                fuse: asked_for.map(|fuse| start_fuse(names[1], &dir, mounter, fuse, probes)),
                overlay: probes.start(names[0], mounter.namespaces(), DEADLINE, move || {
                    overlay::run(&dir, mounter)
                }),
            }
        };
        let root = start(["storage", "storage by fuse"], &graph);
        let snapshots_tickets = snapshots
            .as_deref()
            .map(|root| start(["snapshots", "snapshots by fuse"], root));

        Self {
            facts: StorageFacts {
                data_root: roots.data.clone(),
                data_root_uid: owner(&roots.data),
                root: RootFacts::read(&graph, mounts),
                snapshots: snapshots.map(|root| RootFacts::read(&root, mounts)),
                content: Content::read(&roots, config, file),
                lock: LockState::read(&roots.data),
                owner: Owner::read(mounts),
                fuse_overlayfs: program,
                no_dev_fuse,
            },
            mounter,
            fuse,
            root,
            snapshots: snapshots_tickets,
        }
    }

    /// The facts with the answers of the probes; fuse-overlayfs is tried where overlay failed.
    #[must_use]
    pub fn finish(self, results: &mut Results) -> StorageFacts {
        let mut facts = self.facts;
        let mut roots = vec![(&mut facts.root, self.root)];
        roots.extend(facts.snapshots.as_mut().zip(self.snapshots));
        let mut probes = Probes::new();
        let mut late = Vec::new();
        for (root, tickets) in roots {
            root.probe = results.take(tickets.overlay);
            root.fuse_overlayfs = tickets.fuse.map(|ticket| results.take(ticket));
            let fails = |probe: &RootProbe| probe.overlay.as_ref().is_some_and(|o| !o.works());
            if let (Some(fuse), None) = (&self.fuse, &root.fuse_overlayfs)
                && root.probe.known().is_some_and(fails)
            {
                let dir = nearest(&root.path).to_owned();
                let ticket = start_fuse("storage by fuse", &dir, self.mounter, fuse, &mut probes);
                late.push((root, ticket));
            }
        }
        let mut results = probes.collect();
        for (root, ticket) in late {
            root.fuse_overlayfs = Some(results.take(ticket));
        }
        facts
    }
}

/// Whose a directory is, if it can be opened.
fn owner(dir: &Path) -> Option<u32> {
    let stat = Dir::open(dir).and_then(|dir| dir.stat());
    stat.ok().map(|stat| stat.st_uid)
}

fn start_fuse(
    name: &'static str,
    dir: &Path,
    mounter: Mounter,
    fuse: &FuseProgram,
    probes: &mut Probes,
) -> Ticket<OverlayProbe> {
    let (dir, fuse) = (dir.to_owned(), fuse.clone());
    probes.start(name, mounter.namespaces(), DEADLINE, move || {
        overlay::run_fuse(&dir, &fuse)
    })
}

/// Whether the user names it, in whatever place.
fn wants_fuse(config: &Config, file: &DaemonFile) -> bool {
    let variable = settings::DRIVER.of(&config.env);
    let places = [
        config.daemon.value("storage-driver"),
        variable.as_deref(),
        file.text("storage-driver"),
    ];
    places.contains(&Some("fuse-overlayfs"))
}

/// The second path, or the part of it that exists, if that is on another file system.
fn on_another_device(first: &Path, second: &Path) -> Option<PathBuf> {
    let device = |path: &Path| {
        let dir = Dir::open(nearest(path)).ok()?;
        dir.stat().ok().map(|stat| stat.st_dev)
    };
    (device(first) != device(second)).then(|| second.to_owned())
}

/// Whether the device is there. It is not opened: that would load the module of it.
fn dev_fuse() -> io::Result<()> {
    match files::target(Path::new("/dev/fuse"))? {
        Kind::Device => Ok(()),
        _ => Err(io::Error::from_raw_os_error(libc::ENODEV)),
    }
}

impl RootFacts {
    fn read(path: &Path, mounts: &[Mount]) -> Self {
        let existing = nearest(path);
        let mount = mountinfo::holding(mounts, existing);
        let fs = rustix::fs::statvfs(existing).ok();
        let quota = |mount: &Mount| {
            let mut options = mount.super_options.split(',');
            mount.fs_type == "xfs" && options.any(|o| o == "prjquota" || o == "pquota")
        };
        Self {
            path: path.to_owned(),
            exists: files::is_directory(path),
            mount_point: mount.map_or_else(|| "/".into(), |mount| mount.point.clone()),
            fs_type: mount.map_or_else(|| "unknown".into(), |mount| mount.fs_type.clone()),
            free_bytes: fs
                .as_ref()
                .map_or(0, |fs| fs.f_bavail.saturating_mul(fs.f_frsize)),
            free_inodes: fs.filter(|fs| fs.f_files > 0).map(|fs| fs.f_favail),
            project_quota: mount.is_some_and(quota),
            probe: ProbeResult::Unknown("not tried yet".into()),
            fuse_overlayfs: None,
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use super::*;
    use crate::host::said;

    fn roots(words: &[&str], json: &str, env: &[(&str, &str)]) -> (String, String) {
        let roots = Roots::of(&said::config(words, env), &said::file(json));
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        (text(roots.data), text(roots.containerd))
    }

    #[test]
    fn both_roots_are_found_where_dockerd_will_look() {
        let pair = |data: &str, containerd: &str| (data.to_owned(), containerd.to_owned());
        for (words, json, env, expected) in [
            (
                &[][..],
                "{}",
                &[][..],
                pair("/var/lib/docker", "/var/lib/docker/containerd/daemon"),
            ),
            (
                &["-g", "/a/b"],
                "{}",
                &[],
                pair("/a/b", "/a/b/containerd/daemon"),
            ),
            (
                &["--data-root=/f"],
                r#"{"data-root":"/j"}"#,
                &[],
                pair("/f", "/f/containerd/daemon"),
            ),
            (
                &[],
                r#"{"data-root":"/j"}"#,
                &[],
                pair("/j", "/j/containerd/daemon"),
            ),
            (
                &["--containerd=/run/c.sock"],
                "{}",
                &[],
                pair("/var/lib/docker", "/var/lib/containerd"),
            ),
            (
                &[],
                "{}",
                &[("DOCKER_CONTAINERD_ROOT", "/c")],
                pair("/var/lib/docker", "/c"),
            ),
        ] {
            assert_eq!(roots(words, json, env), expected, "{words:?} {json}");
        }
    }

    #[test]
    fn links_are_followed_as_far_as_the_path_exists() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        std::fs::create_dir(dir.join("real")).unwrap();
        std::os::unix::fs::symlink(dir.join("real"), dir.join("link")).unwrap();
        assert_eq!(resolve(&dir.join("link")), dir.join("real"));
        assert_eq!(resolve(&dir.join("link/a/b")), dir.join("real/a/b"));
    }
}
