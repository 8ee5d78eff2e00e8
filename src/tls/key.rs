//! Private keys as they are found in a volume: PKCS#8, PKCS#1 (openssl 1.1) and SEC1.

use std::fmt;

use rcgen::{KeyPair, PublicKeyData, SignatureAlgorithm};
use rustls::pki_types::PrivateKeyDer;
use x509_parser::pem::Pem;

use super::der::{self, CONTEXT_0, CONTEXT_1, INTEGER, OCTET_STRING};
use super::ec521::SecretKey;
use super::public_key::{self, EC, ED25519, P256, P384, P521, RSA, curve_name};

/// Why the content of a key file is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// Parts of the key contradict each other.
    #[error("the key is damaged: {0}")]
    Damaged(String),
    /// A pass phrase is needed.
    #[error("the key is encrypted")]
    Encrypted,
    /// There is no PEM block of a private key.
    #[error("there is no PEM private key in it")]
    NoKey,
    /// Only the private half is stored, and the public half cannot be computed here.
    #[error("the key ({0}) is stored without its public part")]
    NoPublicPart(String),
    /// The key cannot sign with what this program has.
    #[error("a key of this kind ({kind}) cannot sign here: {reason}")]
    Unsupported {
        /// For example `RSA 4196`.
        kind: String,
        /// The words of the library.
        reason: String,
    },
}

/// A private key that was read, and its public half.
pub struct PrivateKey {
    kind: String,
    pkcs8: Vec<u8>,
    public: Option<Vec<u8>>,
    p521: Option<SecretKey>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, [redacted])", self.kind)
    }
}

impl PrivateKey {
    /// Reads the first private key of a PEM file.
    ///
    /// # Errors
    /// The file holds no key, an encrypted one, or one whose parts do not fit.
    pub fn from_pem(bytes: &[u8]) -> Result<Self, KeyProblem> {
        // The old way to encrypt: headers inside of the block, which no decoder of ours accepts.
        if bytes
            .windows(ENCRYPTED_HEADER.len())
            .any(|window| window == ENCRYPTED_HEADER)
        {
            return Err(KeyProblem::Encrypted);
        }
        for block in Pem::iter_from_buffer(bytes) {
            let block = block.map_err(|error| KeyProblem::Damaged(error.to_string()))?;
            let pkcs8 = match block.label.as_str() {
                "ENCRYPTED PRIVATE KEY" => return Err(KeyProblem::Encrypted),
                "EC PRIVATE KEY" => wrap_sec1(&block.contents).ok_or_else(|| {
                    KeyProblem::Damaged("not an EC key with a named curve".into())
                })?,
                "PRIVATE KEY" => block.contents,
                "RSA PRIVATE KEY" => wrap_pkcs1(&block.contents),
                // `EC PARAMETERS` and certificates may stand before the key.
                _ => continue,
            };
            return Self::from_pkcs8(pkcs8);
        }
        Err(KeyProblem::NoKey)
    }

    /// Reads a key that was taken out of its PEM block.
    ///
    /// # Errors
    /// As [`PrivateKey::from_pem`].
    pub fn from_der(der: &PrivateKeyDer<'_>) -> Result<Self, KeyProblem> {
        let wrapped = match der {
            PrivateKeyDer::Pkcs1(key) => Some(wrap_pkcs1(key.secret_pkcs1_der())),
            PrivateKeyDer::Pkcs8(key) => Some(key.secret_pkcs8_der().to_vec()),
            PrivateKeyDer::Sec1(key) => wrap_sec1(key.secret_sec1_der()),
            _ => None,
        };
        Self::from_pkcs8(wrapped.ok_or(KeyProblem::NoKey)?)
    }

    fn from_pkcs8(pkcs8: Vec<u8>) -> Result<Self, KeyProblem> {
        let mut p521 = None;
        let not_pkcs8 = || KeyProblem::Damaged("not a PKCS#8 structure".into());
        let parts = der::elements(&pkcs8).ok_or_else(not_pkcs8)?;
        let [_version, algorithm, key, ..] = parts.as_slice() else {
            return Err(not_pkcs8());
        };
        let identifiers = der::elements(algorithm).ok_or_else(not_pkcs8)?;
        let key = der::content(OCTET_STRING, key).ok_or_else(not_pkcs8)?;
        let public = match identifiers.as_slice() {
            [RSA, ..] => {
                Some(rsa_public(key).ok_or_else(|| KeyProblem::Damaged("not an RSA key".into()))?)
            }
            [EC, P521] => {
                let secret = SecretKey::from_sec1(key)
                    .map_err(|problem| KeyProblem::Damaged(problem.into()))?;
                Some(p521.insert(secret).public())
            }
            [EC, curve] => {
                let point = ec_point(key);
                if (*curve == P256 || *curve == P384) && point.is_some() {
                    load(&pkcs8).map_err(KeyProblem::Damaged)?;
                }
                point.map(|point| der::sequence(&[algorithm, point]))
            }
            [ED25519, ..] => Some(
                load(&pkcs8)
                    .map_err(KeyProblem::Damaged)?
                    .subject_public_key_info(),
            ),
            _ => None,
        };
        let kind = match (&public, identifiers.as_slice()) {
            (Some(public), _) => public_key::describe(public),
            (None, [EC, curve]) => format!("EC {}", curve_name(curve)),
            (None, _) => "unknown algorithm".into(),
        };
        Ok(Self {
            kind,
            pkcs8,
            public,
            p521,
        })
    }

    /// For people, e.g. `RSA 4096` or `EC P-256`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The public half as SubjectPublicKeyInfo; absent when the file does not tell.
    #[must_use]
    pub fn public(&self) -> Option<&[u8]> {
        self.public.as_deref()
    }

    /// The key on a curve that the TLS library does not know, if it is one.
    #[must_use]
    pub fn p521(&self) -> Option<&SecretKey> {
        self.p521.as_ref()
    }

    /// The key, ready to sign.
    pub(super) fn signer(&self) -> Result<Signer, KeyProblem> {
        if let Some(secret) = &self.p521 {
            return Ok(Signer::P521(secret.clone()));
        }
        load(&self.pkcs8)
            .map(Signer::Library)
            .map_err(|reason| KeyProblem::Unsupported {
                kind: self.kind.clone(),
                reason,
            })
    }
}

/// A key that signs certificates.
pub(super) enum Signer {
    /// Of a kind that the library knows.
    Library(KeyPair),
    /// On the curve that it does not know.
    P521(SecretKey),
}

impl Signer {
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        match self {
            Self::Library(pair) => rcgen::SigningKey::sign(pair, message),
            Self::P521(secret) => secret.sign(message).ok_or(rcgen::Error::RemoteKeyError),
        }
    }

    /// What a certificate says about the key and its signatures, where the library cannot.
    pub(super) fn unknown_to_library(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        match self {
            Self::Library(_) => None,
            Self::P521(secret) => Some((secret.public(), SecretKey::algorithm())),
        }
    }
}

impl PublicKeyData for Signer {
    fn der_bytes(&self) -> &[u8] {
        match self {
            Self::Library(pair) => pair.der_bytes(),
            Self::P521(secret) => secret.point(),
        }
    }

    /// Of a key that the library does not know, that of another: see `unknown_to_library`.
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self {
            Self::Library(pair) => pair.algorithm(),
            Self::P521(_) => &rcgen::PKCS_ECDSA_P384_SHA384,
        }
    }
}

const ENCRYPTED_HEADER: &[u8] = b"Proc-Type: 4,ENCRYPTED";

fn load(pkcs8: &[u8]) -> Result<KeyPair, String> {
    KeyPair::try_from(pkcs8).map_err(|error| error.to_string())
}

/// PKCS#8 around a PKCS#1 key: version 0, rsaEncryption, the key itself.
fn wrap_pkcs1(pkcs1: &[u8]) -> Vec<u8> {
    wrap(&der::sequence(&[RSA, der::NULL]), pkcs1)
}

/// PKCS#8 around a SEC1 key; the curve is taken out of the key.
fn wrap_sec1(sec1: &[u8]) -> Option<Vec<u8>> {
    let parts = der::elements(sec1)?;
    let curve = parts
        .iter()
        .find_map(|part| der::content(CONTEXT_0, part))?;
    Some(wrap(&der::sequence(&[EC, curve]), sec1))
}

fn wrap(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let version = der::element(INTEGER, &[0]);
    der::sequence(&[&version, algorithm, &der::element(OCTET_STRING, key)])
}

/// The public half of a PKCS#1 key: modulus and exponent follow the version.
fn rsa_public(pkcs1: &[u8]) -> Option<Vec<u8>> {
    let parts = der::elements(pkcs1)?;
    let [_version, modulus, exponent, _private, _p, _q, ..] = parts.as_slice() else {
        return None;
    };
    let key = der::sequence(&[modulus, exponent]);
    Some(der::sequence(&[
        &der::sequence(&[RSA, der::NULL]),
        &der::bit_string(&key),
    ]))
}

/// The public point of a SEC1 key, as the bit string that a certificate holds, too.
fn ec_point(sec1: &[u8]) -> Option<&[u8]> {
    der::elements(sec1)?
        .into_iter()
        .find_map(|part| der::content(CONTEXT_1, part))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn generated() -> KeyPair {
        KeyPair::generate().unwrap()
    }

    /// The SEC1 key inside of a generated PKCS#8 key, with the curve that openssl writes into it.
    fn sec1(pair: &KeyPair) -> Vec<u8> {
        let parts = der::elements(pair.serialized_der()).unwrap();
        let inner = der::elements(der::content(OCTET_STRING, parts[2]).unwrap()).unwrap();
        let curve = der::element(CONTEXT_0, P256);
        der::sequence(&[inner[0], inner[1], &curve, inner[2]])
    }

    #[test]
    fn reads_a_key_of_ours() {
        let pair = generated();
        let key = PrivateKey::from_pem(pair.serialize_pem().as_bytes()).unwrap();
        assert_eq!(key.kind(), "EC P-256");
        assert_eq!(
            key.public(),
            Some(pair.subject_public_key_info().as_slice())
        );
        assert_eq!(format!("{key:?}"), "PrivateKey(EC P-256, [redacted])");
    }

    #[test]
    fn wraps_sec1_with_parameters_before_it() {
        let pair = generated();
        let text =
            der::to_pem("EC PARAMETERS", P256) + &der::to_pem("EC PRIVATE KEY", &sec1(&pair));
        let key = PrivateKey::from_pem(text.as_bytes()).unwrap();
        assert_eq!(
            key.public(),
            Some(pair.subject_public_key_info().as_slice())
        );
        assert!(key.signer().is_ok());
    }

    #[test]
    fn reads_ed25519() {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let key = PrivateKey::from_pem(pair.serialize_pem().as_bytes()).unwrap();
        assert_eq!(key.kind(), "Ed25519");
        assert_eq!(
            key.public(),
            Some(pair.subject_public_key_info().as_slice())
        );
    }

    #[test]
    fn tells_encrypted_from_missing_and_damaged() {
        let encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                         DEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        let encrypted_8 = der::to_pem("ENCRYPTED PRIVATE KEY", b"x");
        let certificate = der::to_pem("CERTIFICATE", b"x");
        let rubbish = der::to_pem("PRIVATE KEY", b"rubbish");
        let problem = |text: &str| PrivateKey::from_pem(text.as_bytes()).unwrap_err();
        assert_eq!(problem(encrypted), KeyProblem::Encrypted);
        assert_eq!(problem(&encrypted_8), KeyProblem::Encrypted);
        assert_eq!(problem("hello\n"), KeyProblem::NoKey);
        assert_eq!(problem(&certificate), KeyProblem::NoKey);
        assert!(matches!(problem(&rubbish), KeyProblem::Damaged(_)));
        let torn = "-----BEGIN PRIVATE KEY-----\nAAAA\n";
        assert!(matches!(problem(torn), KeyProblem::Damaged(_)));
    }

    #[test]
    fn a_point_of_another_key_is_damage() {
        let (one, two) = (sec1(&generated()), sec1(&generated()));
        let (one, two) = (der::elements(&one).unwrap(), der::elements(&two).unwrap());
        let mixed = der::sequence(&[one[0], one[1], one[2], two[3]]);
        let text = der::to_pem("EC PRIVATE KEY", &mixed);
        assert!(matches!(
            PrivateKey::from_pem(text.as_bytes()),
            Err(KeyProblem::Damaged(_))
        ));
    }

    proptest! {
        #[test]
        fn reading_never_panics(
            label in prop_oneof![
                Just("PRIVATE KEY"), Just("RSA PRIVATE KEY"), Just("EC PRIVATE KEY"), Just("X"),
            ],
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let _ = PrivateKey::from_pem(&bytes);
            let _ = PrivateKey::from_pem(der::to_pem(label, &bytes).as_bytes());
            let _ = public_key::describe(&bytes);
        }

        #[test]
        fn a_flipped_byte_never_panics(at in 0_usize..138, mask in 1_u8..) {
            let mut bytes = generated().serialize_der();
            bytes[at] ^= mask;
            let _ = PrivateKey::from_pem(der::to_pem("PRIVATE KEY", &bytes).as_bytes());
        }
    }
}
