//! In whose name dockerd will mount: it decides what an overlay may do.

use crate::config::Identity;
use crate::host::process;
use crate::sys::probe::UnshareFlags;

/// In whose name dockerd mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mounter {
    /// Root of the first user namespace.
    Root,
    /// Root of the user namespace that we are in.
    NamespaceRoot,
    /// A user, who will be root of a user namespace of their own.
    User,
}

impl Mounter {
    /// The one that a dockerd of ours will be.
    #[must_use]
    pub fn of(identity: Identity) -> Self {
        match identity.uid {
            0 if process::has_full_id_map() => Self::Root,
            0 => Self::NamespaceRoot,
            _ => Self::User,
        }
    }

    /// The namespaces that a probe in this name has for itself; it is root in them.
    #[must_use]
    pub fn namespaces(self) -> UnshareFlags {
        match self {
            Self::Root | Self::NamespaceRoot => UnshareFlags::NEWNS,
            Self::User => UnshareFlags::NEWNS | UnshareFlags::NEWUSER,
        }
    }
}
