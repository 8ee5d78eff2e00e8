//! The decision: (request, names, material, now) → plan or refusal. Pure.
//!
//! What is kept is kept byte for byte. A certificate is issued when it must be (missing, damaged,
//! of another key or authority, out of date, lacking a name that the user asked for) or when that
//! is wise (its last third, a name of this host missing, the authority re-signed). Where nothing
//! can be written, only a *must* is refused; the rest becomes a note.

use std::path::PathBuf;

use time::OffsetDateTime;

use super::certificate::Certificate;
use super::chain::{self, Verdict};
use super::key::{KeyProblem, PrivateKey};
use super::material::{Content, Item, Material};
use super::plan::Because;
use super::plan::{ManagedPlan, Owner, TlsPlan};
use super::refusal::TlsRefusal;
use super::san::{San, Wanted};
use super::{Names, Request, SKEW, Untrusted};
use crate::base::explain::Explain;

mod authority;
mod leaf;

use authority::Authority;
use leaf::{CLIENT, SERVER};

/// Decides what to do with the material that was found.
///
/// # Errors
/// The reason why dockerd would not get working TLS from it. Nothing is to be written then.
pub fn decide(
    request: &Request,
    names: &Names,
    material: &Material,
    now: OffsetDateTime,
) -> Result<TlsPlan, TlsRefusal> {
    let wanted = Wanted::new(request, names);
    let mut case = Case {
        request,
        material,
        now,
        notes: Vec::new(),
    };
    for skipped in &request.sans.skipped {
        case.notes
            .push(format!("{skipped}: it is left out, {}", skipped.why()));
    }
    for name in &wanted.unusable {
        case.notes.push(format!(
            "the host name {name:?} cannot stand in a certificate"
        ));
    }
    let strict = request.untrusted == Untrusted::Refuse;
    let doubts = material.doubts(strict);
    if strict && !doubts.is_empty() {
        let directory = request.directory.clone();
        return Err(TlsRefusal::Untrusted { directory, doubts });
    }
    let doubt = |doubt| format!("{doubt}: whoever that is can make client certificates of dockerd");
    case.notes.extend(doubts.into_iter().map(doubt));
    let complete = missing_server_files(material).is_empty();
    let owner = match (&material.ca.key.content, &material.ca.certificate.content) {
        (key, _) if key.is_vacant() && complete => case.users(&wanted)?,
        (key, certificate) if key.is_vacant() && !certificate.is_vacant() => {
            return Err(TlsRefusal::CaKeyMissing {
                directory: request.directory.clone(),
                missing: missing_server_files(material),
            });
        }
        _ => Owner::Us(Box::new(case.managed(&wanted)?)),
    };
    Ok(TlsPlan {
        directory: request.directory.clone(),
        owner,
        notes: case.notes,
    })
}

fn missing_server_files(material: &Material) -> Vec<Item> {
    let files = [Item::ServerCa, Item::ServerCertificate, Item::ServerKey];
    files
        .into_iter()
        .filter(|item| material.file(*item).content.is_vacant())
        .collect()
}

/// The question, and what was noticed on the way to the answer.
struct Case<'a> {
    request: &'a Request,
    material: &'a Material,
    now: OffsetDateTime,
    notes: Vec<String>,
}

impl Case<'_> {
    /// Material that the user looks after: verified, never written.
    fn users(&mut self, wanted: &Wanted) -> Result<Owner, TlsRefusal> {
        let failed = |item: Item, reason: String| TlsRefusal::VerificationFailed {
            file: self.path(item),
            reason,
        };
        let certificates = |item: Item| -> Result<Vec<Certificate>, TlsRefusal> {
            Certificate::all_from(self.bytes(item)?).map_err(|reason| failed(item, reason))
        };
        let presented = certificates(Item::ServerCertificate)?;
        let anchors = certificates(Item::ServerCa)?;
        let leaf = presented
            .first()
            .ok_or_else(|| failed(Item::ServerCertificate, "there is no certificate".into()))?;
        let key = self.key(Item::ServerKey)?;
        if key.public().is_some_and(|public| public != leaf.public) {
            let reason = "it does not belong to server/key.pem".into();
            return Err(failed(Item::ServerCertificate, reason));
        }
        let mut notes = Vec::new();
        match chain::verify(&presented, &anchors, self.now) {
            Verdict::Failed(reason) => return Err(failed(Item::ServerCertificate, reason)),
            Verdict::Good => {}
            Verdict::Unknown(reason) => notes.push(format!("server/cert.pem: {reason}")),
        }
        if key.public().is_none() {
            self.not_compared(Item::ServerKey, &key);
        }
        if !leaf.server {
            notes.push("server/cert.pem is not for servers: clients may refuse it".into());
        }
        let lacking: Vec<San> = wanted.requested.difference(&leaf.sans).cloned().collect();
        if !lacking.is_empty() {
            notes.push(format!(
                "server/cert.pem is yours and {}",
                Because::LacksWishedNames(lacking)
            ));
        }
        if leaf.in_last_third(self.now) {
            let days = leaf.days_left(self.now);
            notes.push(format!("server/cert.pem is yours and ends in {days} days"));
        }
        let owner = Owner::User {
            subject: leaf.subject.clone(),
            days_left: leaf.days_left(self.now),
        };
        self.notes.extend(notes);
        Ok(owner)
    }

    /// Material that we look after.
    fn managed(&mut self, wanted: &Wanted) -> Result<ManagedPlan, TlsRefusal> {
        let ca = self.authority()?;
        let server = self.leaf(SERVER, &self.material.server, &ca, Some(wanted))?;
        let client = match self.leaf(CLIENT, &self.material.client, &ca, None) {
            // dockerd needs none: whoever brought this CA may have brought clients theirs.
            Err(TlsRefusal::CannotSign {
                problem, because, ..
            }) => self.without_client(&ca, &problem, &because)?,
            other => other?,
        };
        Ok(ManagedPlan {
            ca: ca.plan,
            server,
            client,
        })
    }

    /// Whether something stands in the way of writing `item`; a refusal if it must be written.
    /// With an authority, its signature is needed, too.
    fn blocked(
        &mut self,
        item: Item,
        because: &[Because],
        ca: Option<&Authority>,
    ) -> Result<bool, TlsRefusal> {
        let compelling = because.iter().find(|because| because.is_compelling());
        if let Some(because) = compelling {
            match ca {
                Some(ca) => self.demand(item, because, ca)?,
                None => self.demand_folder(item, because)?,
            }
            return Ok(false);
        }
        let folder = self.material.obstacle(item.folder()).map(str::to_owned);
        let signer = ca
            .and_then(|ca| ca.cannot_sign.as_ref())
            .map(KeyProblem::to_string);
        let Some(obstacle) = folder.or(signer) else {
            return Ok(false);
        };
        for because in because {
            let path = item.path();
            self.notes
                .push(format!("{path} is kept, although {because}: {obstacle}"));
        }
        Ok(true)
    }

    fn demand(&self, item: Item, because: &Because, ca: &Authority) -> Result<(), TlsRefusal> {
        self.demand_folder(item, because)?;
        match &ca.cannot_sign {
            Some(problem) => Err(self.cannot_sign(item, because, problem.clone())),
            None => Ok(()),
        }
    }

    fn cannot_sign(&self, item: Item, because: &Because, problem: KeyProblem) -> TlsRefusal {
        TlsRefusal::CannotSign {
            file: self.path(item),
            because: because.clone(),
            problem: Box::new(problem),
            missing: missing_server_files(self.material),
        }
    }

    fn not_compared(&mut self, item: Item, key: &PrivateKey) {
        let (path, kind) = (item.path(), key.kind());
        self.notes.push(format!(
            "{path} ({kind}) was not compared with its certificate: it is stored without its \
             public part"
        ));
    }

    fn demand_folder(&self, item: Item, because: &Because) -> Result<(), TlsRefusal> {
        match self.material.obstacle(item.folder()) {
            None => Ok(()),
            Some(obstacle) => Err(TlsRefusal::NotWritable {
                file: self.path(item),
                because: because.clone(),
                obstacle: obstacle.to_owned(),
                missing: missing_server_files(self.material),
            }),
        }
    }

    fn key(&self, item: Item) -> Result<PrivateKey, TlsRefusal> {
        PrivateKey::from_pem(self.bytes(item)?).map_err(|problem| TlsRefusal::BadKey {
            file: self.path(item),
            problem,
        })
    }

    fn bytes(&self, item: Item) -> Result<&[u8], TlsRefusal> {
        match &self.material.file(item).content {
            Content::Present(bytes) => Ok(bytes),
            Content::Unreadable(reason) => Err(TlsRefusal::Unreadable {
                file: self.path(item),
                reason: reason.clone(),
            }),
            Content::Empty | Content::Missing => Ok(&[]),
        }
    }

    fn path(&self, item: Item) -> PathBuf {
        self.request.directory.join(item.path())
    }
}

/// Begin of the life of a new certificate: whole seconds, as a certificate cannot say more.
fn begin(now: OffsetDateTime) -> OffsetDateTime {
    now.replace_nanosecond(0).unwrap_or(now) - SKEW
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_authority;
