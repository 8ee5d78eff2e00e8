//! The files of a TLS client, which the daemon's container writes.

use std::path::Path;

use dind_init::base::explain::{Explain, one_line};
use dind_init::client::credentials::Credentials;
use dind_init::endpoint::{Identity, TlsFiles};

use super::shape;

/// `ca.pem`, `cert.pem` and `key.pem`.
pub fn check(bytes: &[u8]) {
    let [ca, cert, key] = shape::files(bytes);
    let directory = std::env::temp_dir().join(format!("dind-init-fuzz-{}", std::process::id()));
    let files = in_place(&directory, [ca, cert, key]);
    let alone = TlsFiles {
        identity: None,
        ..files.clone()
    };
    let both = Credentials::load(&files);
    let trusted = Credentials::load(&alone);
    let again = Credentials::load(&files);
    std::fs::remove_dir_all(&directory).expect("our own directory");
    if let Ok(credentials) = &both {
        assert!(again.is_ok_and(|again| credentials.same_files(&again)));
        // A key and a certificate change nothing about whom we trust.
        assert!(trusted.is_ok() && !credentials.same_files(trusted.as_ref().expect("read")));
    }
    for error in [both.err(), trusted.err()].into_iter().flatten() {
        shape::said(&one_line(&error as &dyn Explain), 1000);
    }
}

/// Files of this process alone, in a directory that [`check`] takes away.
fn in_place(directory: &Path, contents: [&[u8]; 3]) -> TlsFiles {
    std::fs::create_dir_all(directory).expect("a directory");
    let paths = ["ca.pem", "cert.pem", "key.pem"].map(|name| directory.join(name));
    for (path, content) in paths.iter().zip(contents) {
        std::fs::write(path, content).expect("a file");
    }
    let [ca, cert, key] = paths;
    TlsFiles {
        ca,
        identity: Some(Identity { cert, key }),
    }
}
