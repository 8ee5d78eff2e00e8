//! Certificates and keys in a directory that is shared.

use dind_init::tls::{Certificate, PrivateKey};

use super::shape;
use super::tls_directory::NOW;

/// The bytes of a PEM or DER file.
pub fn check(bytes: &[u8]) {
    let all = Certificate::all_from(bytes);
    let first = Certificate::first_from(bytes);
    assert_eq!(all.is_ok(), first.is_ok());
    match &all {
        Err(why) => shape::said(why, 400),
        Ok(all) => {
            assert!(!all.is_empty() && all.len() <= 1 + bytes.len() / 64);
            let same = first.is_ok_and(|first| first.subject == all[0].subject);
            assert!(same, "the first one is the first of all");
        }
    }
    for certificate in all.iter().flatten() {
        let names = certificate.subject.len() + certificate.issuer.len();
        assert!(names <= 8 * bytes.len(), "{names}");
        shape::said(&certificate.key, 40);
        assert!(certificate.days_left(NOW).abs() < 10_000 * 366);
        assert!(certificate.sans.len() <= bytes.len());
    }
    match PrivateKey::from_pem(bytes) {
        Err(why) => shape::said(&why.to_string(), 400),
        Ok(key) => {
            shape::said(key.kind(), 40);
            assert!(
                key.public()
                    .is_none_or(|public| public.len() <= bytes.len() + 100)
            );
            assert!(!format!("{key:?}").contains("PRIVATE"));
        }
    }
}
