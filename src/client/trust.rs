//! Which server certificates are trusted: those that the docker CLI (Go's crypto/x509) accepts
//! with the same ca.pem, as far as our cryptography reaches.
//!
//! webpki differs from Go in four ways that people meet, and each is made up for here: a
//! certificate of ca.pem that the server itself shows is trusted as it is, also when it says that
//! it is an authority; an authority whose own life is over vouches for nobody; a certificate that
//! is no authority has issued nothing; and what cannot be checked is called that.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use time::OffsetDateTime;

use crate::tls::Certificate;

/// What stands against a certificate, in cases that the TLS library has no words for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// The authority's own dates do not fit.
    #[error("the CA certificate in ca.pem ({subject}) is of no use now: {dates}")]
    Dates {
        subject: String,
        /// `expired on …`, `not valid before …`
        dates: String,
    },
    /// What issued it may not do so.
    #[error("the certificate in ca.pem that issued it ({subject}) is not one of a CA")]
    NoAuthority { subject: String },
    /// A kind of key or signature that this program does not have.
    #[error("{what} cannot be checked here")]
    Unsupported {
        /// For example `a signature by a key of the kind RSA 1024`.
        what: String,
    },
    /// It is not for servers.
    #[error("its extended key usage is not for servers")]
    Purpose,
}

impl From<Distrust> for Error {
    fn from(distrust: Distrust) -> Self {
        CertificateError::Other(OtherError(Arc::new(distrust))).into()
    }
}

/// The verifier: trusts what is in one ca.pem.
#[derive(Debug)]
pub struct Anchors {
    anchors: Vec<(CertificateDer<'static>, Certificate)>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Anchors {
    /// Of the certificates of a ca.pem. Those that cannot be read are passed over, as Go does,
    /// unless there is no other: then it is `None`.
    #[must_use]
    pub fn new(list: Vec<CertificateDer<'static>>, provider: &CryptoProvider) -> Option<Self> {
        let read = |der: CertificateDer<'static>| {
            let facts = Certificate::first_from(&der).ok()?;
            Some((der, facts))
        };
        let anchors: Vec<_> = list.into_iter().filter_map(read).collect();
        (!anchors.is_empty()).then_some(Self {
            anchors,
            algorithms: provider.signature_verification_algorithms,
        })
    }

    /// Whether the server shows a certificate that is in ca.pem.
    fn holds(&self, der: &CertificateDer<'_>) -> bool {
        self.anchors.iter().any(|(anchor, _)| anchor == der)
    }

    /// The anchors that may vouch now, and what is wrong with one that issued this.
    fn usable(
        &self,
        leaf: Option<&Certificate>,
        now: OffsetDateTime,
    ) -> (RootCertStore, Option<Distrust>) {
        let mut roots = RootCertStore::empty();
        let mut distrust = None;
        for (der, facts) in &self.anchors {
            let fault = if let Some(dates) = facts.out_of_date(now) {
                let subject = facts.subject.clone();
                Some(Distrust::Dates { subject, dates })
            } else if facts.is_authority() {
                None
            } else {
                let subject = facts.subject.clone();
                Some(Distrust::NoAuthority { subject })
            };
            match fault {
                // What webpki cannot read is passed over, too.
                None => drop(roots.add(der.clone())),
                Some(fault) if leaf.is_some_and(|leaf| leaf.was_issued_by(facts)) => {
                    distrust = Some(fault);
                }
                Some(_) => {}
            }
        }
        (roots, distrust)
    }

    fn pinned(
        leaf: &Certificate,
        parsed: &ParsedCertificate<'_>,
        name: &ServerName<'_>,
        now: OffsetDateTime,
    ) -> Result<(), Error> {
        match leaf.out_of_date(now) {
            Some(_) if now < leaf.not_before => return Err(CertificateError::NotValidYet.into()),
            Some(_) => return Err(CertificateError::Expired.into()),
            None => {}
        }
        verify_server_name(parsed, name)?;
        if leaf.is_for_servers() {
            Ok(())
        } else {
            Err(Distrust::Purpose.into())
        }
    }

    /// Names the kind of key or signature that the library did not know.
    fn explained(&self, error: Error, leaf: Option<&Certificate>) -> Error {
        let Error::InvalidCertificate(problem) = &error else {
            return error;
        };
        let issued = |facts: &Certificate| leaf.is_some_and(|leaf| leaf.was_issued_by(facts));
        let issuer = self.anchors.iter().find(|(_, facts)| issued(facts));
        match problem {
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {}
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                return Distrust::Purpose.into();
            }
            // Our cryptography calls every signature of an RSA key bad that is too short for it.
            CertificateError::BadSignature | CertificateError::UnknownIssuer
                if issuer.is_some_and(|(_, facts)| !facts.is_checkable()) => {}
            _ => return error,
        }
        let Some(leaf) = leaf else { return error };
        let what = match issuer {
            _ if leaf.has_sha1_signature() => {
                "a signature with SHA-1, which docker does not accept either,".to_owned()
            }
            Some((_, issuer)) => format!("a signature by a key of the kind {}", issuer.key),
            None => "a signature of this kind".to_owned(),
        };
        Distrust::Unsupported { what }.into()
    }
}

impl ServerCertVerifier for Anchors {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let at = OffsetDateTime::from_unix_timestamp(seconds)
            .map_err(|_| Error::FailedToGetCurrentTime)?;
        let leaf = Certificate::first_from(end_entity).ok();
        let parsed = ParsedCertificate::try_from(end_entity)?;
        if self.holds(end_entity)
            && let Some(leaf) = &leaf
        {
            Self::pinned(leaf, &parsed, server_name, at)?;
            return Ok(ServerCertVerified::assertion());
        }
        let (roots, distrust) = self.usable(leaf.as_ref(), at);
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &roots,
            intermediates,
            now,
            self.algorithms.all,
        )
        .map_err(|error| match (error, distrust) {
            (Error::InvalidCertificate(CertificateError::UnknownIssuer), Some(distrust)) => {
                distrust.into()
            }
            (error, _) => self.explained(error, leaf.as_ref()),
        })?;
        verify_server_name(&parsed, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
