//! Why a TLS connection failed, in the few kinds that have different fixes. Pure.

use rustls::{AlertDescription, CertificateError, Error};

/// A TLS failure and what it means.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", reason.words())]
pub struct TlsFailure {
    /// The kind.
    pub reason: TlsReason,
    /// The library's own words.
    pub source: Error,
}

/// The kinds of TLS failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsReason {
    /// The server does not take our certificate, or wants one and got none.
    ClientRefused {
        /// Its alert.
        alert: String,
    },
    /// The server's certificate has expired.
    Expired,
    /// The server's certificate is for other names.
    NameMismatch {
        /// The names that it is for.
        presented: Vec<String>,
    },
    /// What answers does not speak TLS.
    NotTls,
    /// The server's certificate is not valid yet: one of the clocks is wrong.
    NotYetValid,
    /// Anything else.
    Other,
    /// The server's certificate was not signed by our CA.
    UnknownAuthority,
}

impl TlsReason {
    fn words(&self) -> &'static str {
        match self {
            Self::ClientRefused { .. } => "the client certificate was refused",
            Self::Expired => "the server certificate has expired",
            Self::NameMismatch { .. } => "the server certificate is for another name",
            Self::NotTls => "the answer is not TLS",
            Self::NotYetValid => "the server certificate is not valid yet",
            Self::Other => "the handshake failed",
            Self::UnknownAuthority => "the server certificate is not signed by this CA",
        }
    }
}

impl From<Error> for TlsFailure {
    fn from(source: Error) -> Self {
        let reason = match &source {
            Error::AlertReceived(alert) if is_about_our_certificate(*alert) => {
                TlsReason::ClientRefused {
                    alert: format!("{alert:?}"),
                }
            }
            Error::InvalidCertificate(error) => certificate(error),
            Error::InvalidMessage(_) => TlsReason::NotTls,
            _ => TlsReason::Other,
        };
        Self { reason, source }
    }
}

fn certificate(error: &CertificateError) -> TlsReason {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsReason::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TlsReason::NotYetValid
        }
        CertificateError::NotValidForName => TlsReason::NameMismatch {
            presented: Vec::new(),
        },
        CertificateError::NotValidForNameContext { presented, .. } => TlsReason::NameMismatch {
            presented: presented.iter().map(|name| plain_name(name)).collect(),
        },
        // A CA that was made again has the old one's name but another key: its signature is bad.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            TlsReason::UnknownAuthority
        }
        _ => TlsReason::Other,
    }
}

/// `DnsName("docker")` and `IpAddress(10.0.0.1)` without the wrapping.
fn plain_name(text: &str) -> String {
    text.split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'))
        .unwrap_or(text)
        .trim_matches('"')
        .to_owned()
}

fn is_about_our_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::NoCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate
    )
}
