//! The authority's part of the decision.
//!
//! Its key is kept for ever, and a certificate that is signed anew keeps the name, the key and
//! the key identifier: to everybody who holds an older certificate it is the same authority.

use time::OffsetDateTime;

use super::{Case, begin};
use crate::tls::certificate::{Certificate, Signature};
use crate::tls::der;
use crate::tls::key::{KeyProblem, PrivateKey};
use crate::tls::material::{Content, Item};
use crate::tls::plan::{Because, CaPlan, CertificatePlan, Issue, KeyId, KeyPlan};
use crate::tls::refusal::TlsRefusal;
use crate::tls::{CA_NAME, LIFE};

/// What the leaves need to know about their authority.
pub(super) struct Authority {
    pub(super) plan: CaPlan,
    /// End of its certificate, be it kept or new.
    pub(super) not_after: OffsetDateTime,
    /// The bytes of `ca/cert.pem`, when they are kept.
    pub(super) kept: Option<Vec<u8>>,
    /// The certificate is signed anew with the old key.
    pub(super) renewed: bool,
    /// Why the key is of no use for new certificates; it still verifies the old ones.
    pub(super) cannot_sign: Option<KeyProblem>,
    /// SubjectPublicKeyInfo; absent when the key is still to be made.
    public: Option<Vec<u8>>,
}

impl Authority {
    /// Whether a certificate was issued under this name and key, as far as that can be told.
    pub(super) fn signature(&self, certificate: &Certificate) -> Signature {
        match self.public.as_deref() {
            Some(public) if certificate.issuer_der == self.plan.subject_der => {
                certificate.signed_by(public)
            }
            _ => Signature::Bad,
        }
    }

    /// Whether a certificate is one of this authority itself.
    pub(super) fn is_same(&self, certificate: &Certificate) -> bool {
        certificate.subject_der == self.plan.subject_der
            && Some(certificate.public.as_slice()) == self.public.as_deref()
    }
}

impl Case<'_> {
    pub(super) fn authority(&mut self) -> Result<Authority, TlsRefusal> {
        if self.material.ca.key.content.is_vacant() {
            return self.new_authority();
        }
        let key = self.key(Item::CaKey)?;
        let found = match &self.material.ca.certificate.content {
            content if content.is_vacant() => Err(Because::Missing),
            _ => Certificate::first_from(self.bytes(Item::CaCertificate)?)
                .map_err(|_| Because::Damaged),
        };
        // A key that does not tell its public part is taken for that of its certificate: it cannot
        // sign here in any case.
        let public = match (key.public(), &found) {
            (Some(public), _) => public.to_vec(),
            (None, Ok(certificate)) => {
                self.not_compared(Item::CaKey, &key);
                certificate.public.clone()
            }
            (None, Err(_)) => {
                return Err(TlsRefusal::BadKey {
                    file: self.path(Item::CaKey),
                    problem: KeyProblem::NoPublicPart(key.kind().to_owned()),
                });
            }
        };
        let public = public.as_slice();
        let (certificate, because) = match found {
            Ok(certificate) => {
                let because = self.fault(&certificate, public);
                (Some(certificate), because)
            }
            Err(because) => (None, Some(because)),
        };
        match (certificate, because) {
            (Some(certificate), None) => Ok(self.keep(&key, public, &certificate)),
            (Some(certificate), Some(because)) if belongs_to_others(&certificate, public) => {
                self.keep_foreign(&key, public, &certificate, because)
            }
            (certificate, because) => {
                let because = because.unwrap_or(Because::Damaged);
                self.sign_anew(&key, public, certificate.as_ref(), because)
            }
        }
    }

    fn new_authority(&self) -> Result<Authority, TlsRefusal> {
        self.demand_folder(Item::CaKey, &Because::Missing)?;
        let issue = self.issue(format!("CN={CA_NAME}"), Because::Missing);
        Ok(Authority {
            not_after: issue.not_after,
            plan: CaPlan {
                key: KeyPlan::Generate,
                certificate: CertificatePlan::Issue(issue),
                subject_der: default_subject(),
                key_id: KeyId::Derived,
            },
            kept: None,
            renewed: false,
            cannot_sign: None,
            public: None,
        })
    }

    /// The first reason why a certificate cannot stay the authority's.
    fn fault(&self, certificate: &Certificate, public: &[u8]) -> Option<Because> {
        let self_signed = certificate.issuer_der == certificate.subject_der;
        if certificate.public != public {
            Some(Because::OtherKey)
        } else if !certificate.authority {
            Some(Because::NotAnAuthority)
        } else if self_signed && certificate.signed_by(public) == Signature::Bad {
            Some(Because::Damaged)
        } else if let Some(dates) = certificate.out_of_date(self.now) {
            Some(Because::OutOfDate(dates))
        } else if certificate.in_last_third(self.now) {
            Some(Because::LastThird(certificate.days_left(self.now)))
        } else if self_signed && !certificate.key_usage {
            Some(Because::LacksKeyUsage)
        } else {
            None
        }
    }

    fn keep(&self, key: &PrivateKey, public: &[u8], certificate: &Certificate) -> Authority {
        Authority {
            plan: CaPlan {
                key: KeyPlan::Keep {
                    kind: key.kind().to_owned(),
                },
                certificate: CertificatePlan::Keep {
                    subject: certificate.subject.clone(),
                    days_left: certificate.days_left(self.now),
                },
                subject_der: certificate.subject_der.clone(),
                key_id: match &certificate.key_id {
                    Some(id) => KeyId::Fixed(id.clone()),
                    None => KeyId::Omitted,
                },
            },
            not_after: certificate.not_after,
            kept: self
                .material
                .ca
                .certificate
                .content
                .bytes()
                .map(<[u8]>::to_vec),
            renewed: false,
            cannot_sign: key.signer().err(),
            public: Some(public.to_vec()),
        }
    }

    /// An intermediate that some other authority issued: only that one can renew it, and signing
    /// it ourselves would cut its chain.
    fn keep_foreign(
        &mut self,
        key: &PrivateKey,
        public: &[u8],
        certificate: &Certificate,
        because: Because,
    ) -> Result<Authority, TlsRefusal> {
        if because.is_compelling() {
            let file = self.path(Item::CaCertificate);
            let subject = format!("{}, issued by {}", certificate.subject, certificate.issuer);
            return Err(TlsRefusal::ForeignCertificate {
                file,
                subject,
                because,
            });
        }
        let issuer = &certificate.issuer;
        self.notes.push(format!(
            "ca/cert.pem is kept, although {because}: {issuer} has to renew it"
        ));
        Ok(self.keep(key, public, certificate))
    }

    fn sign_anew(
        &mut self,
        key: &PrivateKey,
        public: &[u8],
        found: Option<&Certificate>,
        because: Because,
    ) -> Result<Authority, TlsRefusal> {
        let cannot_sign = key.signer().err();
        // A certificate that still works stays where it cannot be replaced.
        let obstacle = self
            .material
            .obstacle(Item::CaCertificate.folder())
            .map(str::to_owned)
            .or_else(|| cannot_sign.as_ref().map(KeyProblem::to_string));
        if let (Some(obstacle), Some(found), false) = (&obstacle, found, because.is_compelling()) {
            self.notes.push(format!(
                "ca/cert.pem is kept, although {because}: {obstacle}"
            ));
            return Ok(self.keep(key, public, found));
        }
        self.demand_folder(Item::CaCertificate, &because)?;
        if let Some(problem) = cannot_sign {
            return Err(self.cannot_sign(Item::CaCertificate, &because, problem));
        }
        let former = self.former(public);
        let (subject, subject_der, key_id) = match &former {
            Some(former) => (
                former.subject.clone(),
                former.subject_der.clone(),
                former.key_id.clone().map_or(KeyId::Derived, KeyId::Fixed),
            ),
            None => (format!("CN={CA_NAME}"), default_subject(), KeyId::Derived),
        };
        let issue = self.issue(subject, because);
        Ok(Authority {
            not_after: issue.not_after,
            plan: CaPlan {
                key: KeyPlan::Keep {
                    kind: key.kind().to_owned(),
                },
                certificate: CertificatePlan::Issue(issue),
                subject_der,
                key_id,
            },
            kept: None,
            renewed: true,
            cannot_sign: None,
            public: Some(public.to_vec()),
        })
    }

    /// An earlier certificate of the same key: its own, or a copy that outlived it.
    fn former(&self, public: &[u8]) -> Option<Certificate> {
        [Item::CaCertificate, Item::ServerCa, Item::ClientCa]
            .into_iter()
            .find_map(|item| {
                let Content::Present(bytes) = &self.material.file(item).content else {
                    return None;
                };
                let certificate = Certificate::first_from(bytes).ok()?;
                (certificate.public == public).then_some(certificate)
            })
    }

    fn issue(&self, subject: String, because: Because) -> Issue {
        let not_before = begin(self.now);
        let not_after = not_before + LIFE;
        Issue {
            subject,
            sans: Vec::new(),
            not_before,
            not_after,
            because: vec![because],
        }
    }
}

/// An authority below another one, with the key that lies beside it.
fn belongs_to_others(certificate: &Certificate, public: &[u8]) -> bool {
    certificate.public == public
        && certificate.authority
        && certificate.issuer_der != certificate.subject_der
}

/// `CN=docker:dind CA`, in the encoding that openssl uses for it.
fn default_subject() -> Vec<u8> {
    const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
    const UTF8_STRING: u8 = 0x0c;
    const SET: u8 = 0x31;
    let value = der::element(UTF8_STRING, CA_NAME.as_bytes());
    let attribute = der::sequence(&[COMMON_NAME, &value]);
    der::sequence(&[&der::element(SET, &attribute)])
}
