//! The overlay probe: what a storage driver will do, done under the true data root.
//!
//! It runs as a probe (`sys::probe`) in a mount namespace of its own, in a hidden directory that
//! it makes and removes; nothing else is touched. The directory is locked while it is in use, so
//! that the next start can tell a left-over of a killed probe from another one at work.
#![expect(
    clippy::disallowed_methods,
    reason = "a probe in a throw-away process, in a directory of its own"
)]

use std::ffi::{CString, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{
    AtFlags, Dir, FlockOperation, Mode, OFlags, StatxFlags, StatxTimestamp, Timespec, Timestamps,
};
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::PidfdFlags;
use serde::{Deserialize, Serialize};

use super::mounter::Mounter;
use crate::files::remove_tree;
use crate::sys::process::Child;
use crate::sys::program;

/// Every directory of a probe begins like this.
pub const PREFIX: &str = ".dind-init-probe.";

/// Something that image layers need of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// It can be mounted at all.
    Mount,
    /// Several layers lie below each other.
    Layers,
    /// A file that was deleted above stays deleted.
    Whiteout,
    /// A directory that was made anew hides the old one (`trusted.overlay.opaque`).
    Opaque,
    /// A file from below can be renamed.
    Rename,
    /// Directories tell the types of their entries (`d_type`).
    FileTypes,
}

/// How an overlay file system did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverlayProbe {
    pub missing: Vec<Feature>,
    /// What the kernel or the program said about it.
    pub error: Option<String>,
    /// Whether it only mounts with attributes of the `user` class, as in user namespaces.
    pub user_xattr: bool,
}

impl OverlayProbe {
    /// Whether image layers can live here.
    #[must_use]
    pub fn works(&self) -> bool {
        self.missing.is_empty()
    }

    fn not_mounted(error: impl Into<String>) -> Self {
        Self {
            missing: vec![Feature::Mount],
            error: Some(error.into()),
            user_xattr: false,
        }
    }
}

/// Whether anything can be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Writing {
    /// Yes.
    Works,
    /// The file system is read-only.
    ReadOnly,
    /// No space, or no inode, or a quota is used up.
    Full,
    /// Another refusal of the kernel's.
    Refused(String),
}

/// What the probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootProbe {
    /// Whether anything can be written.
    pub writing: Writing,
    /// The kernel's overlay; nothing where nothing can be written.
    pub overlay: Option<OverlayProbe>,
}

/// fuse-overlayfs, as it would be run.
#[derive(Debug, Clone)]
pub struct FuseProgram {
    /// The executable.
    pub program: PathBuf,
    pub env: Vec<OsString>,
}

/// The probe of the kernel's overlay. `dir` is an existing directory on the file system in
/// question.
#[must_use]
pub fn run(dir: &Path, mounter: Mounter) -> RootProbe {
    sweep(dir);
    let result = Workplace::new(dir).and_then(|workplace| prepare().map(|()| workplace));
    match result {
        Ok(_workplace) => RootProbe {
            writing: Writing::Works,
            overlay: Some(kernel_overlay(dir, mounter)),
        },
        Err(error) => RootProbe {
            writing: writing(&error),
            overlay: None,
        },
    }
}

/// The probe of fuse-overlayfs, which is one of its own: a program can hang.
#[must_use]
pub fn run_fuse(dir: &Path, fuse: &FuseProgram) -> OverlayProbe {
    let result = Workplace::new(dir).and_then(|workplace| prepare().map(|()| workplace));
    match result {
        Ok(_workplace) => fuse_overlay(fuse),
        Err(error) => OverlayProbe::not_mounted(error.to_string()),
    }
}

fn writing(error: &io::Error) -> Writing {
    match error.raw_os_error() {
        Some(libc::EROFS) => Writing::ReadOnly,
        Some(libc::ENOSPC | libc::EDQUOT) => Writing::Full,
        _ => Writing::Refused(error.to_string()),
    }
}

/// Removes what killed probes left: directories with our prefix that nobody has locked.
fn sweep(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes())
        {
            let lock = open_dir(&entry.path()).and_then(|fd| lock(&fd).map(|()| fd));
            if lock.is_ok() {
                let _ = remove_tree(&entry.path());
            }
        }
    }
}

fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn lock(dir: &OwnedFd) -> io::Result<()> {
    Ok(rustix::fs::flock(
        dir,
        FlockOperation::NonBlockingLockExclusive,
    )?)
}

/// The locked directory of this probe, which is also the working directory; removed at the end.
struct Workplace {
    above: OwnedFd,
    times: Option<Timestamps>,
    name: String,
    _lock: OwnedFd,
}

impl Workplace {
    fn new(dir: &Path) -> io::Result<Self> {
        // The second try is for a sweep by another start between our mkdir and our lock.
        Self::make(dir, 0).or_else(|_| Self::make(dir, 1))
    }

    fn make(dir: &Path, round: u32) -> io::Result<Self> {
        let unique = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_nsec;
        let name = format!("{PREFIX}{}.{unique}.{round}", std::process::id());
        let above = open_dir(dir)?;
        let times = times(&above).ok();
        rustix::fs::mkdirat(&above, &name, Mode::RWXU)?;
        rustix::process::fchdir(&above)?;
        let fd = open_dir(Path::new(&name))?;
        // A file system without locks only loses the protection against a sweep.
        let _ = lock(&fd);
        fs::symlink_metadata(&name)?;
        rustix::process::fchdir(&fd)?;
        Ok(Self {
            above,
            times,
            name,
            _lock: fd,
        })
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        let _ = rustix::process::fchdir(&self.above);
        let _ = remove_tree(Path::new(&self.name));
        // As if nobody had been there: a dry run changes nothing that can be seen.
        if let Some(times) = &self.times {
            let _ = rustix::fs::futimens(&self.above, times);
        }
    }
}

fn times(dir: &OwnedFd) -> io::Result<Timestamps> {
    let stat = rustix::fs::statx(
        dir,
        "",
        AtFlags::EMPTY_PATH,
        StatxFlags::ATIME | StatxFlags::MTIME,
    )?;
    let time = |time: StatxTimestamp| Timespec {
        tv_sec: time.tv_sec,
        tv_nsec: time.tv_nsec.into(),
    };
    Ok(Timestamps {
        last_access: time(stat.stx_atime),
        last_modification: time(stat.stx_mtime),
    })
}

/// Two layers and room for an overlay, below the working directory.
fn prepare() -> io::Result<()> {
    for dir in ["low", "high", "upper", "work", "merged", "low/dir"] {
        rustix::fs::mkdir(dir, Mode::RWXU)?;
    }
    for file in ["low/gone", "low/old", "low/dir/inner", "high/top"] {
        fs::write(file, "x")?;
    }
    Ok(())
}

/// The overlay is mounted over the data root itself, in the probe's own mount namespace: paths
/// lead into it, the working directory stays below it. It is never unmounted but ends with the
/// process: an unmount waits for every CPU (`synchronize_rcu`), tens of milliseconds on a busy
/// machine, and nobody waits for the end of a probe.
fn kernel_overlay(target: &Path, mounter: Mounter) -> OverlayProbe {
    let mount = |options: &str| {
        let options = CString::new(format!(
            "{options}lowerdir=high:low,upperdir=upper,workdir=work"
        ));
        let options = options.unwrap_or_default();
        rustix::mount::mount("overlay", target, "overlay", MountFlags::empty(), &*options)
    };
    // volatile: without it the end of the mount writes the whole of the user's file system back
    // to disk. Kernels before 5.10 do not know it and say EINVAL, as they do for other reasons.
    let trusted = ["volatile,", ""];
    let user = ["userxattr,volatile,", "userxattr,"];
    // In user namespaces dockerd asks for attributes of the `user` class wherever the kernel
    // (5.11) knows them: those of the `trusted` class cannot be written there.
    let classes = match mounter {
        Mounter::Root => [trusted, user],
        Mounter::NamespaceRoot | Mounter::User => [user, trusted],
    };
    let mut refused = None;
    for options in classes.as_flattened() {
        match mount(options) {
            Ok(()) => {
                return OverlayProbe {
                    user_xattr: options.starts_with("userxattr"),
                    ..exercise(target)
                };
            }
            // The last of a class: the one without volatile says what is the matter.
            Err(errno) if !options.contains("volatile") => {
                refused.get_or_insert(errno);
            }
            Err(_) => {}
        }
    }
    let error = refused.map(io::Error::from);
    OverlayProbe::not_mounted(error.map_or_else(String::new, |error| format!("mount: {error}")))
}

/// Does to a mounted overlay what image layers do, and looks at the result from above.
fn exercise(merged: &Path) -> OverlayProbe {
    let path = |name: &str| merged.join(name);
    let exists = |name: &str| fs::symlink_metadata(path(name)).is_ok();
    let mut probe = OverlayProbe::default();
    let mut check = |feature, result: io::Result<bool>| {
        match result {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                probe
                    .error
                    .get_or_insert_with(|| format!("{feature:?}: {error}"));
            }
        }
        probe.missing.push(feature);
    };
    check(Feature::Layers, Ok(exists("old") && exists("top")));
    check(
        Feature::Whiteout,
        fs::remove_file(path("gone")).map(|()| !exists("gone")),
    );
    check(Feature::Opaque, remake(&path("dir")));
    check(
        Feature::Rename,
        fs::rename(path("old"), path("new")).map(|()| exists("new") && !exists("old")),
    );
    check(Feature::FileTypes, tells_types("low"));
    probe
}

/// Removes a directory and makes it anew; whether it is empty then.
fn remake(dir: &Path) -> io::Result<bool> {
    fs::remove_file(dir.join("inner"))?;
    fs::remove_dir(dir)?;
    fs::create_dir(dir)?;
    Ok(fs::read_dir(dir)?.next().is_none())
}

fn tells_types(dir: &str) -> io::Result<bool> {
    let entries = Dir::read_from(open_dir(Path::new(dir))?.as_fd())?;
    for entry in entries {
        if entry?.file_type() == rustix::fs::FileType::Unknown {
            return Ok(false);
        }
    }
    Ok(true)
}

fn fuse_overlay(fuse: &FuseProgram) -> OverlayProbe {
    let options = "lowerdir=high:low,upperdir=upper,workdir=work";
    let argv = ["fuse-overlayfs", "-f", "-o", options, "merged"].map(OsString::from);
    if let Err(error) = fs::File::options().read(true).write(true).open("/dev/fuse") {
        return OverlayProbe::not_mounted(format!("/dev/fuse: {error}"));
    }
    // Opened before the program starts: poll(2) on it tells of every change of the mounts since.
    let mounts = match fs::File::open("/proc/self/mountinfo") {
        Ok(mounts) => mounts,
        Err(error) => return OverlayProbe::not_mounted(error.to_string()),
    };
    let started = program::start(&fuse.program, &argv, &fuse.env, [None, None])
        .and_then(|pid| Ok((pid, rustix::process::pidfd_open(pid, PidfdFlags::empty())?)));
    let (pid, pidfd) = match started {
        Ok(started) => started,
        Err(error) => return OverlayProbe::not_mounted(error.to_string()),
    };
    let mut probe = OverlayProbe::not_mounted("fuse-overlayfs ended without a mount");
    loop {
        let mut fds = [
            PollFd::new(&mounts, PollFlags::PRI),
            PollFd::new(&pidfd, PollFlags::IN),
        ];
        let _ = poll(&mut fds, None); // a program that hangs is ended by the probe's deadline
        let ended = fds.iter().skip(1).any(|fd| !fd.revents().is_empty());
        if is_fuse("merged") {
            probe = exercise(Path::new("merged"));
            break;
        }
        if ended {
            break;
        }
    }
    let _ = rustix::mount::unmount("merged", UnmountFlags::DETACH);
    let _ = Child(pid).signal(libc::SIGKILL);
    let _ = program::wait(pid);
    probe
}

fn is_fuse(path: &str) -> bool {
    const FUSE_SUPER_MAGIC: i128 = 0x6573_5546;
    rustix::fs::statfs(path).is_ok_and(|fs| i128::from(fs.f_type) == FUSE_SUPER_MAGIC)
}
