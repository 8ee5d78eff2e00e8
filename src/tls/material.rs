//! What lies in the directory now, as `host::certs` found it.

use std::fmt;

/// One of the eight files, in the order in which they are put in place: the authority first, the
/// client's certificate last, so that who waits for it finds everything else there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    /// `ca/key.pem`
    CaKey,
    /// `ca/cert.pem`
    CaCertificate,
    /// `server/ca.pem`
    ServerCa,
    /// `server/key.pem`
    ServerKey,
    /// `server/cert.pem`
    ServerCertificate,
    /// `client/ca.pem`
    ClientCa,
    /// `client/key.pem`
    ClientKey,
    /// `client/cert.pem`
    ClientCertificate,
}

impl Item {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::CaKey,
        Self::CaCertificate,
        Self::ServerCa,
        Self::ServerKey,
        Self::ServerCertificate,
        Self::ClientCa,
        Self::ClientKey,
        Self::ClientCertificate,
    ];

    /// The path below the directory.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::CaKey => "ca/key.pem",
            Self::CaCertificate => "ca/cert.pem",
            Self::ServerCa => "server/ca.pem",
            Self::ServerKey => "server/key.pem",
            Self::ServerCertificate => "server/cert.pem",
            Self::ClientCa => "client/ca.pem",
            Self::ClientKey => "client/key.pem",
            Self::ClientCertificate => "client/cert.pem",
        }
    }

    /// The name inside of its folder.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::CaKey | Self::ServerKey | Self::ClientKey => "key.pem",
            Self::CaCertificate | Self::ServerCertificate | Self::ClientCertificate => "cert.pem",
            Self::ServerCa | Self::ClientCa => "ca.pem",
        }
    }

    /// The folder it lies in.
    #[must_use]
    pub fn folder(self) -> FolderId {
        match self {
            Self::CaKey | Self::CaCertificate => FolderId::Ca,
            Self::ServerCa | Self::ServerKey | Self::ServerCertificate => FolderId::Server,
            Self::ClientCa | Self::ClientKey | Self::ClientCertificate => FolderId::Client,
        }
    }

    /// Permission bits of a new file. The client's key is for everybody: the folder is meant to
    /// be shared with containers that run as some other user.
    #[must_use]
    pub fn mode(self) -> u32 {
        match self {
            Self::CaKey | Self::ServerKey => 0o600,
            _ => 0o644,
        }
    }

    /// Whether it is a private key.
    #[must_use]
    pub fn is_key(self) -> bool {
        matches!(self, Self::CaKey | Self::ServerKey | Self::ClientKey)
    }
}

/// One of the three folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FolderId {
    /// The authority: only the daemon's side.
    Ca,
    /// What dockerd reads.
    Server,
    /// What is shared with clients.
    Client,
}

impl FolderId {
    /// All of them, in the order in which they are made.
    pub const ALL: [Self; 3] = [Self::Ca, Self::Server, Self::Client];

    /// The name below the directory.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// The content of a file.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Content {
    /// A file of no bytes, as a killed `openssl` leaves it: counts as missing.
    Empty,
    /// There is no such file.
    #[default]
    Missing,
    Present(Vec<u8>),
    /// It is there and cannot be read; why.
    Unreadable(String),
}

impl Content {
    /// The bytes, if there are any.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Present(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Nothing is there that could be kept or lost.
    #[must_use]
    pub fn is_vacant(&self) -> bool {
        matches!(self, Self::Empty | Self::Missing)
    }
}

impl fmt::Debug for Content {
    /// Without the bytes: they may be a private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Missing => f.write_str("Missing"),
            Self::Present(bytes) => write!(f, "Present({} bytes)", bytes.len()),
            Self::Unreadable(reason) => write!(f, "Unreadable({reason})"),
        }
    }
}

/// A file, its permission bits and its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredFile {
    pub content: Content,
    /// Permission bits, when there is a file.
    pub mode: Option<u32>,
    /// Its owner, if that is neither root nor the user that runs this.
    pub stranger: Option<u32>,
}

/// Whether new files can be put into a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Folder {
    /// It does not exist; whether it can be made depends on its parent.
    #[default]
    Absent,
    /// It takes no new files; why.
    ReadOnly(String),
    /// It takes new files.
    Writable,
}

/// `ca/`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaFiles {
    pub folder: Folder,
    /// `key.pem`
    pub key: StoredFile,
    /// `cert.pem`
    pub certificate: StoredFile,
}

/// `server/` or `client/`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeafFiles {
    pub folder: Folder,
    /// `ca.pem`
    pub ca: StoredFile,
    /// `key.pem`
    pub key: StoredFile,
    /// `cert.pem`
    pub certificate: StoredFile,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Material {
    /// The directory itself. [`Folder::Absent`] means: its parent would let us make it.
    pub root: Folder,
    /// The authority.
    pub ca: CaFiles,
    /// For dockerd.
    pub server: LeafFiles,
    pub client: LeafFiles,
    /// Folders of which others can exchange what decides who gets in.
    pub open: Vec<FolderId>,
}

/// What decides who gets in: who can write one of these, or sign with the key, is a client.
const GATE: [Item; 3] = [Item::CaKey, Item::CaCertificate, Item::ServerCa];

impl Material {
    /// Why somebody else may have made, or may use, what decides who gets in. Files that are
    /// still to be made are nobody's, but for `strict`: where could they be made safely?
    #[must_use]
    pub fn doubts(&self, strict: bool) -> Vec<String> {
        let mut doubts = Vec::new();
        for item in GATE {
            let (file, path) = (self.file(item), item.path());
            if file.content.is_vacant() && !strict {
                continue;
            }
            let mode = file.mode.unwrap_or_default();
            if let Some(uid) = file.stranger {
                doubts.push(format!("{path} belongs to uid {uid}"));
            } else if mode & 0o022 != 0 {
                doubts.push(format!("{path} can be written by others (mode {mode:04o})"));
            } else if item == Item::CaKey && mode & 0o044 != 0 {
                doubts.push(format!("{path} can be read by others (mode {mode:04o})"));
            } else if self.open.contains(&item.folder()) {
                doubts.push(format!(
                    "{path} can be replaced by others: its folder is open"
                ));
            }
        }
        doubts
    }

    #[must_use]
    pub fn file(&self, item: Item) -> &StoredFile {
        match item {
            Item::CaKey => &self.ca.key,
            Item::CaCertificate => &self.ca.certificate,
            Item::ServerCa => &self.server.ca,
            Item::ServerKey => &self.server.key,
            Item::ServerCertificate => &self.server.certificate,
            Item::ClientCa => &self.client.ca,
            Item::ClientKey => &self.client.key,
            Item::ClientCertificate => &self.client.certificate,
        }
    }

    /// Why a folder takes no new files; `None` when it does or can be made.
    #[must_use]
    pub fn obstacle(&self, folder: FolderId) -> Option<&str> {
        let own = match folder {
            FolderId::Ca => &self.ca.folder,
            FolderId::Server => &self.server.folder,
            FolderId::Client => &self.client.folder,
        };
        match (own, &self.root) {
            (Folder::ReadOnly(reason), _) | (Folder::Absent, Folder::ReadOnly(reason)) => {
                Some(reason)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_comes_first_and_the_clients_certificate_last() {
        assert!(
            Item::ALL.is_sorted(),
            "a plan lists its writes in the order of the variants"
        );
        assert_eq!(Item::ALL[..2], [Item::CaKey, Item::CaCertificate]);
        assert_eq!(
            Item::ALL[5..],
            [Item::ClientCa, Item::ClientKey, Item::ClientCertificate]
        );
        for item in Item::ALL {
            let path = format!("{}/{}", item.folder().name(), item.file_name());
            assert_eq!(item.path(), path);
            assert_eq!(item.is_key(), item.file_name() == "key.pem");
        }
    }

    #[test]
    fn content_does_not_show_its_bytes() {
        assert_eq!(
            format!("{:?}", Content::Present(vec![1, 2])),
            "Present(2 bytes)"
        );
    }
}
