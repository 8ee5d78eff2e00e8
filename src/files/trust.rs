//! Whose doing a file is, and what that means. Pure but for the ids of this process.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    Directory,
    /// A symbolic link.
    Link,
    Socket,
    /// A named pipe.
    Pipe,
    /// A character or block device.
    Device,
}

impl Kind {
    pub(super) fn of(stat: &Stat) -> Self {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Link,
            FileType::Socket => Self::Socket,
            FileType::Fifo => Self::Pipe,
            FileType::CharacterDevice | FileType::BlockDevice => Self::Device,
            FileType::RegularFile | FileType::Unknown => Self::File,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "a file",
            Self::Directory => "a directory",
            Self::Link => "a symbolic link",
            Self::Socket => "a socket",
            Self::Pipe => "a named pipe",
            Self::Device => "a device",
        })
    }
}

/// Something at a path that is not used, because it is or may be somebody else's doing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// A symbolic link that is not followed.
    #[error(
        "{} is a symbolic link of uid {uid} in a place that others can write: it is not followed",
        path.display()
    )]
    Link {
        /// The link.
        path: PathBuf,
        /// Who made it.
        uid: u32,
    },
    /// Something else than what belongs there.
    #[error("{} is {found}, not {wanted}", path.display())]
    Kind {
        path: PathBuf,
        found: Kind,
        /// What should be.
        wanted: Kind,
    },
    /// A file that is too large to be what it should be.
    #[error("{} is larger than {most} bytes", path.display())]
    TooLarge {
        path: PathBuf,
        /// The largest size that is read.
        most: u64,
    },
    /// Something that belongs to somebody else.
    #[error("{} belongs to uid {uid}: it is left alone", path.display())]
    Owner {
        path: PathBuf,
        /// Whose.
        uid: u32,
    },
    /// A file with more names than this one.
    #[error("{} has {links} names (hard links): it is not written", path.display())]
    Names { path: PathBuf, links: u64 },
    /// A directory that others can replace or write.
    #[error("{} can be written or replaced by others than root and this user", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
    },
    /// A name that changed its meaning while it was used.
    #[error("{} was replaced while it was used", path.display())]
    Moved { path: PathBuf },
    /// A tree that is deeper than anything that is removed.
    #[error("{} is nested too deeply to be removed", path.display())]
    Depth {
        /// Where it became too deep.
        path: PathBuf,
    },
}

impl From<Foreign> for io::Error {
    fn from(foreign: Foreign) -> Self {
        Self::other(foreign)
    }
}

impl Foreign {
    /// Why it is not used.
    #[must_use]
    pub fn why(&self) -> &'static str {
        match self {
            Self::Link { .. } => {
                "a link that others could make may lead anywhere, to a secret as well"
            }
            Self::Kind { .. } => "reading or writing it could wait for ever, or change a device",
            Self::TooLarge { .. } => "it would fill the memory of this process",
            Self::Owner { .. } => "nothing of somebody else's is removed or written",
            Self::Names { .. } => "its other name may be a file of somebody else's",
            Self::Open { .. } | Self::Moved { .. } => {
                "others may write to a directory on the way, as on a volume that is shared"
            }
            Self::Depth { .. } => "no directory of a container is so deep",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Link { .. } => {
                "replace the link by what it leads to, or give the path without the link; a link \
                 is followed where root owns it and only root may write to its directory"
            }
            Self::Kind { .. } | Self::TooLarge { .. } => "find out who put it there, and remove it",
            Self::Owner { .. } => "remove it, or chown it to the user that runs dind-init",
            Self::Names { .. } => {
                "remove this name (`ls -li` and `find -samefile` show the others)"
            }
            Self::Open { .. } | Self::Moved { .. } => {
                "use a directory that only root can write, or do not share it (chmod go-w)"
            }
            Self::Depth { .. } => "look at it, and remove it by hand",
        }
    }

    /// What an error says of somebody else's doing, if it is such a one.
    #[must_use]
    pub fn in_error(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    pub(super) fn kind(path: &Path, found: Kind, wanted: Kind) -> io::Error {
        let path = path.to_owned();
        Self::Kind {
            path,
            found,
            wanted,
        }
        .into()
    }
}

/// Whose files count as our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trust {
    user: u32,
    /// Who owns `/`, where root of the machine has no id in our user namespace.
    unmapped_root: Option<u32>,
}

/// What the kernel shows for an owner without an id in our user namespace (`user_namespaces(7)`).
const OVERFLOW: u32 = 65534;

impl Trust {
    /// Root, and the user that runs this.
    #[must_use]
    pub fn current() -> Self {
        let root = rustix::fs::stat("/").map_or(0, |stat| stat.st_uid);
        Self {
            user: rustix::process::geteuid().as_raw(),
            unmapped_root: (root == OVERFLOW).then_some(root),
        }
    }

    /// Whether what this user made is as good as our own.
    #[must_use]
    pub fn includes(self, uid: u32) -> bool {
        uid == 0 || uid == self.user || Some(uid) == self.unmapped_root
    }

    /// Whether nobody else can make, rename or remove anything in a directory.
    #[must_use]
    pub fn is_closed(self, dir: &Stat) -> bool {
        self.includes(dir.st_uid) && dir.st_mode & 0o022 == 0
    }

    /// Whether everybody may make entries in a directory, and only rename and remove their own.
    #[must_use]
    pub fn is_sticky(self, dir: &Stat) -> bool {
        self.includes(dir.st_uid) && dir.st_mode & 0o1000 != 0
    }

    /// Whether nobody else can put another thing in the place of this entry of a directory: it is
    /// closed, or sticky, so that only owners rename and remove.
    #[must_use]
    pub fn holds(self, dir: &Stat, entry: &Stat) -> bool {
        self.is_closed(dir) || (self.is_sticky(dir) && self.includes(entry.st_uid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(uid: u32, mode: u32) -> Stat {
        let mut stat = rustix::fs::stat("/").unwrap();
        (stat.st_uid, stat.st_mode) = (uid, mode);
        stat
    }

    #[test]
    fn a_directory_is_closed_when_root_or_we_own_it_and_nobody_else_writes() {
        let trust = Trust {
            user: 1000,
            unmapped_root: None,
        };
        for (uid, mode, closed) in [
            (0, 0o755, true),
            (1000, 0o700, true),
            (1000, 0o775, false),
            (0, 0o1777, false),
            (0, 0o2775, false),
            (1001, 0o700, false),
            (OVERFLOW, 0o755, false),
        ] {
            assert_eq!(trust.is_closed(&stat(uid, mode)), closed, "{uid} {mode:o}");
        }
        let inside = Trust {
            unmapped_root: Some(OVERFLOW),
            ..trust
        };
        assert!(inside.is_closed(&stat(OVERFLOW, 0o755)));
    }

    #[test]
    fn in_a_sticky_directory_only_our_own_entries_hold() {
        let trust = Trust {
            user: 0,
            unmapped_root: None,
        };
        let (tmp, open) = (stat(0, 0o41777), stat(0, 0o40777));
        assert!(trust.holds(&tmp, &stat(0, 0o755)));
        assert!(!trust.holds(&tmp, &stat(1000, 0o755)));
        assert!(!trust.holds(&open, &stat(0, 0o755)));
        assert!(!trust.holds(&stat(1000, 0o41777), &stat(0, 0o755)));
    }
}
