//! Where dockerd certainly cannot work, and what to do about it.

use std::path::PathBuf;

use super::cgroup::refusal::CgroupRefusal;
use super::dockerd;
use super::keyed::EXEC;
use super::netfilter::refusal::NetfilterRefusal;
use super::storage::refusal::StorageRefusal;
use crate::base::explain::{Advice, Explain};
use crate::config::Config;
use crate::host::Facts;
use crate::host::daemon_json::{Content, DaemonFile};
use crate::plan::mode::ModePlan;
use crate::plan::rootless::refusal::RootlessRefusal;

/// A `HostPlan` that cannot be made. Nothing was changed, and our sockets are closed again.
#[derive(Debug, thiserror::Error)]
pub enum HostRefusal {
    /// A rootless daemon cannot work.
    #[error(transparent)]
    Rootless(#[from] RootlessRefusal),
    /// A capability is missing. The words are those that people search for.
    #[error(
        "mount: permission denied (are you root?): the container lacks {missing}; --privileged?"
    )]
    NotPrivileged {
        /// Its name.
        missing: &'static str,
    },
    /// PATH has no dockerd.
    #[error("dockerd is not in PATH")]
    NoDockerd,
    /// The file is broken.
    #[error("{} cannot be used: {reason}", path.display())]
    DaemonFile {
        /// dockerd's file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Cgroups are of no use as they are.
    #[error(transparent)]
    Cgroup(CgroupRefusal),
    /// Images cannot be stored.
    #[error(transparent)]
    Storage(StorageRefusal),
    /// Others can change every place for the program's own directory.
    #[error("no directory that only this user can write: tried {}", list(tried))]
    NoPrivateDirectory { tried: Vec<PathBuf> },
    /// The packet filter cannot be programmed.
    #[error(transparent)]
    Netfilter(NetfilterRefusal),
    /// The same, in a sandbox that has no packet filter to speak of.
    #[error("{0}, and this is gVisor")]
    Gvisor(NetfilterRefusal),
    /// dockerd would refuse.
    #[error("given both as flags and in {}: {}", path.display(), keys.join(", "))]
    FlagAndFile {
        /// dockerd's file.
        path: PathBuf,
        keys: Vec<String>,
    },
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    paths.join(", ")
}

impl Explain for HostRefusal {
    fn advice(&self) -> Advice {
        match self {
            Self::Rootless(refusal) => refusal.advice(),
            Self::NotPrivileged { .. } => Advice::new(
                "dockerd mounts file systems, makes namespaces and programs networks, which the \
                 kernel allows only with capabilities such as this",
                "docker run --privileged; compose: privileged: true; Kubernetes: \
                 securityContext.privileged: true; GitLab runner config.toml: privileged = true",
            ),
            Self::NoDockerd => Advice::new(
                "dind-init starts the dockerd of the image that it is in",
                "install docker (docker.io, docker-ce) in the image, or set PATH",
            ),
            Self::DaemonFile { path, .. } => Advice::new(
                "dockerd would end with the same complaint",
                format!("mend {} (dockerd --validate checks it)", path.display()),
            ),
            Self::Cgroup(refusal) => refusal.advice(),
            Self::NoPrivateDirectory { .. } => Advice::new(
                "what root executes and believes must not be where others can replace it: these \
                 directories, or those above them, are read-only or can be written by others",
                "share a directory below /run instead of /run itself, or mount a tmpfs on one of \
                 them (docker run --tmpfs /run/dind-init)",
            ),
            Self::Storage(refusal) => refusal.advice(),
            Self::Netfilter(refusal) => refusal.advice(),
            Self::Gvisor(refusal) => Advice::new(
                format!(
                    "gVisor (runsc) answers system calls with a kernel of its own, which lacks \
                     what dockerd uses: {}",
                    refusal.why()
                ),
                "start with --iptables=false --ip6tables=false, and nested containers with \
                 --network=host: others have no way out and no published ports; or run this \
                 container with runc",
            ),
            Self::FlagAndFile { path, .. } => Advice::new(
                "dockerd refuses a setting that is given in both places",
                format!("remove the flags, or the keys of {}", path.display()),
            ),
        }
    }
}

/// Every certain failure ahead, worst first.
#[must_use]
pub fn find(
    config: &Config,
    file: &DaemonFile,
    facts: &Facts,
    mode: &ModePlan,
) -> Vec<HostRefusal> {
    let mut found = mode.refusals(config, file, facts);
    let driver = EXEC.get(config, file, &["native.cgroupdriver"]);
    if driver.as_deref() == Some("systemd") && !facts.cgroup.booted {
        let origin = if EXEC.takes_flags(file) {
            format!("--{}", EXEC.flag)
        } else {
            format!("{} of {}", EXEC.key, file.path.display())
        };
        let refusal = CgroupRefusal::NoSystemd { origin };
        found.push(HostRefusal::Cgroup(refusal));
    }
    let path = file.path.clone();
    match &file.content {
        Content::Invalid(reason) => {
            found.push(HostRefusal::DaemonFile {
                path,
                reason: reason.clone(),
            });
        }
        Content::Absent | Content::Keys(_) => {
            let keys = dockerd::conflicts(config, file);
            if !keys.is_empty() {
                found.push(HostRefusal::FlagAndFile { path, keys });
            }
        }
    }
    found
}
