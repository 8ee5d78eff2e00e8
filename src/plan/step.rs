//! One step of the `HostPlan`: an action with its reason and the meaning of its failure.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use time::OffsetDateTime;

use crate::host::cgroup::mount::FreshMount;
use crate::host::devices::Device;
use crate::host::limits::Limit;
use crate::host::storage::content::Marker;
use crate::host::storage::owner::Owner;
use crate::tls;

/// A resource limit by what it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// `RLIMIT_NOFILE`.
    OpenFiles,
    /// `RLIMIT_NPROC`.
    Processes,
}

/// What is done. There are no choices left in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum Action {
    /// Remove a file or a dead socket.
    RemoveFile { path: PathBuf },
    /// Remove a directory with its content, without crossing into other file systems.
    RemoveTree { path: PathBuf },
    /// Remove the ready file, whoever made what is in its place.
    WithdrawReady { path: PathBuf },
    /// Make a directory that nobody else can change, or refuse the one that is there.
    CreatePrivate { path: PathBuf, mode: u32 },
    /// Mount a file system.
    Mount {
        /// `tmpfs`, `securityfs`.
        fs_type: &'static str,
        target: PathBuf,
        /// Options for the file system.
        data: &'static str,
    },
    /// Make the mounts below `/` propagate to peers.
    ShareRoot,
    /// Make our cgroup the root of a cgroup namespace of our own and mount the tree anew.
    EnterCgroupNamespace {
        /// Where the tree is mounted.
        point: PathBuf,
        /// Options of the old mount.
        options: FreshMount,
    },
    /// Give a cgroup, made where it is missing, a limit.
    LimitCgroup {
        dir: PathBuf,
        /// The file that takes the limit.
        file: &'static str,
        /// The limit.
        bytes: u64,
    },
    /// Make a device file.
    MakeDevice {
        #[serde(flatten)]
        device: Device,
    },
    /// Let a group use a device as its owner does.
    OpenToGroup {
        /// Which.
        path: PathBuf,
        /// The group.
        gid: u32,
    },
    /// Give a directory itself to another user.
    Give {
        /// Which.
        path: PathBuf,
        /// The new owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// Make a directory for another user; its parents stay ours.
    CreateFor {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// Make a symbolic link, in place of one that is there.
    Link {
        /// Which.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// Make a part of a read-only mount writable for this mount namespace.
    MakeWritable { path: PathBuf },
    /// Mount a read-only cgroup hierarchy writable, in this mount namespace.
    RemountWritable {
        /// Where it is mounted.
        path: PathBuf,
        /// Options of the mount.
        options: Vec<String>,
    },
    /// Set our own score for the OOM killer, which dockerd inherits.
    OomScore {
        /// The score.
        value: i32,
    },
    /// Set a resource limit of ours, which dockerd inherits.
    RaiseLimit {
        resource: Resource,
        #[serde(flatten)]
        limit: Limit,
    },
    /// Write a kernel setting of the node.
    NodeSetting {
        /// Its name, with dots.
        name: String,
        /// Its new value.
        value: u64,
    },
    /// Move every process of the root cgroup to a leaf, then hand controllers down.
    DelegateCgroup {
        root: PathBuf,
        leaf: PathBuf,
        /// What is handed down.
        controllers: Vec<String>,
    },
    /// Make a cgroup and give it to another user, who may divide it, but not change its limits.
    HandOverCgroup {
        dir: PathBuf,
        /// The files in it that are given away with it, where the kernel has them.
        files: Vec<String>,
        /// The new owner.
        uid: u32,
        gid: u32,
    },
    /// Make a directory of links to programs under the names that dockerd looks for.
    LinkTools {
        dir: PathBuf,
        /// Each name with its program.
        links: Vec<(String, PathBuf)>,
    },
    /// Ask the kernel for modules that it may have.
    LoadModules { names: Vec<String> },
    /// Write a kernel setting.
    WriteSetting { path: PathBuf, value: String },
    /// Take the lock on a data root, and keep it for as long as this process lives.
    LockDataRoot {
        /// The lock file.
        path: PathBuf,
        /// Who we are; the time is added.
        owner: Owner,
    },
    /// Write down which storage driver is used.
    RecordStorage {
        /// The marker file.
        path: PathBuf,
        /// What it says; the time is added.
        marker: Marker,
    },
    /// Check the TLS material, and make what is missing.
    Certificates(CertificateStep),
}

/// What the directory of the certificates is to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateStep {
    #[serde(skip)]
    pub request: tls::Request,
    /// What the server certificate is to carry.
    #[serde(skip)]
    pub names: tls::Names,
    /// When the start began: lives are counted from here.
    #[serde(skip)]
    pub now: OffsetDateTime,
    /// What will be done with what is there now, a line each.
    #[serde(rename = "plan")]
    pub lines: Vec<String>,
}

/// What a failure of a step means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The start ends with exit code 71.
    Abort,
    /// It is said, and the start goes on.
    Warn,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    #[serde(flatten)]
    pub action: Action,
    pub why: String,
    /// What a failure means.
    pub on_failure: OnFailure,
}

impl Step {
    /// A step without which dockerd cannot work.
    #[must_use]
    pub fn must(action: Action, why: impl Into<String>) -> Self {
        Self {
            action,
            why: why.into(),
            on_failure: OnFailure::Abort,
        }
    }

    /// A step whose failure is only said.
    #[must_use]
    pub fn may(action: Action, why: impl Into<String>) -> Self {
        Self {
            action,
            why: why.into(),
            on_failure: OnFailure::Warn,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RemoveFile { path } | Self::WithdrawReady { path } => {
                write!(f, "remove {}", path.display())
            }
            Self::RemoveTree { path } => write!(f, "remove {} and its content", path.display()),
            Self::CreatePrivate { path, mode } => {
                write!(f, "mkdir  {} (mode {mode:04o})", path.display())
            }
            Self::Mount {
                fs_type,
                target,
                data: "",
            } => {
                write!(f, "mount  {fs_type} on {}", target.display())
            }
            Self::Mount {
                fs_type,
                target,
                data,
            } => {
                write!(f, "mount  {fs_type} on {} ({data})", target.display())
            }
            Self::ShareRoot => f.write_str("share  / recursively"),
            Self::DelegateCgroup {
                root, controllers, ..
            } => {
                write!(f, "cgroup delegate {}:", root.display())?;
                controllers
                    .iter()
                    .try_for_each(|name| write!(f, " +{name}"))
            }
            Self::HandOverCgroup { dir, uid, gid, .. } => {
                write!(f, "cgroup hand over {} to {uid}:{gid}", dir.display())
            }
            Self::EnterCgroupNamespace { point, .. } => write!(
                f,
                "cgroup enter a namespace of our own, mount {} anew",
                point.display()
            ),
            Self::LimitCgroup { dir, file, bytes } => {
                write!(f, "cgroup limit {}: {file} {bytes}", dir.display())
            }
            Self::MakeDevice { device } => write!(
                f,
                "mknod  {} c {} {} (mode {:04o})",
                device.path, device.major, device.minor, device.mode
            ),
            Self::OpenToGroup { path, gid } => {
                write!(f, "chmod  {} for group {gid}", path.display())
            }
            Self::Give { path, uid, gid } => {
                write!(f, "chown  {} to {uid}:{gid}", path.display())
            }
            Self::CreateFor {
                path,
                mode,
                uid,
                gid,
            } => write!(
                f,
                "mkdir  {} for {uid}:{gid} (mode {mode:04o})",
                path.display()
            ),
            Self::Link { path, target } => {
                write!(f, "link   {} to {}", path.display(), target.display())
            }
            Self::MakeWritable { path } => write!(f, "mount  {} writable", path.display()),
            Self::RemountWritable { path, .. } => {
                write!(f, "mount  {} writable in its place", path.display())
            }
            Self::OomScore { value } => write!(f, "limit  oom_score_adj {value}"),
            Self::RaiseLimit { resource, limit } => {
                let name = match resource {
                    Resource::OpenFiles => "open files",
                    Resource::Processes => "processes",
                };
                let text = |limit: Option<u64>| {
                    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
                };
                write!(f, "limit  {name} {}:{}", text(limit.soft), text(limit.hard))
            }
            Self::NodeSetting { name, value } => write!(f, "sysctl {name}={value}"),
            Self::Certificates(step) => {
                f.write_str("certs  TLS material")?;
                step.lines.iter().try_for_each(|line| {
                    write!(f, "\n          {}", crate::base::printable::line(line))
                })
            }
            Self::LinkTools { dir, .. } => write!(f, "link   programs in {}", dir.display()),
            Self::LoadModules { names } => write!(f, "module {}", names.join(" ")),
            Self::WriteSetting { path, value } => {
                write!(f, "set    {} to {value}", path.display())
            }
            Self::LockDataRoot { path, .. } => write!(f, "lock   {}", path.display()),
            Self::RecordStorage { path, marker } => {
                write!(f, "record {} in {}", marker.driver, path.display())
            }
        }
    }
}
