//! Which daemons are trusted, where webpki alone would say otherwise than the docker CLI.

use std::path::Path;
use std::sync::Arc;

use dind_init::base::explain;
use dind_init::client::ping::{PingError, TlsReason, ping};
use dind_init::client::trust::Distrust;
use dind_init::net::deadline::Deadline;
use dind_init::net::resolve::Resolver;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::authority::{Authority, Pair};
use crate::server::{self, PONG, answers};
use crate::{LONG, secure};

fn params(name: &str, is_ca: IsCa) -> CertificateParams {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = is_ca;
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

const CA: IsCa = IsCa::Ca(BasicConstraints::Unconstrained);

/// A certificate that signs itself.
fn lone(params: CertificateParams) -> Pair {
    let key = KeyPair::generate().unwrap();
    Pair {
        cert: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

/// A server certificate that this one signs, whatever it may do.
fn below(issuer: &CertificateParams, by: &Pair) -> Pair {
    let (key, signer) = (
        KeyPair::generate().unwrap(),
        KeyPair::from_pem(&by.key).unwrap(),
    );
    let signed = params("server", IsCa::NoCa)
        .signed_by(&key, &Issuer::from_params(issuer, &signer))
        .unwrap();
    Pair {
        cert: signed.pem(),
        key: key.serialize_pem(),
    }
}

/// Asks a daemon that shows this, with that in ca.pem; nothing is wrong with the client's side.
fn asked(shown: &Pair, anchors: &str, host: &str) -> Result<(), TlsReason> {
    let dir = tempfile::tempdir().unwrap();
    Authority::new().write_client(dir.path());
    std::fs::write(dir.path().join("ca.pem"), anchors).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(shown.cert.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap(),
        )
        .unwrap();
    let (address, _) = server::tls(Arc::new(config), answers(PONG));
    once(&format!("tcp://{host}:{}", address.port()), dir.path())
}

fn once(address: &str, dir: &Path) -> Result<(), TlsReason> {
    let endpoint = secure(address, dir);
    match ping(&endpoint, &Resolver::default(), &mut Deadline::new(LONG)) {
        Ok(_) => Ok(()),
        Err(PingError::Tls { at, source }) => {
            let reason = source.reason.clone();
            let text = explain::frame(&PingError::Tls { at, source });
            // Nothing of the library's own texts, which are for programmers.
            for word in ["Other", "Context", "{", "invalid peer"] {
                assert!(!text.contains(word), "{word} in {text}");
            }
            Err(reason)
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn a_certificate_of_ca_pem_is_trusted_as_it_is() {
    for is_ca in [CA, IsCa::NoCa, IsCa::ExplicitNoCa] {
        let pair = lone(params("lone", is_ca));
        assert_eq!(asked(&pair, &pair.cert, "127.0.0.1"), Ok(()));
        let others = format!("{}{}", Authority::new().pem(), pair.cert);
        assert_eq!(asked(&pair, &others, "127.0.0.1"), Ok(()));
        let wrong = asked(&pair, &pair.cert, "localhost");
        assert!(
            matches!(wrong, Err(TlsReason::NameMismatch { .. })),
            "{wrong:?}"
        );
        let stranger = asked(&pair, &Authority::new().pem(), "127.0.0.1");
        assert!(
            matches!(
                stranger,
                Err(TlsReason::UnknownAuthority | TlsReason::Other(_))
            ),
            "{stranger:?}"
        );
    }
    let mut old = params("lone", CA);
    old.not_before = date_time_ymd(2019, 1, 1);
    old.not_after = date_time_ymd(2020, 1, 1);
    let pair = lone(old);
    let expired = asked(&pair, &pair.cert, "127.0.0.1");
    assert_eq!(expired, Err(TlsReason::Expired));
}

#[test]
fn a_ca_whose_life_is_over_vouches_for_nobody() {
    let mut old = params("old CA", CA);
    old.not_before = date_time_ymd(2019, 1, 1);
    old.not_after = date_time_ymd(2020, 1, 1);
    let ca = lone(old.clone());
    let found = asked(&below(&old, &ca), &ca.cert, "127.0.0.1");
    assert!(
        matches!(&found, Err(TlsReason::Distrusted(Distrust::Dates { dates, .. }))
            if dates == "expired on 2020-01-01"),
        "{found:?}"
    );
}

#[test]
fn what_is_no_ca_has_issued_nothing() {
    let no_ca = params("no CA", IsCa::ExplicitNoCa);
    let issuer = lone(no_ca.clone());
    let found = asked(&below(&no_ca, &issuer), &issuer.cert, "127.0.0.1");
    assert!(
        matches!(
            &found,
            Err(TlsReason::Distrusted(Distrust::NoAuthority { .. }))
        ),
        "{found:?}"
    );
    let fine = params("CA", CA);
    let issuer = lone(fine.clone());
    let found = asked(&below(&fine, &issuer), &issuer.cert, "127.0.0.1");
    assert_eq!(found, Ok(()));
}
