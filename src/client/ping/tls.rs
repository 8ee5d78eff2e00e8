//! Why a TLS connection failed, in the few kinds that have different fixes. Pure.
//!
//! The TLS library's own errors are for programmers: none of their texts is shown.

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use crate::client::trust::Distrust;

/// A TLS failure and what it means.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", reason.words())]
pub struct TlsFailure {
    pub reason: TlsReason,
    pub error: Error,
}

/// The kinds of TLS failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsReason {
    /// The server does not take our certificate, or wants one and got none.
    ClientRefused { alert: String },
    /// What our CA says about the server cannot be believed.
    Distrusted(Distrust),
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
    /// No version, cipher or kind of key that both sides have.
    NothingInCommon,
    /// Anything else, in words.
    Other(String),
    /// The server's certificate was not signed by our CA.
    UnknownAuthority,
}

impl TlsReason {
    fn words(&self) -> &'static str {
        match self {
            Self::ClientRefused { .. } => "the client certificate was refused",
            Self::Distrusted(_) => "the server certificate cannot be trusted",
            Self::Expired => "the server certificate has expired",
            Self::NameMismatch { .. } => "the server certificate is for another name",
            Self::NotTls => "the answer is not TLS",
            Self::NotYetValid => "the server certificate is not valid yet",
            Self::NothingInCommon | Self::Other(_) => "the handshake failed",
            Self::UnknownAuthority => "the server certificate is not signed by this CA",
        }
    }
}

impl From<Error> for TlsFailure {
    fn from(error: Error) -> Self {
        let reason = match &error {
            Error::AlertReceived(alert) => alert_received(*alert),
            Error::InvalidCertificate(error) => certificate(error),
            Error::InvalidMessage(_) => TlsReason::NotTls,
            Error::PeerIncompatible(problem) => incompatible(problem),
            Error::PeerMisbehaved(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. } => {
                TlsReason::Other("the server does not keep to the protocol".into())
            }
            Error::NoCertificatesPresented => {
                TlsReason::Other("the server shows no certificate".into())
            }
            Error::FailedToGetRandomBytes => TlsReason::Other("there are no random numbers".into()),
            Error::FailedToGetCurrentTime => TlsReason::Other("the clock cannot be read".into()),
            Error::DecryptError => TlsReason::Other("a message was damaged on its way".into()),
            _ => TlsReason::Other("the two sides do not agree about TLS".into()),
        };
        Self { reason, error }
    }
}

fn alert_received(alert: AlertDescription) -> TlsReason {
    if is_about_our_certificate(alert) {
        return TlsReason::ClientRefused {
            alert: name(alert).into(),
        };
    }
    match alert {
        AlertDescription::HandshakeFailure
        | AlertDescription::ProtocolVersion
        | AlertDescription::InsufficientSecurity => TlsReason::NothingInCommon,
        other => TlsReason::Other(format!(
            "the server ended it with the alert {}",
            name(other)
        )),
    }
}

fn incompatible(problem: &PeerIncompatible) -> TlsReason {
    match problem {
        PeerIncompatible::ServerSentHelloRetryRequestWithUnknownExtension => {
            TlsReason::Other("the server asks for an unknown extension".into())
        }
        _ => TlsReason::NothingInCommon,
    }
}

/// The names of RFC 8446 and RFC 5246.
fn name(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::AccessDenied => "access_denied",
        AlertDescription::BadCertificate => "bad_certificate",
        AlertDescription::CertificateExpired => "certificate_expired",
        AlertDescription::CertificateRequired => "certificate_required",
        AlertDescription::CertificateRevoked => "certificate_revoked",
        AlertDescription::CertificateUnknown => "certificate_unknown",
        AlertDescription::CloseNotify => "close_notify",
        AlertDescription::DecodeError => "decode_error",
        AlertDescription::DecryptError => "decrypt_error",
        AlertDescription::HandshakeFailure => "handshake_failure",
        AlertDescription::IllegalParameter => "illegal_parameter",
        AlertDescription::InternalError => "internal_error",
        AlertDescription::NoCertificate => "no_certificate",
        AlertDescription::ProtocolVersion => "protocol_version",
        AlertDescription::UnexpectedMessage => "unexpected_message",
        AlertDescription::UnknownCA => "unknown_ca",
        AlertDescription::UnrecognisedName => "unrecognized_name",
        AlertDescription::UnsupportedCertificate => "unsupported_certificate",
        _ => "of another kind",
    }
}

fn certificate(error: &CertificateError) -> TlsReason {
    let distrust = |what: &str| TlsReason::Distrusted(Distrust::Unsupported { what: what.into() });
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
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            TlsReason::Distrusted(Distrust::Purpose)
        }
        CertificateError::UnhandledCriticalExtension => {
            distrust("a critical extension of the server's certificate")
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            distrust("a signature of this kind")
        }
        CertificateError::BadEncoding => {
            TlsReason::Other("the server's certificate cannot be read".into())
        }
        CertificateError::Other(other) => match other.0.downcast_ref::<Distrust>() {
            Some(known) => TlsReason::Distrusted(known.clone()),
            None => TlsReason::Other(
                "the server's certificate is of a form that is not accepted here".into(),
            ),
        },
        _ => TlsReason::Other("the server's certificate is not accepted".into()),
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
