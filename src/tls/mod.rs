//! TLS material of the daemon: what is there, what is wanted, what has to be issued.
//!
//! ```text
//! Request + Names + Material + now ─▶ decide ─▶ TlsPlan ─▶ issue ─▶ the files to be written
//! ```
//!
//! Pure but for one thing: `issue` draws keys and serial numbers from the random generator. The
//! files are read by `host::certs` and written by `apply::certificate`, and by nobody else.
//!
//! The layout is that of the official image: `ca/{key,cert}.pem`, `server/{ca,cert,key}.pem` and
//! `client/{ca,cert,key}.pem` below one directory. Unlike there, what is still good is kept, so
//! that running clients never meet a key and a certificate of two different starts.

mod certificate;
mod chain;
mod decide;
mod der;
mod ec521;
mod issue;
mod key;
mod material;
mod plan;
mod public_key;
mod refusal;
mod san;

use std::net::IpAddr;
use std::path::PathBuf;

use time::Duration;

pub use certificate::Certificate;
pub use decide::decide;
pub use der::base64;
#[cfg(test)]
pub(crate) use ec521::tests::PEM as P521_PEM;
pub use ec521::{SecretKey, VERIFIERS, Verifier};
pub use issue::{IssueError, NewFile, issue};
pub use key::{KeyProblem, PrivateKey};
pub use material::{CaFiles, Content, Folder, FolderId, Item, LeafFiles, Material, StoredFile};
pub use plan::{
    Because, CaPlan, CertificatePlan, CopyPlan, Issue, KeyPlan, LeafPlan, ManagedPlan, Owner,
    TlsPlan,
};
pub use refusal::{SanError, SanProblem, TlsRefusal};
pub use san::{San, Sans, parse_sans};

/// Life of every certificate: the longest that Apple's platforms accept.
const LIFE: Duration = Duration::days(825);

/// How far a new certificate begins in the past. A client in another virtual machine may run a
/// little behind; without this it would call a fresh certificate "not yet valid".
const SKEW: Duration = Duration::minutes(5);

/// Subjects, as the official image names them.
const CA_NAME: &str = "docker:dind CA";
const SERVER_NAME: &str = "docker:dind server";
const CLIENT_NAME: &str = "docker:dind client";

/// What the user asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `DOCKER_TLS_CERTDIR`.
    pub directory: PathBuf,
    /// `DOCKER_TLS_SAN`, parsed by [`parse_sans`].
    pub sans: Sans,
    /// `DIND_TLS_UNTRUSTED`.
    pub untrusted: Untrusted,
}

/// What happens where somebody else may have made what decides who gets in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Untrusted {
    /// It is used, with a warning.
    #[default]
    Warn,
    /// The start is refused.
    Refuse,
}

/// Under which names and addresses clients can reach this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Host names. `docker` and `localhost` are wanted in any case and need not be here.
    pub dns: Vec<String>,
    /// The addresses under which others reach us.
    pub addresses: Vec<IpAddr>,
    /// Addresses that a new certificate carries and that an old one may lack: those of networks
    /// inside, which dockerd makes when the certificates are long there, and link-local ones.
    pub welcome: Vec<IpAddr>,
}

impl Names {
    /// The names that follow from a host name: itself, the full name, and its first label.
    #[must_use]
    pub fn of_host(hostname: &str, full: Option<&str>, addresses: Vec<IpAddr>) -> Self {
        let hostname = hostname.trim();
        let short = hostname.split('.').next();
        let mut dns: Vec<String> = Vec::new();
        for name in [Some(hostname), full.map(str::trim), short]
            .into_iter()
            .flatten()
        {
            if !name.is_empty() && !dns.iter().any(|known| known == name) {
                dns.push(name.to_owned());
            }
        }
        Self {
            dns,
            addresses,
            welcome: Vec::new(),
        }
    }
}

#[cfg(test)]
pub(crate) mod fixtures;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_host_are_distinct_and_never_empty() {
        let names = Names::of_host("runner.ci.example\n", Some("runner.ci.example"), vec![]);
        assert_eq!(names.dns, ["runner.ci.example", "runner"]);
        assert!(Names::of_host("\n", Some(""), vec![]).dns.is_empty());
    }
}
