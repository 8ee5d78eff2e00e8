//! A certificate that was read: the few facts that decisions need.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rustls::pki_types::SignatureVerificationAlgorithm;
use time::{Duration, OffsetDateTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Version};

use super::ec521::Verifier;
use super::public_key;
use super::san::San;

/// What a certificate says.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The subject for people, e.g. `CN=docker:dind CA`.
    pub subject: String,
    /// The issuer for people.
    pub issuer: String,
    /// Begin of its life.
    pub not_before: OffsetDateTime,
    /// End of its life.
    pub not_after: OffsetDateTime,
    /// The names it is good for.
    pub sans: BTreeSet<San>,
    /// The kind of its key, e.g. `RSA 4096`.
    pub key: String,
    pub(super) der: Vec<u8>,
    pub(super) subject_der: Vec<u8>,
    pub(super) issuer_der: Vec<u8>,
    /// SubjectPublicKeyInfo.
    pub(super) public: Vec<u8>,
    pub(super) key_id: Option<Vec<u8>>,
    /// Says what its key is for, which strict verifiers demand of an authority.
    pub(super) key_usage: bool,
    /// May sign other certificates.
    pub(super) authority: bool,
    /// How many authorities may follow below it.
    pub(super) path_length: Option<u32>,
    pub(super) server: bool,
    pub(super) client: bool,
}

/// What became of checking a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    Bad,
    Good,
    /// An algorithm that this program does not have: neither good nor bad.
    Unknown,
}

impl Certificate {
    /// All certificates of a PEM file, in order; a single one in DER is understood, too.
    ///
    /// # Errors
    /// What is wrong with the first one that cannot be read; no certificate at all is an error.
    pub fn all_from(bytes: &[u8]) -> Result<Vec<Self>, String> {
        if let Ok(certificate) = Self::from_der(bytes) {
            return Ok(vec![certificate]);
        }
        let mut certificates = Vec::new();
        for block in Pem::iter_from_buffer(bytes) {
            let block = block.map_err(|error| error.to_string())?;
            if block.label == "CERTIFICATE" {
                certificates.push(Self::from_der(&block.contents)?);
            }
        }
        if certificates.is_empty() {
            return Err("there is no PEM certificate in it".into());
        }
        Ok(certificates)
    }

    /// The first certificate of a file, which is the one that a server presents as its own.
    ///
    /// # Errors
    /// As [`Certificate::all_from`].
    pub fn first_from(bytes: &[u8]) -> Result<Self, String> {
        let certificates = Self::all_from(bytes)?;
        certificates
            .into_iter()
            .next()
            .ok_or_else(|| "there is no certificate in it".into())
    }

    fn from_der(der: &[u8]) -> Result<Self, String> {
        let (rest, x509) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        if !rest.is_empty() {
            return Err("something follows the certificate".into());
        }
        // Only the inner one is signed. A checker that goes by the outer one alone can be misled.
        if x509.signature_algorithm != x509.tbs_certificate.signature {
            return Err("it names two different signature algorithms".into());
        }
        let mut certificate = Self {
            subject: x509.subject().to_string(),
            issuer: x509.issuer().to_string(),
            not_before: x509.validity().not_before.to_datetime(),
            not_after: x509.validity().not_after.to_datetime(),
            sans: BTreeSet::new(),
            key: public_key::describe(x509.public_key().raw),
            der: der.to_vec(),
            subject_der: x509.subject().as_raw().to_vec(),
            issuer_der: x509.issuer().as_raw().to_vec(),
            public: x509.public_key().raw.to_vec(),
            key_id: None,
            key_usage: false,
            // Version 1 has no extensions: such roots are old, and Go and openssl accept them.
            authority: x509.version() == X509Version::V1,
            path_length: None,
            server: true,
            client: true,
        };
        let mut may_sign = true;
        for extension in x509.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(constraints) => {
                    certificate.authority = constraints.ca;
                    certificate.path_length = constraints.path_len_constraint;
                }
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    certificate.server = usage.server_auth || usage.any;
                    certificate.client = usage.client_auth || usage.any;
                }
                ParsedExtension::KeyUsage(usage) => {
                    certificate.key_usage = true;
                    may_sign = usage.key_cert_sign();
                }
                ParsedExtension::SubjectAlternativeName(names) => {
                    certificate.sans = names.general_names.iter().filter_map(san_of).collect();
                }
                ParsedExtension::SubjectKeyIdentifier(id) => {
                    certificate.key_id = Some(id.0.to_vec());
                }
                _ => {}
            }
        }
        certificate.authority &= may_sign;
        Ok(certificate)
    }

    /// Whether the key behind `public` (a SubjectPublicKeyInfo) signed this certificate.
    pub(super) fn signed_by(&self, public: &[u8]) -> Signature {
        let parsed = X509Certificate::from_der(&self.der).ok();
        let public = SubjectPublicKeyInfo::from_der(public).ok();
        let (Some((_, x509)), Some((_, public))) = (parsed, public) else {
            return Signature::Bad;
        };
        if !public_key::is_checkable(public.raw) {
            return Signature::Unknown;
        }
        match x509.verify_signature(Some(&public)) {
            Ok(()) => Signature::Good,
            Err(X509Error::SignatureUnsupportedAlgorithm) => by_p521(&x509, &public),
            Err(_) => Signature::Bad,
        }
    }

    /// Why its dates do not fit, for people.
    #[must_use]
    pub fn out_of_date(&self, now: OffsetDateTime) -> Option<String> {
        if now > self.not_after {
            Some(format!("expired on {}", self.not_after.date()))
        } else if now < self.not_before {
            Some(format!("not valid before {}", self.not_before.date()))
        } else {
            None
        }
    }

    /// Whether signatures by its key can be checked here; of others nothing can be said.
    #[must_use]
    pub fn is_checkable(&self) -> bool {
        public_key::is_checkable(&self.public)
    }

    /// Whether it may sign other certificates.
    #[must_use]
    pub fn is_authority(&self) -> bool {
        self.authority
    }

    /// Whether a server may show it.
    #[must_use]
    pub fn is_for_servers(&self) -> bool {
        self.server
    }

    /// Whether it names another certificate's subject as its issuer; no signature is checked.
    #[must_use]
    pub fn was_issued_by(&self, issuer: &Self) -> bool {
        self.issuer_der == issuer.subject_der
    }

    /// Whether its key is this one (a SubjectPublicKeyInfo).
    #[must_use]
    pub fn has_key(&self, public: &[u8]) -> bool {
        self.public == public
    }

    /// Whether it is signed with SHA-1, which nobody accepts any more.
    #[must_use]
    pub fn has_sha1_signature(&self) -> bool {
        const SHA1: [&str; 2] = ["1.2.840.113549.1.1.5", "1.2.840.10045.4.1"];
        X509Certificate::from_der(&self.der).is_ok_and(|(_, x509)| {
            SHA1.contains(&x509.signature_algorithm.algorithm.to_id_string().as_str())
        })
    }

    /// Time to renew: a third of its life or less is left.
    pub(super) fn in_last_third(&self, now: OffsetDateTime) -> bool {
        let life: Duration = self.not_after - self.not_before;
        (self.not_after - now) * 3 <= life
    }

    /// Whole days until it ends; negative when it has ended.
    #[must_use]
    pub fn days_left(&self, now: OffsetDateTime) -> i64 {
        (self.not_after - now).whole_days()
    }
}

/// What the library says of no signature on this curve.
fn by_p521(x509: &X509Certificate<'_>, public: &SubjectPublicKeyInfo<'_>) -> Signature {
    let identifier = x509.signature_algorithm.algorithm.as_bytes();
    let Some(verifier) = Verifier::of(identifier).filter(|_| public_key::is_p521(public.raw))
    else {
        return Signature::Unknown;
    };
    let verdict = verifier.verify_signature(
        &public.subject_public_key.data,
        x509.tbs_certificate.as_ref(),
        &x509.signature_value.data,
    );
    match verdict {
        Ok(()) => Signature::Good,
        Err(_) => Signature::Bad,
    }
}

fn san_of(name: &GeneralName<'_>) -> Option<San> {
    match name {
        GeneralName::DNSName(name) => Some(San::Dns(name.to_ascii_lowercase())),
        GeneralName::IPAddress(octets) => {
            let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from))
                .ok()
                .map(San::Address)
        }
        GeneralName::RFC822Name(name) => Some(San::Email((*name).to_owned())),
        GeneralName::URI(uri) => Some(San::Uri((*uri).to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tls::fixtures::{Authority, NOW};

    #[test]
    fn reads_what_was_written() {
        let ca = Authority::new("docker:dind CA");
        let parsed = &Certificate::all_from(ca.pem.as_bytes()).unwrap()[0];
        assert_eq!(parsed.subject, "CN=docker:dind CA");
        assert!(parsed.authority);
        assert_eq!(parsed.signed_by(&parsed.public), Signature::Good);
        let other = Authority::new("docker:dind CA").public();
        assert_eq!(parsed.signed_by(&other), Signature::Bad);
        assert_eq!(
            Certificate::all_from(&parsed.der).unwrap()[0].subject,
            parsed.subject
        );
    }

    #[test]
    fn the_last_third_begins_at_one_third_exactly() {
        let ca = Authority::new("x");
        let mut parsed = Certificate::first_from(ca.pem.as_bytes()).unwrap();
        parsed.not_before = NOW;
        parsed.not_after = NOW + Duration::days(9);
        assert!(!parsed.in_last_third(NOW + Duration::days(6) - Duration::SECOND));
        assert!(parsed.in_last_third(NOW + Duration::days(6)));
        assert!(parsed.out_of_date(NOW + Duration::days(9)).is_none());
        assert!(
            parsed
                .out_of_date(NOW + Duration::days(9) + Duration::SECOND)
                .is_some()
        );
        assert!(parsed.out_of_date(NOW - Duration::SECOND).is_some());
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Certificate::all_from(&bytes);
            let _ = Certificate::all_from(super::super::der::to_pem("CERTIFICATE", &bytes).as_bytes());
        }

        #[test]
        fn a_flipped_byte_in_the_signed_part_never_verifies(at in 4_usize..200, mask in 1_u8..) {
            let ca = Authority::new("x");
            let mut der = Certificate::first_from(ca.pem.as_bytes()).unwrap().der;
            der[at] ^= mask;
            if let Ok(parsed) = Certificate::from_der(&der) {
                prop_assert_ne!(parsed.signed_by(&ca.public()), Signature::Good);
            }
        }
    }
}
