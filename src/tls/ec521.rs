//! ECDSA on the curve P-521, which the cryptography of our TLS library lacks and Go's has.
//!
//! Only the arithmetic of the curve is from elsewhere: hashes stay with that library, and what a
//! signature is computed over never depends on a random number (RFC 6979).

use std::fmt;

use p521::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use p521::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use ring::digest::{self, Algorithm, SHA256, SHA384, SHA512};
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};

use super::der::{self, CONTEXT_1, OCTET_STRING, SEQUENCE};

/// Bytes of a secret number and of a coordinate.
const WIDTH: usize = 66;
/// First byte of a point whose two coordinates are there; Go and our TLS library take no other.
const UNCOMPRESSED: u8 = 4;

/// Checks signatures by keys on this curve, made with one hash.
#[derive(Debug)]
pub struct Verifier {
    hash: &'static Algorithm,
    signature: AlgorithmIdentifier,
}

/// With SHA-256, SHA-384 and SHA-512: all that Go accepts. The curve does not decide the hash;
/// openssl takes SHA-256 where nobody says another.
pub static VERIFIERS: [Verifier; 3] = [
    Verifier {
        hash: &SHA256,
        signature: alg_id::ECDSA_SHA256,
    },
    Verifier {
        hash: &SHA384,
        signature: alg_id::ECDSA_SHA384,
    },
    Verifier {
        hash: &SHA512,
        signature: alg_id::ECDSA_SHA512,
    },
];

impl Verifier {
    /// The one for a signature algorithm, by its object identifier (without tag and length).
    pub(super) fn of(identifier: &[u8]) -> Option<&'static Self> {
        let named = |known: &&Self| known.signature.get(2..) == Some(identifier);
        VERIFIERS.iter().find(named)
    }
}

impl SignatureVerificationAlgorithm for Verifier {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        if public_key.first() != Some(&UNCOMPRESSED) {
            return Err(InvalidSignature);
        }
        let key = VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = DerSignature::from_bytes(signature).map_err(|_| InvalidSignature)?;
        let hash = digest::digest(self.hash, message);
        key.verify_prehash(hash.as_ref(), &signature)
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P521
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

/// A private key on this curve.
#[derive(Clone)]
pub struct SecretKey {
    key: SigningKey,
    point: Vec<u8>,
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(P-521, [redacted])")
    }
}

impl SecretKey {
    /// Of a SEC1 structure, with or without the public half.
    pub(super) fn from_sec1(sec1: &[u8]) -> Result<Self, &'static str> {
        const FORM: &str = "not an EC key";
        let parts = der::elements(sec1).ok_or(FORM)?;
        let [_version, secret, others @ ..] = parts.as_slice() else {
            return Err(FORM);
        };
        let secret = der::content(OCTET_STRING, secret).ok_or(FORM)?;
        // Some programs leave zeros out that stand in front.
        let mut padded = [0; WIDTH];
        let (_, place) = WIDTH
            .checked_sub(secret.len())
            .and_then(|zeros| padded.split_at_mut_checked(zeros))
            .ok_or("its secret number is too long")?;
        place.copy_from_slice(secret);
        let key = SigningKey::from_slice(&padded).map_err(|_| "its secret number is none")?;
        let point = key.verifying_key().to_sec1_point(false).as_bytes().to_vec();
        let stated = others.iter().find_map(|part| der::content(CONTEXT_1, part));
        if stated.is_some_and(|stated| stated != der::bit_string(&point)) {
            return Err("its public half belongs to another key");
        }
        Ok(Self { key, point })
    }

    /// The public half, as it stands in a SubjectPublicKeyInfo.
    pub(super) fn point(&self) -> &[u8] {
        &self.point
    }

    /// The public half as SubjectPublicKeyInfo.
    #[must_use]
    pub fn public(&self) -> Vec<u8> {
        let algorithm = der::element(SEQUENCE, &alg_id::ECDSA_P521);
        der::sequence(&[&algorithm, &der::bit_string(&self.point)])
    }

    /// What a certificate says about a signature of [`Self::sign`].
    pub(super) fn algorithm() -> Vec<u8> {
        der::element(SEQUENCE, &alg_id::ECDSA_SHA512)
    }

    /// Signs with SHA-512; `None` does not happen with a number that a hash gave.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let hash = digest::digest(&SHA512, message);
        let signature: DerSignature = self.key.sign_prehash(hash.as_ref()).ok()?;
        Some(signature.as_bytes().to_vec())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::tls::PrivateKey;

    /// A key on the curve, as openssl writes it (SEC1).
    pub(crate) const PEM: &str = "-----BEGIN EC PRIVATE KEY-----
MIHcAgEBBEIBdHo3h60t6brtd3eb/U6RNvTTZ6oyctOiOgiRg8ONBwZ4yF6a+gaq
iHCovGU7rhQiVoO/xwR/2T566y16S3jHVbGgBwYFK4EEACOhgYkDgYYABABGbzvh
WWTcxD+A3Qd9ut5FtOTE8IYs4crGtga09TFdVpigikGCB6KU0iiJpAsZXGWs3yBx
9clS2pRMDP3uSqqIRAG3giX09BYtQs/ZfHFJ5hsxaORLyyCCLFJvZWUTAPtA7vvM
1PBEcw7XJzX9ZvFsuj68mTBy1KCmHln+CWdJ6CdL6w==
-----END EC PRIVATE KEY-----
";

    fn key() -> SecretKey {
        let key = PrivateKey::from_pem(PEM.as_bytes()).unwrap();
        assert_eq!(key.kind(), "EC P-521");
        key.p521().unwrap().clone()
    }

    fn verifies(hash: usize, message: &[u8], signature: &[u8]) -> bool {
        let verified = VERIFIERS[hash].verify_signature(key().point(), message, signature);
        verified.is_ok()
    }

    /// Made by `openssl dgst -sign`, of the word `message`: each hash, also those that are shorter
    /// than the curve's numbers.
    #[test]
    fn signatures_of_openssl_are_good_with_their_hash_only() {
        let signatures = [
            "3081870242010c2954853f4747aef44518d0265f86849f1b0c569b1b8378d3ecb4f6b1834071bcc6\
             c360146efb7ca63d4033fe4db5bdc61a5828e85b25ead0af72ab0a4fb38b810241550dfd31da46ea\
             26a0a76b01d29f765fa86748a0b841859ea7c0c2118e62fd8d488ab24d55c93390b46ea5b1b673bc\
             b79a9ed3e0e57043dacf762d295d173de14b",
            "3081880242015a41f8a7f922ae92104be453a16fdeed1070fb28e3d8a0d06e0fa3449c597948c2c5\
             c4d6a4dfdd44eec7344a7abc2ee410d227e683c1668f8973411bdd0da3c4a40242010ae2361da4a2\
             209928bd51bdb3a4ffed27da4abf6817635d638db7fe6faab74eb62f36b151e69c9787526ea69486\
             fd3c28792a70e3744cd474384d2bc2050c1d58",
            "30818802420127b673af868fa4cd6ff9a39efff5f20932903c1b9ffe46662cd9328bdbcf11b4fa60\
             8215bc97b873efd585651d348033f9bd24a43f13f6f7fe5af534acbc9acd800242013c97985d6434\
             69278cf79164d508c807f1190ef57f9553bc6fc8bdc099653238ee3b60830e41df5a901a1ba1d1d9\
             b88eab692a47110b7bd1114c016a1b64cc2803",
        ];
        for (made, signature) in signatures.iter().enumerate() {
            let signature = bytes(signature);
            for hash in 0..3 {
                assert_eq!(verifies(hash, b"message", &signature), hash == made);
            }
            assert!(!verifies(made, b"massage", &signature));
        }
    }

    #[test]
    fn what_is_signed_verifies_and_nothing_else_does() {
        let mut signature = key().sign(b"message").unwrap();
        assert!(verifies(2, b"message", &signature) && !verifies(2, b"", &signature));
        *signature.last_mut().unwrap() ^= 1;
        assert!(!verifies(2, b"message", &signature) && !verifies(2, b"message", &[]));
    }

    #[test]
    fn a_short_secret_number_is_a_small_one() {
        let sec1 = |secret: &[u8]| {
            let version = der::element(der::INTEGER, &[1]);
            der::sequence(&[&version, &der::element(OCTET_STRING, secret)])
        };
        let mut long = [0; WIDTH];
        long[WIDTH - 1] = 7;
        let [short, long] = [&[7][..], &long].map(|secret| SecretKey::from_sec1(&sec1(secret)));
        assert_eq!(short.unwrap().public(), long.unwrap().public());
        for none in [&[][..], &[0; WIDTH], &[255; WIDTH], &[1; WIDTH + 1]] {
            assert!(SecretKey::from_sec1(&sec1(none)).is_err(), "{none:?}");
        }
    }

    #[test]
    fn a_public_half_of_another_key_is_damage() {
        let mut point = key().point().to_vec();
        *point.last_mut().unwrap() ^= 1;
        let version = der::element(der::INTEGER, &[1]);
        let stated = der::element(CONTEXT_1, &der::bit_string(&point));
        let sec1 = der::sequence(&[&version, &der::element(OCTET_STRING, &[7]), &stated]);
        assert!(SecretKey::from_sec1(&sec1).is_err());
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digit).collect()
    }
}
