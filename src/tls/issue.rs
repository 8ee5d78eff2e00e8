//! From a plan to the bytes of new files. The only part of `tls` that is not a function of its
//! arguments: keys and serial numbers come from the random generator.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
    SignatureAlgorithm, SigningKey,
};

use super::der;
use super::key::{self, KeyProblem, PrivateKey};
use super::material::{Item, Material};
use super::plan::{CertificatePlan, CopyPlan, Issue, KeyId, KeyPlan, LeafPlan, ManagedPlan};
use super::public_key;
use super::san::San;

/// A file to be put in place.
#[derive(Clone, PartialEq, Eq)]
pub struct NewFile {
    pub item: Item,
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for NewFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewFile({}, [redacted])", self.item.path())
    }
}

/// Making a key or a certificate failed.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A key that the plan counts on cannot be used.
    #[error("cannot use {}", .0.path())]
    Key(Item, #[source] KeyProblem),
    /// The certificate library refused.
    #[error("cannot make {}", .0.path())]
    Certificate(Item, #[source] rcgen::Error),
    /// The certificate library made something that we cannot take apart.
    #[error("the new certificate for {} has an unexpected form", .0.path())]
    Form(Item),
    /// The random generator failed.
    #[error("no random numbers")]
    Random,
}

/// Makes every file that the plan asks for, in the order in which they are to be put in place.
///
/// # Errors
/// No random numbers, or the plan was made for other material.
pub fn issue(plan: &ManagedPlan, material: &Material) -> Result<Vec<NewFile>, IssueError> {
    let mut files = Vec::new();
    let signer = Signer::new(plan, material, &mut files)?;
    let ca = match &plan.ca.certificate {
        CertificatePlan::Issue(issue) => {
            let pem = signer.certificate(Item::CaCertificate, issue, None)?;
            files.push(NewFile {
                item: Item::CaCertificate,
                bytes: pem.clone(),
            });
            pem
        }
        CertificatePlan::Keep { .. } | CertificatePlan::Without => material
            .ca
            .certificate
            .content
            .bytes()
            .unwrap_or_default()
            .to_vec(),
    };
    let server = (Item::ServerCa, Item::ServerKey, Item::ServerCertificate);
    let client = (Item::ClientCa, Item::ClientKey, Item::ClientCertificate);
    for (items, leaf) in [(server, &plan.server), (client, &plan.client)] {
        files.extend(leaf_files(items, leaf, &signer, &ca, material)?);
    }
    Ok(files)
}

fn leaf_files(
    (copy, key, certificate): (Item, Item, Item),
    plan: &LeafPlan,
    signer: &Signer,
    ca: &[u8],
    material: &Material,
) -> Result<Vec<NewFile>, IssueError> {
    let mut files = Vec::new();
    if matches!(plan.ca, CopyPlan::Write(_)) {
        files.push(NewFile {
            item: copy,
            bytes: ca.to_vec(),
        });
    }
    let public = match plan.key {
        KeyPlan::Without => return Ok(files),
        KeyPlan::Generate => {
            let pair = generate(key)?;
            files.push(NewFile {
                item: key,
                bytes: pair.serialize_pem().into_bytes(),
            });
            pair.subject_public_key_info()
        }
        KeyPlan::Keep { .. } if !matches!(plan.certificate, CertificatePlan::Issue(_)) => {
            return Ok(files);
        }
        KeyPlan::Keep { .. } => {
            let kept = kept_key(key, material)?;
            let missing = || IssueError::Key(key, KeyProblem::NoPublicPart(kept.kind().to_owned()));
            kept.public().ok_or_else(missing)?.to_vec()
        }
    };
    if let CertificatePlan::Issue(issue) = &plan.certificate {
        let bytes = signer.certificate(certificate, issue, Some(&public))?;
        files.push(NewFile {
            item: certificate,
            bytes,
        });
    }
    Ok(files)
}

fn generate(item: Item) -> Result<KeyPair, IssueError> {
    KeyPair::generate().map_err(|error| IssueError::Certificate(item, error))
}

fn kept_key(item: Item, material: &Material) -> Result<PrivateKey, IssueError> {
    PrivateKey::from_pem(material.file(item).content.bytes().unwrap_or_default())
        .map_err(|problem| IssueError::Key(item, problem))
}

/// The authority at work.
struct Signer {
    /// Absent when nothing is to be signed: then a key that cannot sign does no harm.
    pair: Option<key::Signer>,
    name: Vec<u8>,
    key_id: KeyIdMethod,
    /// Whether leaves name the key of their authority.
    refer: bool,
}

impl Signer {
    fn new(
        plan: &ManagedPlan,
        material: &Material,
        files: &mut Vec<NewFile>,
    ) -> Result<Self, IssueError> {
        let certificates = [
            &plan.ca.certificate,
            &plan.server.certificate,
            &plan.client.certificate,
        ];
        let needed = certificates
            .iter()
            .any(|plan| matches!(plan, CertificatePlan::Issue(_)));
        let pair = match plan.ca.key {
            KeyPlan::Generate => {
                let pair = generate(Item::CaKey)?;
                let bytes = pair.serialize_pem().into_bytes();
                files.push(NewFile {
                    item: Item::CaKey,
                    bytes,
                });
                Some(key::Signer::Library(pair))
            }
            KeyPlan::Keep { .. } if needed => {
                let key = kept_key(Item::CaKey, material)?;
                Some(
                    key.signer()
                        .map_err(|problem| IssueError::Key(Item::CaKey, problem))?,
                )
            }
            KeyPlan::Keep { .. } | KeyPlan::Without => None,
        };
        Ok(Self {
            pair,
            name: plan.ca.subject_der.clone(),
            key_id: match &plan.ca.key_id {
                KeyId::Fixed(id) => KeyIdMethod::PreSpecified(id.clone()),
                KeyId::Derived | KeyId::Omitted => KeyIdMethod::Sha256,
            },
            refer: plan.ca.key_id != KeyId::Omitted,
        })
    }

    /// A certificate in PEM: for `public`, or for the authority itself.
    ///
    /// The library builds everything but what has to be the very bytes of something older: names,
    /// since it cannot repeat every one (an unusual string type, two attributes of one kind), and
    /// public keys, since a kept key may be of a kind that it does not know. Those are put in
    /// afterwards, and then it is signed.
    fn certificate(
        &self,
        item: Item,
        issue: &Issue,
        public: Option<&[u8]>,
    ) -> Result<Vec<u8>, IssueError> {
        let failed = |error| IssueError::Certificate(item, error);
        let unsigned = Unsigned(self.pair.as_ref().ok_or(IssueError::Form(item))?);
        let mut params = self.params(issue)?;
        let draft = match public {
            None => {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                params.key_usages = vec![
                    KeyUsagePurpose::DigitalSignature,
                    KeyUsagePurpose::KeyCertSign,
                ];
                params.self_signed(&unsigned).map_err(failed)?
            }
            Some(public) => {
                params.use_authority_key_identifier_extension = self.refer;
                params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
                if item == Item::ServerCertificate {
                    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                    // TLS 1.2 clients without ECDHE encrypt the session key to an RSA key.
                    if public_key::is_rsa(public) {
                        params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
                    }
                } else {
                    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
                }
                params.subject_alt_names = sans(issue).map_err(failed)?;
                params.distinguished_name = common_name(&issue.subject);
                let mut issuer = CertificateParams::default();
                issuer.key_identifier_method = self.key_id.clone();
                let issuer = Issuer::from_params(&issuer, &unsigned);
                params.signed_by(&unsigned, &issuer).map_err(failed)?
            }
        };
        let form = || IssueError::Form(item);
        let parts = der::elements(draft.der()).ok_or_else(form)?;
        let [draft, algorithm, _no_signature] = parts.as_slice() else {
            return Err(form());
        };
        let unknown = unsigned.0.unknown_to_library();
        let (own, algorithm) = match &unknown {
            Some((own, algorithm)) => (Some(own.as_slice()), algorithm.as_slice()),
            None => (None, *algorithm),
        };
        let names = (self.name.as_slice(), public.is_none());
        let to_sign = completed(draft, names, public.or(own), algorithm).ok_or_else(form)?;
        let signature = unsigned.0.sign(&to_sign).map_err(failed)?;
        let whole = der::sequence(&[&to_sign, algorithm, &der::bit_string(&signature)]);
        Ok(der::to_pem("CERTIFICATE", &whole).into_bytes())
    }

    fn params(&self, issue: &Issue) -> Result<CertificateParams, IssueError> {
        let mut params = CertificateParams::default();
        params.not_before = issue.not_before;
        params.not_after = issue.not_after;
        params.serial_number = Some(serial_number()?);
        params.key_identifier_method = self.key_id.clone();
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }
}

/// The part of a certificate that is signed: the draft with the authority's name in it, once more
/// as the subject of its own certificate, with the key if that is to be another, and with the
/// kind of signature that it will have.
fn completed(
    draft: &[u8],
    (authority, is_subject): (&[u8], bool),
    public: Option<&[u8]>,
    kind: &[u8],
) -> Option<Vec<u8>> {
    let mut parts = der::elements(draft)?;
    let [
        _version,
        _serial,
        algorithm,
        issuer,
        _dates,
        subject,
        key,
        _extensions,
    ] = parts.as_mut_slice()
    else {
        return None;
    };
    *algorithm = kind;
    *issuer = authority;
    if is_subject {
        *subject = authority;
    }
    if let Some(public) = public {
        *key = public;
    }
    Some(der::sequence(&parts))
}

fn common_name(subject: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, subject.trim_start_matches("CN="));
    name
}

fn sans(issue: &Issue) -> Result<Vec<SanType>, rcgen::Error> {
    let converted = issue.sans.iter().map(|san| {
        Ok(match san {
            San::Address(address) => SanType::IpAddress(*address),
            San::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
            San::Email(mailbox) => SanType::Rfc822Name(mailbox.as_str().try_into()?),
            San::Uri(uri) => SanType::URI(uri.as_str().try_into()?),
        })
    });
    converted.collect()
}

/// Sixteen random bytes, positive and never shorter: two certificates of one authority must not
/// share a number, and the key, which lives on, must not decide it.
fn serial_number() -> Result<SerialNumber, IssueError> {
    let mut bytes = random()?;
    let [first, ..] = &mut bytes;
    *first = *first & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn random() -> Result<[u8; 16], IssueError> {
    let mut bytes = [0; 16];
    let generator = rustls::crypto::ring::default_provider().secure_random;
    generator.fill(&mut bytes).map_err(|_| IssueError::Random)?;
    Ok(bytes)
}

/// A key that leaves the signature empty: the draft is signed when its names are right.
struct Unsigned<'a>(&'a key::Signer);

impl PublicKeyData for Unsigned<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl SigningKey for Unsigned<'_> {
    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests;
