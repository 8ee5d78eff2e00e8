//! The server's and the client's part of the decision: the same rules, but for the names.

use std::collections::BTreeSet;

use super::authority::Authority;
use super::{Case, begin};
use crate::tls::certificate::{Certificate, Signature};
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

/// The key of an end.
enum LeafKey {
    /// It is to be made.
    New,
    /// It is there, with this public part.
    Known(Vec<u8>),
    /// It is there, and its public part cannot be told.
    Untold(KeyProblem),
}

impl Case<'_> {
    /// The client's part where its certificate cannot be made.
    pub(super) fn without_client(
        &mut self,
        ca: &Authority,
        problem: &KeyProblem,
        because: &Because,
    ) -> Result<LeafPlan, TlsRefusal> {
        let path = Item::ClientCertificate.path();
        self.notes.push(format!(
            "{path} cannot be made, although {because}: {problem}; clients need a certificate and \
             a key of yours"
        ));
        Ok(LeafPlan {
            ca: self.copy(CLIENT, &self.material.client.ca.content, ca)?,
            key: KeyPlan::Without,
            certificate: CertificatePlan::Without,
        })
    }

    pub(super) fn leaf(
        &mut self,
        role: Role,
        files: &LeafFiles,
        ca: &Authority,
        wanted: Option<&Wanted>,
    ) -> Result<LeafPlan, TlsRefusal> {
        let copy = self.copy(role, &files.ca.content, ca)?;
        let (plan, key) = if files.key.content.is_vacant() {
            self.demand_folder(role.key, &Because::Missing)?;
            (KeyPlan::Generate, LeafKey::New)
        } else {
            let key = self.key(role.key)?;
            let kind = key.kind().to_owned();
            let plan = KeyPlan::Keep { kind: kind.clone() };
            match key.public() {
                Some(public) => (plan, LeafKey::Known(public.to_vec())),
                None => {
                    self.not_compared(role.key, &key);
                    (plan, LeafKey::Untold(KeyProblem::NoPublicPart(kind)))
                }
            }
        };
        let certificate = self.leaf_certificate(role, &key, ca, wanted)?;
        Ok(LeafPlan {
            ca: copy,
            key: plan,
            certificate,
        })
    }

    fn leaf_certificate(
        &mut self,
        role: Role,
        key: &LeafKey,
        ca: &Authority,
        wanted: Option<&Wanted>,
    ) -> Result<CertificatePlan, TlsRefusal> {
        let untold = |case: &Self| match key {
            LeafKey::Untold(problem) => Err(TlsRefusal::BadKey {
                file: case.path(role.key),
                problem: problem.clone(),
            }),
            LeafKey::New | LeafKey::Known(_) => Ok(()),
        };
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
                untold(self)?;
                return Ok(issue(vec![because]));
            }
        };
        let mut because = Vec::new();
        match key {
            LeafKey::New => because.push(Because::KeyIsNew),
            LeafKey::Known(public) if *public != certificate.public => {
                because.push(Because::OtherKey);
            }
            LeafKey::Known(_) | LeafKey::Untold(_) => {}
        }
        match ca.signature(&certificate) {
            Signature::Good => {}
            Signature::Bad => because.push(Because::NotSignedByCa),
            // Whoever signed so knew what he did: that we cannot check it says nothing.
            Signature::Unknown => self.notes.push(format!(
                "{}: the CA's signature is of a kind ({}) that is not checked here",
                role.certificate.path(),
                ca.plan.key.kind()
            )),
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
            let (requested, automatic) = (lacking(&wanted.requested), lacking(&wanted.automatic));
            if !requested.is_empty() {
                because.push(Because::LacksWishedNames(requested));
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
        if because.iter().all(|because| !because.is_compelling()) && untold(self).is_err() {
            let path = role.certificate.path();
            let because = words_of(&because);
            self.notes.push(format!(
                "{path} is kept, although {because}: nobody knows its key"
            ));
            return Ok(keep);
        }
        untold(self)?;
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
            let request = matches!(because, Because::LacksWishedNames(_));
            if because.is_compelling() && !request {
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

fn words_of(because: &[Because]) -> String {
    let words: Vec<String> = because.iter().map(Because::to_string).collect();
    words.join(", ")
}
