//! The files of a TLS client, which the daemon's container writes.

use std::cell::OnceCell;
use std::path::PathBuf;

use dind_init::client::credentials::Credentials;
use dind_init::client::endpoint::{Identity, TlsFiles};
use dind_init::explain::{Explain, one_line};

use super::shape;

/// `ca.pem`, `cert.pem` and `key.pem`.
pub fn check(bytes: &[u8]) {
    let [ca, cert, key] = shape::files(bytes);
    let files = in_place([ca, cert, key]);
    let alone = TlsFiles {
        identity: None,
        ..files.clone()
    };
    let both = Credentials::load(&files);
    let trusted = Credentials::load(&alone);
    if let Ok(credentials) = &both {
        let again = Credentials::load(&files).expect("what it was");
        assert!(credentials.same_files(&again));
        // A key and a certificate change nothing about whom we trust.
        assert!(trusted.is_ok() && !credentials.same_files(trusted.as_ref().expect("read")));
    }
    for error in [both.err(), trusted.err()].into_iter().flatten() {
        shape::said(&one_line(&error as &dyn Explain), 1000);
    }
}

/// Files of this process alone, written anew each time.
fn in_place(contents: [&[u8]; 3]) -> TlsFiles {
    thread_local!(static FILES: OnceCell<[PathBuf; 3]> = const { OnceCell::new() });
    let paths = FILES.with(|files| {
        let directory = || {
            let name = format!("dind-init-fuzz-{}", std::process::id());
            let directory = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&directory).expect("a directory");
            ["ca.pem", "cert.pem", "key.pem"].map(|name| directory.join(name))
        };
        files.get_or_init(directory).clone()
    });
    for (path, content) in paths.iter().zip(contents) {
        std::fs::write(path, content).expect("a file");
    }
    let [ca, cert, key] = paths;
    TlsFiles {
        ca,
        identity: Some(Identity { cert, key }),
    }
}
