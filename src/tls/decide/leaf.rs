//! The server's and the client's part of the decision: the same rules, but for the names.

use std::collections::BTreeSet;

use super::authority::Authority;
use super::{Case, begin};
use crate::tls::certificate::Certificate;
use crate::tls::key::KeyProblem;
use crate::tls::material::{Content, Item, LeafFiles};
use crate::tls::plan::{Because, CertificatePlan, CopyPlan, Issue, KeyPlan, LeafPlan};
use crate::tls::refusal::TlsRefusal;
use crate::tls::san::{San, Wanted};
use crate::tls::{CLIENT_NAME, LIFE, SERVER_NAME};

/// One of the two ends of a connection.
#[derive(Clone, Copy)]
pub(super) struct Role {
    common_name: &'static str,
    ca: Item,
    key: Item,
    certificate: Item,
    fits: fn(&Certificate) -> bool,
}

pub(super) const SERVER: Role = Role {
    common_name: SERVER_NAME,
    ca: Item::ServerCa,
    key: Item::ServerKey,
    certificate: Item::ServerCertificate,
    fits: |certificate| certificate.server,
};

pub(super) const CLIENT: Role = Role {
    common_name: CLIENT_NAME,
    ca: Item::ClientCa,
    key: Item::ClientKey,
    certificate: Item::ClientCertificate,
    fits: |certificate| certificate.client,
};

impl Case<'_> {
    pub(super) fn leaf(
        &mut self,
        role: Role,
        files: &LeafFiles,
        ca: &Authority,
        wanted: Option<&Wanted>,
    ) -> Result<LeafPlan, TlsRefusal> {
        let copy = self.copy(role, &files.ca.content, ca)?;
        let (key, public) = if files.key.content.is_vacant() {
            self.demand_folder(role.key, &Because::Missing)?;
            (KeyPlan::Generate, None)
        } else {
            let key = self.key(role.key)?;
            let public = key.public().ok_or_else(|| TlsRefusal::BadKey {
                file: self.path(role.key),
                problem: KeyProblem::NoPublicPart(key.kind().to_owned()),
            })?;
            (
                KeyPlan::Keep {
                    kind: key.kind().to_owned(),
                },
                Some(public.to_vec()),
            )
        };
        let certificate = self.leaf_certificate(role, public.as_deref(), ca, wanted)?;
        Ok(LeafPlan {
            ca: copy,
            key,
            certificate,
        })
    }

    fn leaf_certificate(
        &mut self,
        role: Role,
        public: Option<&[u8]>,
        ca: &Authority,
        wanted: Option<&Wanted>,
    ) -> Result<CertificatePlan, TlsRefusal> {
        let not_before = begin(self.now);
        let issue = |because| {
            CertificatePlan::Issue(Issue {
                subject: format!("CN={}", role.common_name),
                sans: wanted.map(Wanted::all).unwrap_or_default(),
                not_before,
                // A certificate that outlives its authority would be of no use then.
                not_after: (not_before + LIFE).min(ca.not_after),
                because,
            })
        };
        let found = match &self.material.file(role.certificate).content {
            content if content.is_vacant() => Err(Because::Missing),
            _ => {
                Certificate::first_from(self.bytes(role.certificate)?).map_err(|_| Because::Damaged)
            }
        };
        let certificate = match found {
            Ok(certificate) => certificate,
            Err(because) => {
                self.demand(role.certificate, &because, ca)?;
                return Ok(issue(vec![because]));
            }
        };
        let mut because = Vec::new();
        match public {
            None => because.push(Because::KeyIsNew),
            Some(public) if public != certificate.public => because.push(Because::OtherKey),
            Some(_) => {}
        }
        if !ca.signed(&certificate) {
            because.push(Because::NotSignedByCa);
        }
        if let Some(dates) = certificate.out_of_date(self.now) {
            because.push(Because::OutOfDate(dates));
        } else if certificate.in_last_third(self.now)
            && (not_before + LIFE).min(ca.not_after) > certificate.not_after
        {
            // Only when that gains time: the authority may end as early.
            because.push(Because::LastThird(certificate.days_left(self.now)));
        }
        if !(role.fits)(&certificate) {
            because.push(Because::WrongPurpose);
        }
        if ca.renewed {
            because.push(Because::AuthorityRenewed);
        }
        if let Some(wanted) = wanted {
            let lacking = |names: &BTreeSet<San>| -> Vec<San> {
                names.difference(&certificate.sans).cloned().collect()
            };
            let (wished, automatic) = (lacking(&wanted.wished), lacking(&wanted.automatic));
            if !wished.is_empty() {
                because.push(Because::LacksWishedNames(wished));
            }
            if !automatic.is_empty() {
                because.push(Because::LacksNames(automatic));
            }
        }
        let keep = CertificatePlan::Keep {
            subject: certificate.subject.clone(),
            days_left: certificate.days_left(self.now),
        };
        if because.is_empty() {
            return Ok(keep);
        }
        if certificate.subject != format!("CN={}", role.common_name) {
            self.tolerate_foreign(role.certificate, &certificate, because)?;
            return Ok(keep);
        }
        if self.blocked(role.certificate, &because, Some(ca))? {
            return Ok(keep);
        }
        Ok(issue(because))
    }

    /// A certificate that neither we nor the official image made is not ours to replace: it is
    /// used while it works.
    fn tolerate_foreign(
        &mut self,
        item: Item,
        certificate: &Certificate,
        because: Vec<Because>,
    ) -> Result<(), TlsRefusal> {
        for because in because {
            let wish = matches!(because, Because::LacksWishedNames(_));
            if because.is_compelling() && !wish {
                let subject = certificate.subject.clone();
                return Err(TlsRefusal::ForeignCertificate {
                    file: self.path(item),
                    subject,
                    because,
                });
            }
            let (path, subject) = (item.path(), &certificate.subject);
            self.notes.push(format!(
                "{path} ({subject}) is yours and is kept, although {because}"
            ));
        }
        Ok(())
    }

    fn copy(
        &mut self,
        role: Role,
        content: &Content,
        ca: &Authority,
    ) -> Result<CopyPlan, TlsRefusal> {
        let because = match content {
            Content::Empty | Content::Missing => Because::Missing,
            Content::Unreadable(_) => {
                self.bytes(role.ca)?;
                return Ok(CopyPlan::Keep);
            }
            Content::Present(bytes) if Some(bytes.as_slice()) == ca.kept.as_deref() => {
                return Ok(CopyPlan::Keep);
            }
            Content::Present(bytes) => match Certificate::first_from(bytes) {
                Err(_) => Because::Damaged,
                Ok(old) if !ca.is_same(&old) => Because::OtherKey,
                Ok(old) => match old.out_of_date(self.now) {
                    Some(dates) => Because::OutOfDate(dates),
                    None if ca.renewed => Because::AuthorityRenewed,
                    None => Because::Differs,
                },
            },
        };
        let blocked = self.blocked(role.ca, std::slice::from_ref(&because), None)?;
        Ok(if blocked {
            CopyPlan::Keep
        } else {
            CopyPlan::Write(because)
        })
    }
}
