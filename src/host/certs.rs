//! Reader of the TLS directory: which files are there, what is in them, and what can be written.
//!
//! Nothing here fails: what cannot be read is a fact like any other. Missing, empty and unreadable
//! are told apart, because only the first two may be filled.

use std::io;
use std::path::Path;

use crate::files::trust::Trust;
use crate::files::{self, Dir};
use crate::tls::{CaFiles, Content, Folder, FolderId, Item, LeafFiles, Material, StoredFile};

/// Reads everything below `directory`.
#[must_use]
pub fn read(directory: &Path) -> Material {
    let file = |item: Item| read_file(&directory.join(item.path()));
    let folder = |id: FolderId| probe_folder(&directory.join(id.name()));
    Material {
        root: probe_root(directory),
        ca: CaFiles {
            folder: folder(FolderId::Ca),
            key: file(Item::CaKey),
            certificate: file(Item::CaCertificate),
        },
        server: LeafFiles {
            folder: folder(FolderId::Server),
            ca: file(Item::ServerCa),
            key: file(Item::ServerKey),
            certificate: file(Item::ServerCertificate),
        },
        client: LeafFiles {
            folder: folder(FolderId::Client),
            ca: file(Item::ClientCa),
            key: file(Item::ClientKey),
            certificate: file(Item::ClientCertificate),
        },
        open: [FolderId::Ca, FolderId::Server]
            .into_iter()
            .filter(|id| is_open(&directory.join(id.name())))
            .collect(),
    }
}

/// Whether others can exchange what is in a folder. On a volume that is read-only here, only who
/// made the container or pod can.
fn is_open(folder: &Path) -> bool {
    Dir::open(folder).is_ok_and(|dir| !dir.is_closed() && !dir.is_read_only())
}

fn read_file(path: &Path) -> StoredFile {
    let opened = match files::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return StoredFile::default(),
        other => other,
    };
    let stat = opened.as_ref().ok();
    let stat = stat.and_then(|file| rustix::fs::fstat(file).ok());
    let content = match opened.and_then(|file| files::read_at_most(file, path, files::MOST)) {
        Err(error) => Content::Unreadable(error.to_string()),
        Ok(bytes) if bytes.is_empty() => Content::Empty,
        Ok(bytes) => Content::Present(bytes),
    };
    StoredFile {
        content,
        mode: stat.map(|stat| stat.st_mode & 0o7777),
        stranger: stat
            .map(|stat| stat.st_uid)
            .filter(|uid| !Trust::current().includes(*uid)),
    }
}

/// The directory itself; one that is missing is as good as the place where it would be made.
fn probe_root(directory: &Path) -> Folder {
    let mut place = directory;
    loop {
        match probe_folder(place) {
            Folder::Absent => {}
            Folder::Writable if place != directory => return Folder::Absent,
            found => return found,
        }
        place = match place.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return Folder::Absent,
        };
    }
}

fn probe_folder(path: &Path) -> Folder {
    match Dir::open(path).and_then(|dir| dir.check_writable()) {
        Ok(()) => Folder::Writable,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Folder::Absent,
        Err(error) => Folder::ReadOnly(error.to_string()),
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests lay out the files that are read"
)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn tells_missing_empty_unreadable_and_present_apart() {
        let directory = tempfile::tempdir().unwrap();
        let server = directory.path().join("server");
        fs::create_dir_all(&server).unwrap();
        fs::write(server.join("ca.pem"), "").unwrap();
        fs::write(server.join("cert.pem"), "text").unwrap();
        fs::set_permissions(server.join("cert.pem"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::create_dir(server.join("key.pem")).unwrap();
        let material = read(directory.path());
        assert_eq!(material.server.ca.content, Content::Empty);
        assert_eq!(
            material.server.certificate.content,
            Content::Present(b"text".to_vec())
        );
        assert_eq!(material.server.certificate.mode, Some(0o640));
        assert!(matches!(
            material.server.key.content,
            Content::Unreadable(_)
        ));
        assert_eq!(material.client.key, StoredFile::default());
        assert_eq!(material.ca.folder, Folder::Absent);
        assert_eq!(material.server.folder, Folder::Writable);
    }

    #[test]
    fn a_pipe_does_not_hold_up_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca");
        fs::create_dir(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, path.join("key.pem"), 0o600.into()).unwrap();
        let Content::Unreadable(reason) = read(directory.path()).ca.key.content else {
            panic!("a pipe was read")
        };
        assert!(reason.contains("a named pipe"), "{reason}");
    }

    #[test]
    fn a_file_in_the_place_of_a_folder_takes_no_files() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("ca"), "").unwrap();
        let material = read(directory.path());
        assert!(matches!(material.ca.folder, Folder::ReadOnly(_)));
        assert!(matches!(material.ca.key.content, Content::Unreadable(_)));
    }

    #[test]
    fn a_missing_directory_depends_on_the_nearest_that_exists() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("a/b/c");
        assert_eq!(read(&missing).root, Folder::Absent);
        fs::write(directory.path().join("file"), "").unwrap();
        let below_a_file = read(&directory.path().join("file/certs")).root;
        assert!(
            matches!(below_a_file, Folder::ReadOnly(_)),
            "{below_a_file:?}"
        );
    }
}
