//! The openssl command as the second opinion: on what we issue, and as the maker of what we find.
//!
//! Skips with a reason when there is no openssl (`kit/skip.rs`).
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests run programs, lay out files, read the environment"
)]

mod found;
mod handshake;
mod shared;
#[path = "../kit/skip.rs"]
mod skip;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use dind_init::apply::certificate::{CertificateError, Outcome, apply};
use dind_init::tls::{Item, Names, Request, parse_sans};
use time::OffsetDateTime;

/// What shell entrypoints add to their authority since 2025.
const KEY_USAGE: &str = "-addext keyUsage=critical,digitalSignature,keyCertSign";

/// A directory that is one volume, and the questions asked about it.
struct Volume(tempfile::TempDir);

impl Volume {
    /// `None` when the test has to be skipped.
    fn new() -> Option<Self> {
        if let Err(error) = Command::new("openssl").arg("version").output() {
            skip::skip(&format!("no openssl command ({error})"));
            return None;
        }
        Some(Self(tempfile::tempdir().unwrap()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, item: Item) -> String {
        fs::read_to_string(self.path(item.path())).unwrap()
    }

    fn apply_at(&self, now: OffsetDateTime) -> Result<Outcome, CertificateError> {
        let sans = parse_sans("DNS:dind,IP:192.0.2.7").unwrap();
        let names = Names::of_host("runner", None, vec!["::1".parse().unwrap()]);
        apply(
            &Request {
                directory: self.0.path().into(),
                sans,
                untrusted: dind_init::tls::Untrusted::Warn,
            },
            &names,
            now,
        )
    }

    fn apply(&self) -> Outcome {
        self.apply_at(OffsetDateTime::now_utc()).unwrap()
    }

    /// Runs openssl inside of the volume; words are separated by blanks, `'` keeps them together.
    fn try_openssl(&self, words: &str) -> Output {
        let mut arguments = Vec::new();
        for (index, part) in words.split('\'').enumerate() {
            if index % 2 == 1 {
                arguments.push(part);
            } else {
                arguments.extend(part.split_whitespace());
            }
        }
        Command::new("openssl")
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    fn openssl(&self, words: &str) -> String {
        let output = self.try_openssl(words);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {words}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What a volume looks like after the openssl calls of a shell entrypoint: an authority and
    /// two leaves with requests and serial files beside them.
    fn made_by_openssl(&self, extensions: &str) {
        for folder in ["ca", "server", "client"] {
            fs::create_dir_all(self.path(folder)).unwrap();
        }
        self.openssl("genrsa -out ca/key.pem 2048");
        self.openssl(&format!(
            "req -new -x509 -key ca/key.pem -days 825 -subj '/CN=docker:dind CA' {extensions} \
             -out ca/cert.pem"
        ));
        let sans =
            "subjectAltName=DNS:docker,DNS:localhost,DNS:runner,DNS:dind,IP:::1,IP:192.0.2.7";
        fs::write(self.path("server/openssl.cnf"), sans).unwrap();
        fs::write(
            self.path("client/openssl.cnf"),
            "extendedKeyUsage=clientAuth",
        )
        .unwrap();
        for end in ["server", "client"] {
            self.openssl(&format!("genrsa -out {end}/key.pem 2048"));
        }
        self.sign_leaves();
    }

    fn sign_leaves(&self) {
        for end in ["server", "client"] {
            self.openssl(&format!(
                "req -new -key {end}/key.pem -subj '/CN=docker:dind {end}' -out {end}/csr.pem"
            ));
            self.openssl(&format!(
                "x509 -req -in {end}/csr.pem -CA ca/cert.pem -CAkey ca/key.pem -CAcreateserial \
                 -days 825 -extfile {end}/openssl.cnf -out {end}/cert.pem"
            ));
            fs::copy(
                self.path("ca/cert.pem"),
                self.path(&format!("{end}/ca.pem")),
            )
            .unwrap();
        }
    }

    fn verify_all(&self, more: &str) {
        for (end, purpose) in [("server", "sslserver"), ("client", "sslclient")] {
            self.openssl(&format!(
                "verify {more} -CAfile {end}/ca.pem -purpose {purpose} {end}/cert.pem"
            ));
        }
    }
}

#[test]
fn openssl_accepts_what_we_issue_even_when_it_is_strict() {
    let Some(volume) = Volume::new() else { return };
    assert_eq!(volume.apply().written, Item::ALL);
    volume.verify_all("-x509_strict -check_ss_sig");
    for (host, good) in [("dind", true), ("docker", true), ("elsewhere", false)] {
        let output = volume.try_openssl(&format!(
            "verify -CAfile server/ca.pem -verify_hostname {host} server/cert.pem"
        ));
        assert_eq!(output.status.success(), good, "{host}");
    }
    volume.openssl("verify -CAfile server/ca.pem -verify_ip 192.0.2.7 server/cert.pem");
    for wrong in [
        "-purpose sslclient server/cert.pem",
        "-purpose sslserver client/cert.pem",
    ] {
        let output = volume.try_openssl(&format!("verify -CAfile ca/cert.pem {wrong}"));
        assert!(!output.status.success(), "{wrong}");
    }
    for key in ["ca/key.pem", "server/key.pem", "client/key.pem"] {
        volume.openssl(&format!("pkey -in {key} -check -noout"));
        assert!(
            fs::read_to_string(volume.path(key))
                .unwrap()
                .contains("BEGIN PRIVATE KEY")
        );
    }
}

#[test]
fn openssl_reads_the_extensions_as_they_are_meant() {
    let Some(volume) = Volume::new() else { return };
    volume.apply();
    let text = |file: &str| {
        let text = volume.openssl(&format!("x509 -noout -text -in {file}"));
        text.lines().map(str::trim).collect::<Vec<_>>().join("\n")
    };
    let ca = text("ca/cert.pem");
    for expected in [
        "Version: 3",
        "Subject: CN = docker:dind CA",
        "X509v3 Basic Constraints: critical\nCA:TRUE",
        "X509v3 Key Usage: critical\nDigital Signature, Certificate Sign",
        "X509v3 Subject Key Identifier",
        "X509v3 Authority Key Identifier",
        "Signature Algorithm: ecdsa-with-SHA256",
        "NIST CURVE: P-256",
    ] {
        assert!(ca.contains(expected), "{expected}: {ca}");
    }
    let server = text("server/cert.pem");
    for expected in [
        "Subject: CN = docker:dind server",
        "X509v3 Key Usage: critical\nDigital Signature\n",
        "X509v3 Extended Key Usage:\nTLS Web Server Authentication\n",
        "X509v3 Subject Alternative Name:\nDNS:dind, DNS:docker, DNS:localhost, DNS:runner, \
         IP Address:192.0.2.7, IP Address:0:0:0:0:0:0:0:1",
        "X509v3 Authority Key Identifier",
    ] {
        assert!(server.contains(expected), "{expected}: {server}");
    }
    let client = text("client/cert.pem");
    assert!(
        client.contains("Subject: CN = docker:dind client"),
        "{client}"
    );
    assert!(client.contains("X509v3 Extended Key Usage:\nTLS Web Client Authentication\n"));
    assert!(!client.contains("Alternative Name"), "{client}");
}
