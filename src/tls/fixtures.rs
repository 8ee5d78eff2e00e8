//! Authorities and certificates for tests, made by the library directly: what is tested here must
//! not be judged by itself.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use time::{Duration, OffsetDateTime};

use super::{
    Content, Folder, Item, Material, Names, Owner, Request, StoredFile, TlsPlan, Untrusted, decide,
    issue, parse_sans,
};

/// 2027-01-15 08:00:00 UTC.
pub(crate) const NOW: OffsetDateTime = match OffsetDateTime::from_unix_timestamp(1_800_000_000) {
    Ok(now) => now,
    Err(_) => panic!("in range"),
};

/// An authority with its key.
pub(crate) struct Authority {
    pub(crate) key: KeyPair,
    pub(crate) pem: String,
    params: CertificateParams,
}

/// Certificate parameters with this name, valid from one day ago for 825 days.
pub(crate) fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = NOW - Duration::DAY;
    params.not_after = params.not_before + Duration::days(825);
    params.use_authority_key_identifier_extension = true;
    params
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self::with(params(name))
    }

    pub(crate) fn with(mut params: CertificateParams) -> Self {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { key, pem, params }
    }

    pub(crate) fn public(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }

    /// An authority below this one.
    pub(crate) fn authority(&self, name: &str) -> Self {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = self.sign(&params, &key);
        Self { key, pem, params }
    }

    pub(crate) fn sign(&self, params: &CertificateParams, key: &KeyPair) -> String {
        let issuer = Issuer::from_params(&self.params, &self.key);
        params.signed_by(key, &issuer).unwrap().pem()
    }

    /// A server certificate for one name, with a key that nobody keeps.
    pub(crate) fn server(&self, name: &str) -> String {
        let mut params = params(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params, &KeyPair::generate().unwrap())
    }
}

impl Material {
    /// The same with one file replaced.
    pub(crate) fn put(mut self, item: Item, bytes: impl Into<Vec<u8>>) -> Self {
        let content = match bytes.into() {
            bytes if bytes.is_empty() => Content::Empty,
            bytes => Content::Present(bytes),
        };
        *self.file_mut(item) = StoredFile {
            content,
            mode: Some(item.mode()),
            stranger: None,
        };
        self
    }

    /// The same without a file.
    pub(crate) fn without(mut self, item: Item) -> Self {
        *self.file_mut(item) = StoredFile::default();
        self
    }

    /// The same with a file that cannot be read.
    pub(crate) fn unreadable(mut self, item: Item) -> Self {
        self.file_mut(item).content = Content::Unreadable("Permission denied".into());
        self
    }

    /// The same on a read-only volume.
    pub(crate) fn read_only(mut self) -> Self {
        let folder = Folder::ReadOnly("Read-only file system".into());
        for own in [&mut self.root, &mut self.ca.folder, &mut self.server.folder] {
            *own = folder.clone();
        }
        self.client.folder = folder;
        self
    }

    fn file_mut(&mut self, item: Item) -> &mut StoredFile {
        match item {
            Item::CaKey => &mut self.ca.key,
            Item::CaCertificate => &mut self.ca.certificate,
            Item::ServerCa => &mut self.server.ca,
            Item::ServerKey => &mut self.server.key,
            Item::ServerCertificate => &mut self.server.certificate,
            Item::ClientCa => &mut self.client.ca,
            Item::ClientKey => &mut self.client.key,
            Item::ClientCertificate => &mut self.client.certificate,
        }
    }
}

/// A request with these additional names.
pub(crate) fn request(sans: &str) -> Request {
    Request {
        directory: "/certs".into(),
        sans: parse_sans(sans).unwrap(),
        untrusted: Untrusted::Warn,
    }
}

/// A host with one name and one address.
pub(crate) fn names() -> Names {
    Names::of_host("runner", None, vec!["172.17.0.2".parse().unwrap()])
}

/// What lies there after this plan was carried out.
pub(crate) fn carried_out(plan: &TlsPlan, material: &Material) -> Material {
    let Owner::Us(managed) = &plan.owner else {
        panic!("not ours to write: {plan}")
    };
    let files = issue(managed, material).unwrap();
    assert_eq!(
        files.iter().map(|file| file.item).collect::<Vec<_>>(),
        plan.writes()
    );
    files.into_iter().fold(material.clone(), |material, file| {
        material.put(file.item, file.bytes)
    })
}

/// A complete set of ours, made at `made`.
pub(crate) fn complete(made: OffsetDateTime) -> Material {
    let nothing = Material::default();
    carried_out(
        &decide(&request(""), &names(), &nothing, made).unwrap(),
        &nothing,
    )
}
