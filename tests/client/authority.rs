//! Certificates for the tests: a CA as the daemon's container makes it, and what it signs.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// An RSA key in the form of openssl 1.1 (PKCS#1), made for these tests only.
pub(crate) const RSA_PKCS1: &str = include_str!("rsa-pkcs1.pem");
/// The same key as PKCS#8.
pub(crate) const RSA_PKCS8: &str = include_str!("rsa-pkcs8.pem");

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    /// Always the same name, as each start of the official image has it.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "docker:dind CA");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn server(&self, names: &[&str]) -> Pair {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        self.sign(
            CertificateParams::new(names).unwrap(),
            &KeyPair::generate().unwrap(),
        )
    }

    pub(crate) fn expired_server(&self, name: &str) -> Pair {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(params, &KeyPair::generate().unwrap())
    }

    pub(crate) fn client(&self) -> Pair {
        self.client_with(&KeyPair::generate().unwrap())
    }

    pub(crate) fn client_with(&self, key: &KeyPair) -> Pair {
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, key)
    }

    fn sign(&self, mut params: CertificateParams, key: &KeyPair) -> Pair {
        params
            .distinguished_name
            .push(DnType::CommonName, "docker:dind");
        Pair {
            cert: params.signed_by(key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// `ca.pem`, `cert.pem` and `key.pem` for a client, as the daemon's container leaves them.
    pub(crate) fn write_client(&self, dir: &Path) {
        write_files(dir, &self.pem(), &self.client());
    }
}

pub(crate) fn write_files(dir: &Path, ca: &str, client: &Pair) {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("ca.pem"), ca).unwrap();
    fs::write(dir.join("cert.pem"), &client.cert).unwrap();
    fs::write(dir.join("key.pem"), &client.key).unwrap();
}

/// The configuration of `dockerd --tlsverify`: clients show a certificate of that CA.
pub(crate) fn server_config(pair: &Pair, client_ca: &Authority) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(client_ca.0.der().clone()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap(),
        )
        .unwrap();
    Arc::new(config)
}
