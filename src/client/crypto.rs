//! The cryptography of our TLS client: ring's, and the curve P-521, which ring lacks and the
//! docker CLI (Go) takes.

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, KeyProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{
    PrivateKeyDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, alg_id,
};
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};

use crate::tls::{PrivateKey, SecretKey, VERIFIERS};

/// A way to check signatures, as the TLS library keeps lists of them.
type Verifier = &'static dyn SignatureVerificationAlgorithm;

/// The TLS library's own provider, with this curve.
pub(super) fn provider() -> CryptoProvider {
    let own = rustls::crypto::ring::default_provider();
    CryptoProvider {
        signature_verification_algorithms: *ALGORITHMS,
        key_provider: &Keys,
        ..own
    }
}

/// Made once and never freed: the library wants lists that live for good.
static ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> = LazyLock::new(|| {
    let own = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let all = own.all.iter().copied().chain(VERIFIERS.iter().map(erased));
    // In TLS 1.2 a scheme names the hash and not the curve, so these stand behind the library's.
    let known = own.mapping.iter().map(|(scheme, list)| {
        let more = added_to(*scheme);
        (*scheme, leaked(list.iter().copied().chain(more)))
    });
    // Last, since servers take the first that they can: one with another curve and TLS 1.2 could
    // choose its hash, which our library checks on no other curve.
    let last = (
        SignatureScheme::ECDSA_NISTP521_SHA512,
        leaked(
            VERIFIERS
                .iter()
                .map(erased)
                .filter(|one| one.signature_alg_id() == alg_id::ECDSA_SHA512),
        ),
    );
    WebPkiSupportedAlgorithms {
        all: leaked(all),
        mapping: leaked(known.chain([last])),
    }
});

fn erased(one: &'static crate::tls::Verifier) -> Verifier {
    one
}

fn leaked<T>(list: impl Iterator<Item = T>) -> &'static [T] {
    Vec::leak(list.collect())
}

fn added_to(scheme: SignatureScheme) -> impl Iterator<Item = Verifier> {
    let hash = match scheme {
        SignatureScheme::ECDSA_NISTP256_SHA256 => Some(alg_id::ECDSA_SHA256),
        SignatureScheme::ECDSA_NISTP384_SHA384 => Some(alg_id::ECDSA_SHA384),
        _ => None,
    };
    VERIFIERS
        .iter()
        .map(erased)
        .filter(move |one| Some(one.signature_alg_id()) == hash)
}

/// Reads the keys that the library reads, and those on the curve.
#[derive(Debug)]
struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, der: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        if let Ok(key) = PrivateKey::from_der(&der)
            && let Some(secret) = key.p521()
        {
            return Ok(Arc::new(Key(secret.clone())));
        }
        let own = rustls::crypto::ring::default_provider().key_provider;
        own.load_private_key(der)
    }
}

/// A client's key on the curve; TLS 1.3 has one kind of signature for it.
#[derive(Debug, Clone)]
struct Key(SecretKey);

const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP521_SHA512;

impl SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&SCHEME)
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.0.public().into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.0.sign(message);
        signature.ok_or_else(|| Error::General("signing failed".into()))
    }

    fn scheme(&self) -> SignatureScheme {
        SCHEME
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;

    use super::*;
    use crate::tls::P521_PEM;

    #[test]
    fn a_client_key_on_the_curve_signs_what_our_own_list_verifies() {
        let der = PrivateKeyDer::from_pem_slice(P521_PEM.as_bytes()).unwrap();
        let provider = provider();
        let key = provider.key_provider.load_private_key(der).unwrap();
        let others = [SignatureScheme::ECDSA_NISTP256_SHA256];
        assert!(key.choose_scheme(&others).is_none());
        let signer = key.choose_scheme(&[others[0], SCHEME]).unwrap();
        let signature = signer.sign(b"message").unwrap();
        let public = key.public_key().unwrap();
        // The point is what the structure ends with.
        let point = &public[public.len() - 133..];
        let lists = provider.signature_verification_algorithms.mapping;
        let (_, list) = lists.iter().find(|(scheme, _)| *scheme == SCHEME).unwrap();
        assert_eq!(list.len(), 1, "TLS 1.3 takes the first");
        assert!(
            list[0]
                .verify_signature(point, b"message", &signature)
                .is_ok()
        );
        assert!(
            list[0]
                .verify_signature(point, b"another", &signature)
                .is_err()
        );
    }

    #[test]
    fn the_curve_stands_behind_what_the_library_has() {
        let own = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        let ours = provider().signature_verification_algorithms;
        let (last, rest) = ours.mapping.split_last().unwrap();
        assert_eq!((last.0, rest.len()), (SCHEME, own.mapping.len()));
        for ((scheme, ours), (_, own)) in rest.iter().zip(own.mapping) {
            let more = usize::from(format!("{scheme:?}").starts_with("ECDSA"));
            assert_eq!(ours.len(), own.len() + more, "{scheme:?}");
            assert_eq!(ours[0].signature_alg_id(), own[0].signature_alg_id());
        }
        assert_eq!(ours.all.len(), own.all.len() + 3);
    }
}
