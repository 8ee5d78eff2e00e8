//! Where a rootless dockerd certainly cannot work, and what to do about it. The words of the
//! official scripts stay where people search for them.

use std::path::PathBuf;

use super::idmap::{NoMap, list};
use crate::base::explain::{Advice, Explain, samples};
use crate::host::rootless::RootlessFacts;
use crate::host::rootless::subids::OddRow;

/// A rootless plan that cannot be made. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootlessRefusal {
    #[error(
        "attempting to run rootless dockerd but need 'kernel.unprivileged_userns_clone' \
         (/proc/sys/kernel/unprivileged_userns_clone) set to 1"
    )]
    UsernsClone,
    #[error(
        "attempting to run rootless dockerd but need 'user.max_user_namespaces' \
         (/proc/sys/user/max_user_namespaces) set to a sufficiently large value"
    )]
    NoUserNamespaces,
    /// A namespace was refused in the probe.
    #[error("the kernel refuses a new {kind} namespace: {reason}")]
    Namespace {
        /// `user`, `network`.
        kind: &'static str,
        reason: String,
        /// What stands behind it.
        why: String,
        fix: String,
    },
    #[error(
        "attempting to run rootless dockerd but missing necessary entries in /etc/subuid and/or \
         /etc/subgid for {uid}"
    )]
    NoSubIds {
        uid: u32,
        /// Our name, or the number again.
        name: String,
        /// What was found in their place.
        odd: Vec<OddRow>,
    },
    /// Subordinate ids do not exist in our own user namespace.
    #[error("the subordinate ids {ranges} do not exist in this container, which has {outer}")]
    IdsOutside {
        /// The ranges of /etc/subuid or /etc/subgid.
        ranges: String,
        outer: String,
        name: String,
        uid: u32,
    },
    /// `no_new_privs`.
    #[error("newuidmap cannot work: no_new_privs is set for this container")]
    NoNewPrivs,
    /// A helper is missing or has no rights.
    #[error("{name} cannot write id maps: {reason}")]
    MapHelper {
        name: String,
        reason: String,
        fix: String,
    },
    /// The program of a network driver is missing.
    #[error("missing network driver: {} not found in PATH", wanted.join(", "))]
    NoDriver { wanted: Vec<String> },
    /// No tap device.
    #[error("no tap device can be made: {step}: {reason}")]
    Tap {
        /// The call.
        step: String,
        reason: String,
        fix: String,
    },
    /// The data root is somebody else's.
    #[error("the data root {} belongs to uid {owner}, not to uid {uid}", path.display())]
    NotOwner {
        /// The data root.
        path: PathBuf,
        owner: u32,
        uid: u32,
    },
    /// /proc is masked.
    #[error("no inner container could start: a process table of its own cannot be mounted: {0}")]
    MaskedProc(String),
}

impl RootlessRefusal {
    /// Why no map could be made.
    #[must_use]
    pub(super) fn no_map(none: NoMap, facts: &RootlessFacts) -> Self {
        let uid = facts.ids.uid;
        let name = facts.user.clone().unwrap_or_else(|| uid.to_string());
        match none {
            NoMap::NoSubIds(odd) => Self::NoSubIds { uid, name, odd },
            NoMap::Outside { ranges, outer } => Self::IdsOutside {
                ranges: list(&ranges),
                outer: list(&outer),
                name,
                uid,
            },
        }
    }
}

impl Explain for RootlessRefusal {
    fn advice(&self) -> Advice {
        const SETTING: &str = "a rootless daemon lives in a user namespace; this setting is the \
             node's and cannot be changed in the container";
        match self {
            Self::UsernsClone => Advice::new(
                SETTING,
                "on the node: sysctl -w kernel.unprivileged_userns_clone=1",
            ),
            Self::NoUserNamespaces => Advice::new(
                SETTING,
                "on the node: sysctl -w user.max_user_namespaces=28633",
            ),
            Self::Namespace { why, fix, .. } => Advice::new(why, fix),
            Self::NoSubIds { name, odd, .. } if !odd.is_empty() => Advice::new(
                odd.iter().map(OddRow::note).collect::<Vec<_>>().join("; "),
                format!(
                    "in the image: let /etc/subuid and /etc/subgid be readable for everybody, with \
                     a row {name}:100000:65536 without spaces or carriage returns; or start as \
                     root with DIND_ROOTLESS=1 and --cap-add SETUID --cap-add SETGID"
                ),
            ),
            Self::NoSubIds { name, .. } => Advice::new(
                "users of nested containers are mapped to subordinate ids, and neither these files \
                 nor getsubids have any for this user",
                format!(
                    "in the image: echo {name}:100000:65536 | tee -a /etc/subuid /etc/subgid; or \
                     start as root with DIND_ROOTLESS=1 and --cap-add SETUID --cap-add SETGID"
                ),
            ),
            Self::IdsOutside { name, uid, .. } => Advice::new(
                "this container runs in a user namespace itself (hostUsers: false, userns-remap), \
                 and only ids of that one can be mapped",
                format!(
                    "in the image: {name}:{}:{} in /etc/subuid and /etc/subgid, if the container \
                     has 65536 ids",
                    uid + 1,
                    65535u32.saturating_sub(*uid)
                ),
            ),
            Self::NoNewPrivs => Advice::new(
                "newuidmap gets its rights from its set-user-ID bit or file capability, which \
                 no_new_privs takes away",
                "remove --security-opt no-new-privileges (Kubernetes: allowPrivilegeEscalation: \
                 true), or start as root with DIND_ROOTLESS=1 and --cap-add SETUID --cap-add SETGID",
            ),
            Self::MapHelper { fix, .. } => Advice::new(
                "it writes the id map of the user namespace, which this user may not do itself",
                fix,
            ),
            Self::NoDriver { .. } => Advice::new(
                "it moves packets between the namespace of dockerd and the outer network",
                "install slirp4netns or passt in the image, or set \
                 DOCKERD_ROOTLESS_ROOTLESSKIT_NET=none to do without a network",
            ),
            Self::Tap { fix, .. } => Advice::new("the network driver speaks to a tap device", fix),
            Self::NotOwner { path, uid, .. } => Advice::new(
                "dockerd changes its mode and ends where it may not (\"chmod: operation not \
                 permitted\"); a volume of Kubernetes (emptyDir, fsGroup) is root's, whoever may \
                 write to it",
                format!(
                    "mount the volume at {}, so that dockerd makes the directory itself; or start \
                     as root with DIND_ROOTLESS=1 and --cap-add CHOWN (Kubernetes: \
                     capabilities.add) on an empty volume; or chown it to {uid}",
                    path.parent().unwrap_or(path).display()
                ),
            ),
            Self::MaskedProc(_) => Advice::new(
                "the outer container masks parts of /proc, so the kernel lets nobody inside mount \
                 an unmasked one",
                "--security-opt systempaths=unconfined, or --privileged; Kubernetes: procMount: \
                 Unmasked with hostUsers: false",
            ),
        }
    }
}

samples! { RootlessRefusal {
    UsernsClone,
    NoUserNamespaces,
    Namespace {
        kind: "user",
        reason: "Operation not permitted".into(),
        why: "what forbids it: seccomp, AppArmor, SELinux, or a setting of the node".into(),
        fix: "what allows it, in the words of that one".into(),
    },
    NoSubIds { uid: 1000, name: "rootless".into(), odd: vec![] },
    NoSubIds {
        uid: 1000,
        name: "rootless".into(),
        odd: vec![OddRow::File {
            file: "/etc/subuid".into(),
            error: "Permission denied".into(),
        }],
    },
    IdsOutside {
        ranges: "100000-165535".into(),
        outer: "0-65535".into(),
        name: "rootless".into(),
        uid: 1000,
    },
    NoNewPrivs,
    MapHelper {
        name: "newuidmap".into(),
        reason: "what is wrong with it".into(),
        fix: "what puts that right".into(),
    },
    NoDriver { wanted: vec!["slirp4netns".into(), "pasta".into()] },
    Tap {
        step: "open /dev/net/tun".into(),
        reason: "No such file or directory".into(),
        fix: "what brings the device".into(),
    },
    NotOwner { path: "/path".into(), owner: 0, uid: 1000 },
    MaskedProc("Operation not permitted".into()),
} }
