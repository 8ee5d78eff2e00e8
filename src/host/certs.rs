//! Reader of the TLS directory: which files are there, what is in them, and what can be written.
//!
//! Nothing here fails: what cannot be read is a fact like any other. Missing, empty and unreadable
//! are told apart, because only the first two may be filled.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::tls::{CaFiles, Content, Folder, FolderId, Item, LeafFiles, Material, StoredFile};

/// More than any certificate chain needs; keeps a wrong mount from filling our memory.
const LARGEST: u64 = 1 << 20;

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
    }
}

fn read_file(path: &Path) -> StoredFile {
    // NONBLOCK: a pipe in the place of a file would hold up the start for ever.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return StoredFile::default(),
        other => other,
    };
    let mode = rustix::fs::stat(path)
        .ok()
        .map(|stat| stat.st_mode & 0o7777);
    let content = match opened
        .map_err(text)
        .and_then(|file| read_regular(File::from(file)))
    {
        Err(reason) => Content::Unreadable(reason),
        Ok(bytes) if bytes.is_empty() => Content::Empty,
        Ok(bytes) => Content::Present(bytes),
    };
    StoredFile { content, mode }
}

fn read_regular(file: File) -> Result<Vec<u8>, String> {
    let stat = rustix::fs::fstat(&file).map_err(text)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err("not a regular file".into());
    }
    let mut bytes = Vec::new();
    let size = file
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if size as u64 > LARGEST {
        return Err("larger than 1 MiB".into());
    }
    Ok(bytes)
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
    match rustix::fs::stat(path) {
        Err(Errno::NOENT) => return Folder::Absent,
        Err(error) => return Folder::ReadOnly(text(error)),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Directory => {
            return Folder::ReadOnly(text(Errno::NOTDIR));
        }
        Ok(_) => {}
    }
    let access = Access::WRITE_OK | Access::EXEC_OK;
    match rustix::fs::accessat(CWD, path, access, AtFlags::empty()) {
        Ok(()) => Folder::Writable,
        Err(error) => Folder::ReadOnly(text(error)),
    }
}

fn text(error: Errno) -> String {
    std::io::Error::from(error).to_string()
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
        let unreadable = Content::Unreadable("not a regular file".into());
        assert_eq!(material.server.key.content, unreadable);
        assert_eq!(material.client.key, StoredFile::default());
        assert_eq!(material.ca.folder, Folder::Absent);
        assert_eq!(material.server.folder, Folder::Writable);
    }

    #[test]
    fn a_pipe_does_not_hold_up_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca");
        fs::create_dir(&path).unwrap();
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(CWD, path.join("key.pem"), FileType::Fifo, mode, 0).unwrap();
        let found = read(directory.path()).ca.key.content;
        assert_eq!(found, Content::Unreadable("not a regular file".into()));
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
