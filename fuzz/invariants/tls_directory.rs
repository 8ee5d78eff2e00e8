//! A whole directory of certificates, as a stranger may have filled it: there is always a decision,
//! and it is the same each time.

use dind_init::base::explain::{Explain, one_line};
use dind_init::tls::{
    CaFiles, Content, Folder, LeafFiles, Material, Names, Request, StoredFile, Untrusted, decide,
    parse_sans,
};
use time::OffsetDateTime;

use super::shape;

/// 2027-01-15 08:00:00 UTC.
pub(crate) const NOW: OffsetDateTime = match OffsetDateTime::from_unix_timestamp(1_800_000_000) {
    Ok(now) => now,
    Err(_) => panic!("in range"),
};

/// `ca.pem`, `cert.pem` and `key.pem` of the server, `key.pem` and `cert.pem` of the authority.
pub fn check(bytes: &[u8]) {
    let [ca, certificate, key, ca_key, ca_certificate] = shape::files(bytes).map(stored);
    let material = Material {
        root: Folder::Writable,
        ca: CaFiles {
            folder: Folder::Writable,
            key: ca_key,
            certificate: ca_certificate,
        },
        server: LeafFiles {
            folder: Folder::Writable,
            ca,
            key,
            certificate,
        },
        client: LeafFiles::default(),
        open: Vec::new(),
    };
    let request = Request {
        directory: "/certs".into(),
        sans: parse_sans("docker.example").expect("a name"),
        untrusted: Untrusted::Warn,
    };
    let names = Names::of_host("dind", None, Vec::new());
    let decision = decide(&request, &names, &material, NOW);
    let said = match &decision {
        Ok(plan) => plan.lines(),
        Err(refusal) => vec![one_line(refusal as &dyn Explain)],
    };
    said.iter().for_each(|line| shape::said(line, 40_000));
    let again = decide(&request, &names, &material, NOW);
    assert_eq!(format!("{again:?}"), format!("{decision:?}"));
}

fn stored(bytes: &[u8]) -> StoredFile {
    let content = match bytes {
        [] => Content::Missing,
        bytes => Content::Present(bytes.to_vec()),
    };
    StoredFile {
        content,
        mode: Some(0o600),
        stranger: None,
    }
}
