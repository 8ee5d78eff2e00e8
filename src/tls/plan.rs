//! The decision as data: what is kept, what is issued, and because of what.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::material::Item;
use super::san::San;
use crate::base::printable;

/// What will be done with the TLS material. `Display` is the dry run: one line a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TlsPlan {
    /// `DOCKER_TLS_CERTDIR`.
    pub directory: PathBuf,
    /// Whose material it is, and what follows from that.
    pub owner: Owner,
    /// What the user should know although nothing stops the start.
    pub notes: Vec<String>,
}

/// Who looks after the certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// We do: there is a key of the authority, or there is nothing yet.
    Us(Box<ManagedPlan>),
    /// The user does: a complete server set without a key of its authority. Nothing is written.
    User {
        /// Subject of the server certificate.
        subject: String,
        /// Whole days until it ends.
        days_left: i64,
    },
}

/// The three sets that we look after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ManagedPlan {
    /// `ca/`
    pub ca: CaPlan,
    /// `server/`
    pub server: LeafPlan,
    /// `client/`
    pub client: LeafPlan,
}

/// The authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaPlan {
    pub key: KeyPlan,
    pub certificate: CertificatePlan,
    /// Its name in the very bytes that it has always had.
    #[serde(skip)]
    pub(super) subject_der: Vec<u8>,
    #[serde(skip)]
    pub(super) key_id: KeyId,
}

/// How the authority is named in the certificates below it, beside its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyId {
    /// Computed from the key.
    Derived,
    /// As it has always been.
    Fixed(Vec<u8>),
    /// Not at all: the kept authority has none.
    Omitted,
}

/// The server's or the client's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeafPlan {
    /// `ca.pem`, a copy of `ca/cert.pem`.
    pub ca: CopyPlan,
    /// `key.pem`
    pub key: KeyPlan,
    /// `cert.pem`
    pub certificate: CertificatePlan,
}

/// What happens with a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPlan {
    /// There is none: a new one on P-256.
    Generate,
    /// Existing keys are never replaced.
    Keep {
        /// For example `RSA 4096`.
        kind: String,
    },
    /// Nothing: there is no certificate for it.
    Without,
}

impl KeyPlan {
    /// The kind of the key, for people.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Generate => "EC P-256",
            Self::Keep { kind } => kind,
            Self::Without => "no key",
        }
    }
}

/// What happens with a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificatePlan {
    /// A new one.
    Issue(Issue),
    /// It is good.
    Keep {
        subject: String,
        /// Whole days until it ends.
        days_left: i64,
    },
    /// There is none, and none can be made; a note says why. Only the client's can be so.
    Without,
}

/// A certificate to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Issue {
    /// Its subject, e.g. `CN=docker:dind server`.
    pub subject: String,
    /// Its names.
    pub sans: Vec<San>,
    /// Begin of its life.
    #[serde(serialize_with = "rfc3339")]
    pub not_before: OffsetDateTime,
    /// End of its life.
    #[serde(serialize_with = "rfc3339")]
    pub not_after: OffsetDateTime,
    /// Why, most important first.
    pub because: Vec<Because>,
}

/// What happens with a copy of the authority's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyPlan {
    /// It is the same already.
    Keep,
    /// It is written; why.
    Write(Because),
}

/// Why something is issued or written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// The certificate of the authority is new, though its key is the same.
    AuthorityRenewed,
    /// It cannot be read as a certificate.
    Damaged,
    /// A copy is not what it should be a copy of.
    Differs,
    KeyIsNew,
    /// A third of its life or less is left.
    LastThird(i64),
    /// It does not say what its key is for. The official image says so since 2025, and verifiers
    /// that are strict demand it.
    LacksKeyUsage,
    /// Names of this host are not in it.
    LacksNames(Vec<San>),
    /// Names that the user asked for are not in it.
    LacksWishedNames(Vec<San>),
    /// No file, or an empty one.
    Missing,
    /// It does not let its owner sign certificates.
    NotAnAuthority,
    /// It belongs to another key.
    OtherKey,
    /// Its dates do not fit.
    OutOfDate(String),
    /// The authority did not sign it.
    NotSignedByCa,
    /// It is not for this end of a connection.
    WrongPurpose,
}

impl Because {
    /// Without a new one TLS cannot work or the user's request is not met; otherwise the old one
    /// still does its duty, and where nothing can be written it stays.
    #[must_use]
    pub fn is_compelling(&self) -> bool {
        !matches!(
            self,
            Self::AuthorityRenewed
                | Self::Differs
                | Self::LacksKeyUsage
                | Self::LacksNames(_)
                | Self::LastThird(_)
        )
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AuthorityRenewed => f.write_str("the CA certificate is re-signed"),
            Self::Damaged => f.write_str("it cannot be read as a certificate"),
            Self::Differs => f.write_str("it differs from ca/cert.pem"),
            Self::KeyIsNew => f.write_str("its key is new"),
            Self::LastThird(days) => write!(f, "only {days} days are left"),
            Self::LacksKeyUsage => f.write_str("it does not say what its key is for"),
            Self::LacksNames(names) => write!(f, "it lacks {}", words(names)),
            Self::LacksWishedNames(names) => {
                write!(f, "it lacks {} of DOCKER_TLS_SAN", words(names))
            }
            Self::Missing => f.write_str("there is none yet"),
            Self::NotAnAuthority => f.write_str("it is not the certificate of an authority"),
            Self::OtherKey => f.write_str("it belongs to another key"),
            Self::OutOfDate(dates) => write!(f, "it is {dates}"),
            Self::NotSignedByCa => f.write_str("it was not signed by the CA"),
            Self::WrongPurpose => f.write_str("its extended key usage is for something else"),
        }
    }
}

impl TlsPlan {
    /// Nothing is to be written.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.writes().is_empty()
    }

    /// What is written and why, one line each.
    #[must_use]
    pub fn changes(&self) -> Vec<String> {
        let changes = |line: &String| line.starts_with("issue") || line.starts_with("copy");
        self.lines().into_iter().filter(changes).collect()
    }

    /// Whether a certificate is there and good once the plan is carried out.
    #[must_use]
    pub fn vouches_for(&self, item: Item) -> bool {
        match &self.owner {
            Owner::User { .. } => item == Item::ServerCertificate,
            Owner::Us(plan) => match item {
                Item::ServerCertificate => plan.server.certificate != CertificatePlan::Without,
                Item::ClientCertificate => plan.client.certificate != CertificatePlan::Without,
                _ => false,
            },
        }
    }

    /// The files to be written, in order.
    #[must_use]
    pub fn writes(&self) -> Vec<Item> {
        let Owner::Us(plan) = &self.owner else {
            return Vec::new();
        };
        Item::ALL
            .into_iter()
            .filter(|item| plan.writes(*item))
            .collect()
    }

    /// One line a step.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = match &self.owner {
            Owner::Us(plan) => plan.lines(),
            Owner::User { subject, days_left } => vec![format!(
                "keep  server: yours, {subject}, {days_left} days left, verified; nothing is written"
            )],
        };
        lines.extend(self.notes.iter().map(|note| format!("note  {note}")));
        // Names in certificates are their maker's.
        let quote = |text: &String| printable::line(text).to_string();
        lines.iter().map(quote).collect()
    }
}

impl fmt::Display for TlsPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

impl ManagedPlan {
    fn writes(&self, item: Item) -> bool {
        let new_key = |key: &KeyPlan| *key == KeyPlan::Generate;
        let copy = |copy: &CopyPlan| *copy != CopyPlan::Keep;
        let issued = |plan: &CertificatePlan| matches!(plan, CertificatePlan::Issue(_));
        match item {
            Item::CaKey => new_key(&self.ca.key),
            Item::CaCertificate => issued(&self.ca.certificate),
            Item::ServerCa => copy(&self.server.ca),
            Item::ServerKey => new_key(&self.server.key),
            Item::ServerCertificate => issued(&self.server.certificate),
            Item::ClientCa => copy(&self.client.ca),
            Item::ClientKey => new_key(&self.client.key),
            Item::ClientCertificate => issued(&self.client.certificate),
        }
    }

    fn lines(&self) -> Vec<String> {
        let kind = self.ca.key.kind();
        let below = match (&self.ca.key, &self.ca.certificate) {
            (KeyPlan::Generate, _) => format!(", CA new ({kind})"),
            (_, CertificatePlan::Issue(_)) => format!(", CA re-signed ({kind})"),
            (_, CertificatePlan::Keep { .. } | CertificatePlan::Without) => {
                format!(", CA kept ({kind})")
            }
        };
        let mut lines = vec![line("ca", &self.ca.key, &self.ca.certificate, "")];
        for (name, leaf) in [("server", &self.server), ("client", &self.client)] {
            if let CopyPlan::Write(because) = &leaf.ca {
                lines.push(format!("copy  {name}/ca.pem from ca/cert.pem: {because}"));
            }
            lines.push(line(name, &leaf.key, &leaf.certificate, &below));
        }
        lines
    }
}

fn line(name: &str, key: &KeyPlan, certificate: &CertificatePlan, ca: &str) -> String {
    let kind = key.kind();
    match certificate {
        CertificatePlan::Keep { subject, days_left } => {
            format!("keep  {name}: {kind}, {subject}, {days_left} days left")
        }
        CertificatePlan::Without => format!("leave {name}: no certificate can be made"),
        CertificatePlan::Issue(issue) => {
            let key = if *key == KeyPlan::Generate {
                ""
            } else {
                " (key kept)"
            };
            let sans = match issue.sans.as_slice() {
                [] => String::new(),
                sans => format!(", SAN {}", words(sans)),
            };
            let days = (issue.not_after - issue.not_before).whole_days();
            let because: Vec<String> = issue.because.iter().map(Because::to_string).collect();
            let because = because.join(", ");
            format!(
                "issue {name}: {kind}{key}, {}{sans}, {days} days{ca}: {because}",
                issue.subject
            )
        }
    }
}

pub(super) fn words(sans: &[San]) -> String {
    sans.iter()
        .map(San::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

fn rfc3339<S: Serializer>(time: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.format(&Rfc3339).map_err(serde::ser::Error::custom)?)
}
