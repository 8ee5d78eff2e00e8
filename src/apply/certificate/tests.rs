#![expect(
    clippy::disallowed_methods,
    reason = "tests lay out what is written over, and compete"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use rustix::fs::Mode;

use super::*;
use crate::base::explain::Explain;
use crate::files::lock::Share;
use crate::tls::fixtures::{NOW, names, request};

fn request_in(directory: &Path) -> Request {
    Request {
        directory: directory.join("certs"),
        ..request("")
    }
}

/// Every file below a directory: mode, inode and content.
fn snapshot(directory: &Path) -> BTreeMap<PathBuf, (u32, u64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            found.insert(path.clone(), (meta.mode() & 0o7777, meta.ino(), Vec::new()));
            found.extend(snapshot(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, (meta.mode() & 0o7777, meta.ino(), bytes));
        }
    }
    found
}

fn modes(directory: &Path) -> Vec<(String, u32)> {
    let strip = |path: PathBuf| path.strip_prefix(directory).unwrap().display().to_string();
    snapshot(directory)
        .into_iter()
        .map(|(path, (mode, ..))| (strip(path), mode))
        .collect()
}

#[test]
fn a_first_start_makes_eight_files_with_the_official_modes_whatever_the_umask() {
    // nextest runs each test in its own process; elsewhere the others do not depend on the umask.
    let old = rustix::process::umask(Mode::from_raw_mode(0o077));
    let directory = tempfile::tempdir().unwrap();
    let outcome = apply(&request_in(directory.path()), &names(), NOW).unwrap();
    rustix::process::umask(old);
    assert_eq!(outcome.written, Item::ALL);
    let expected = [
        ("certs", 0o755),
        ("certs/ca", 0o755),
        ("certs/ca/cert.pem", 0o644),
        ("certs/ca/key.pem", 0o600),
        ("certs/client", 0o755),
        ("certs/client/ca.pem", 0o644),
        ("certs/client/cert.pem", 0o644),
        ("certs/client/key.pem", 0o644),
        ("certs/server", 0o755),
        ("certs/server/ca.pem", 0o644),
        ("certs/server/cert.pem", 0o644),
        ("certs/server/key.pem", 0o600),
    ];
    assert_eq!(
        modes(directory.path()),
        expected.map(|(path, mode)| (path.to_owned(), mode))
    );
    let server = directory.path().join("certs/server/cert.pem");
    assert_eq!(outcome.verified()[0], format!("{}: OK", server.display()));
}

#[test]
fn a_second_start_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    apply(&request_in(directory.path()), &names(), NOW).unwrap();
    let before = snapshot(directory.path());
    let outcome = apply(&request_in(directory.path()), &names(), NOW).unwrap();
    assert_eq!(outcome.written, []);
    assert_eq!(snapshot(directory.path()), before);
}

#[test]
fn existing_folders_keys_and_foreign_files_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let client = directory.path().join("certs/client");
    fs::create_dir_all(&client).unwrap();
    fs::set_permissions(&client, fs::Permissions::from_mode(0o1777)).unwrap();
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    fs::write(client.join("key.pem"), &key).unwrap();
    fs::set_permissions(client.join("key.pem"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::write(client.join("notes.txt"), "mine").unwrap();
    apply(&request_in(directory.path()), &names(), NOW).unwrap();
    let after = snapshot(&client);
    assert_eq!(fs::metadata(&client).unwrap().mode() & 0o7777, 0o1777);
    assert_eq!(after[&client.join("key.pem")].2, key.as_bytes());
    assert_eq!(after[&client.join("key.pem")].0, 0o640);
    assert_eq!(after.len(), 4);
}

#[test]
fn leftovers_of_a_killed_run_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let server = directory.path().join("certs/server");
    fs::create_dir_all(&server).unwrap();
    fs::write(server.join(".dind-init.0123456789abcdef.cert.pem"), "half").unwrap();
    apply(&request_in(directory.path()), &names(), NOW).unwrap();
    let hidden = snapshot(directory.path());
    assert!(
        !hidden
            .keys()
            .any(|path| path.to_string_lossy().contains("/.dind-init"))
    );
}

#[test]
fn a_link_in_the_client_folder_is_replaced_and_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let client = directory.path().join("certs/client");
    fs::create_dir_all(&client).unwrap();
    let target = directory.path().join("precious");
    fs::write(&target, "").unwrap();
    std::os::unix::fs::symlink(&target, client.join("key.pem")).unwrap();
    apply(&request_in(directory.path()), &names(), NOW).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"");
    assert!(
        fs::symlink_metadata(client.join("key.pem"))
            .unwrap()
            .is_file()
    );
}

#[test]
fn a_refusal_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("certs/ca");
    fs::create_dir_all(&ca).unwrap();
    fs::write(ca.join("key.pem"), "rubbish").unwrap();
    let before = snapshot(directory.path());
    let error = apply(&request_in(directory.path()), &names(), NOW).unwrap_err();
    assert_eq!(error.exit_code(), 78);
    assert!(error.to_string().contains("certs/ca/key.pem"), "{error}");
    assert_eq!(snapshot(directory.path()), before);
}

#[test]
fn a_failed_rename_leaves_no_temporary_files_and_says_what_was_done() {
    let directory = tempfile::tempdir().unwrap();
    let request = request_in(directory.path());
    let root = Root::make(&request.directory).unwrap();
    // A folder that is not empty cannot be replaced by a file.
    fs::create_dir_all(request.directory.join("server/ca.pem/x")).unwrap();
    let file = |item| NewFile {
        item,
        bytes: b"x".to_vec(),
    };
    let error = root
        .install(&[file(Item::CaCertificate), file(Item::ServerCa)])
        .unwrap_err();
    assert_eq!(error.exit_code(), 71);
    assert!(
        error.why().contains("already replaced: ca/cert.pem"),
        "{}",
        error.why()
    );
    assert!(
        !snapshot(directory.path())
            .keys()
            .any(|path| path.to_string_lossy().contains("/.d"))
    );
}

#[test]
fn competing_starts_end_with_one_consistent_set() {
    for _ in 0..5 {
        let directory = tempfile::tempdir().unwrap();
        let request = request_in(directory.path());
        let run = || apply(&request, &names(), NOW).unwrap().written.len();
        let written: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        // One made all of it, and the others found it made.
        assert_eq!(written.iter().sum::<usize>(), 8, "{written:?}");
        assert!(written.contains(&8), "{written:?}");
        assert!(apply(&request, &names(), NOW).unwrap().written.is_empty());
    }
}

#[test]
fn a_lock_that_is_never_released_is_waited_for_with_a_deadline() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Dir::open(directory.path()).unwrap().reopen().unwrap();
    let holder = open();
    assert!(files::lock::take(&holder, Share::Nobody).unwrap());
    let found = lock(&open(), Duration::from_millis(20));
    assert!(matches!(found, Lock::Busy), "{found:?}");
    // Whoever can read the directory can do that: it keeps nobody from starting.
    let outcome = apply(&request_in(directory.path()), &names(), NOW).unwrap();
    assert_eq!(outcome.written, Item::ALL);
    drop(holder);
    assert!(matches!(lock(&open(), Duration::ZERO), Lock::Held));
}

#[test]
fn what_cannot_be_locked_is_told() {
    // A descriptor that is only a name cannot be locked, as on some network file systems.
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let path_only = rustix::fs::open("/", flags, Mode::empty()).unwrap();
    let found = lock(&path_only, Duration::ZERO);
    let Lock::Unavailable(error) = found else {
        panic!("{found:?}")
    };
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
}
