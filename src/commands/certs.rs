//! `dind-init certs show|issue|check`: the TLS material for people and scripts.
//!
//! Texts are made by pure functions; reading is `host::certs`, writing `apply::certificate`.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::apply::certificate::{self, Outcome};
use crate::base::explain::{self, Explain, Failure};
use crate::host;
use crate::tls::{
    self, Certificate, Content, Item, Material, Names, PrivateKey, Request, San, TlsPlan,
    TlsRefusal, Untrusted,
};

/// The words after `dind-init certs`.
#[derive(Clone, Debug, clap::Args)]
pub struct CertsArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
    /// Directory of the certificates (default: DOCKER_TLS_CERTDIR).
    #[arg(long, global = true, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// More names and addresses for the server certificate (default: DOCKER_TLS_SAN).
    #[arg(long, global = true, value_name = "LIST")]
    pub san: Option<String>,
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

/// The three verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Subcommand)]
pub enum Action {
    /// Exit 0 when all is valid and nothing would be issued, 1 otherwise.
    Check,
    /// Make what is missing, renew what is due.
    Issue,
    /// Print a table of what is there.
    Show,
}

/// Where the official image keeps its certificates.
const DEFAULT_DIRECTORY: &str = "/certs";

/// Runs one of the verbs: the text for stdout and the exit code. Whoever knows the environment
/// fills in `dir` and `san` from it beforehand.
///
/// # Errors
/// A bad list of names, a refusal, or a write that failed; `check` tells those in its text.
pub fn run(args: &CertsArgs, names: &Names, now: OffsetDateTime) -> Result<(String, u8), Failure> {
    let directory = args.dir.clone().unwrap_or_else(|| DEFAULT_DIRECTORY.into());
    let sans = tls::parse_sans(args.san.as_deref().unwrap_or_default())?;
    let request = Request {
        directory,
        sans,
        untrusted: Untrusted::Warn,
    };
    match args.action {
        Action::Check => {
            let found = tls::decide(&request, names, &host::certs::read(&request.directory), now);
            Ok(check(found, args.json))
        }
        Action::Issue => {
            let outcome = certificate::apply(&request, names, now)?;
            certificate::make_durable(&request.directory, &outcome.written);
            Ok((issued(&outcome, args.json), 0))
        }
        Action::Show => {
            let rows = rows(&host::certs::read(&request.directory), now);
            Ok((
                if args.json {
                    pretty(&rows)
                } else {
                    table(&rows)
                },
                0,
            ))
        }
    }
}

/// The answer of `check`.
fn check(found: Result<TlsPlan, TlsRefusal>, json: bool) -> (String, u8) {
    match found {
        Ok(plan) => {
            let code = u8::from(!plan.is_settled());
            let text = if json {
                pretty(&json!({ "valid": code == 0, "plan": plan }))
            } else {
                format!("{plan}\n")
            };
            (text, code)
        }
        Err(refusal) if json => {
            let refusal: &dyn Explain = &refusal;
            (
                pretty(&json!({ "valid": false, "refusal": explain::to_json(refusal) })),
                1,
            )
        }
        Err(refusal) => (explain::frame(&refusal), 1),
    }
}

/// The answer of `issue`.
fn issued(outcome: &Outcome, json: bool) -> String {
    let written: Vec<&str> = outcome.written.iter().map(|item| item.path()).collect();
    if json {
        return pretty(&json!({
            "written": written, "plan": outcome.plan, "notes": outcome.notes,
        }));
    }
    let mut lines = outcome.plan.lines();
    lines.extend(outcome.notes.iter().map(|note| format!("note  {note}")));
    lines.extend(outcome.verified());
    lines.join("\n") + "\n"
}

/// One file, as `show` tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Path below the directory.
    pub file: &'static str,
    /// `ok`, or what is wrong.
    pub state: String,
    /// Permission bits, in octal.
    pub mode: Option<String>,
    /// Kind of the key, e.g. `RSA 4096`.
    pub key: Option<String>,
    /// Subject of a certificate.
    pub subject: Option<String>,
    /// Its issuer.
    pub issuer: Option<String>,
    /// End of its life, RFC 3339.
    pub not_after: Option<String>,
    /// Whole days until then.
    pub days_left: Option<i64>,
    /// Its names.
    pub sans: Vec<San>,
}

/// Describes every file; pure.
#[must_use]
pub fn rows(material: &Material, now: OffsetDateTime) -> Vec<Row> {
    Item::ALL
        .into_iter()
        .map(|item| row(material, item, now))
        .collect()
}

fn row(material: &Material, item: Item, now: OffsetDateTime) -> Row {
    let stored = material.file(item);
    let base = Row {
        file: item.path(),
        mode: stored.mode.map(|mode| format!("{mode:04o}")),
        ..Row::default()
    };
    let wrong = |state: String| Row {
        state,
        ..base.clone()
    };
    let bytes = match &stored.content {
        Content::Empty => return wrong("empty".into()),
        Content::Missing => return wrong("missing".into()),
        Content::Unreadable(reason) => return wrong(reason.clone()),
        Content::Present(bytes) => bytes,
    };
    if item.is_key() {
        return match PrivateKey::from_pem(bytes) {
            Ok(key) => Row {
                state: "ok".into(),
                key: Some(key.kind().to_owned()),
                ..base
            },
            Err(problem) => wrong(problem.to_string()),
        };
    }
    match Certificate::first_from(bytes) {
        Err(reason) => wrong(reason),
        Ok(certificate) => Row {
            state: match certificate.days_left(now) {
                _ if now > certificate.not_after => "expired".into(),
                _ if now < certificate.not_before => "not valid yet".into(),
                _ => "ok".into(),
            },
            not_after: certificate.not_after.format(&Rfc3339).ok(),
            days_left: Some(certificate.days_left(now)),
            key: Some(certificate.key),
            subject: Some(certificate.subject),
            issuer: Some(certificate.issuer),
            sans: certificate.sans.into_iter().collect(),
            ..base
        },
    }
}

/// The rows as an aligned table; pure.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let head = [
        "FILE",
        "STATE",
        "MODE",
        "KEY",
        "SUBJECT",
        "ISSUER",
        "NOT AFTER",
        "DAYS",
        "SAN",
    ];
    let dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
    let mut lines = vec![head.map(str::to_owned)];
    for row in rows {
        let sans: Vec<String> = row.sans.iter().map(San::to_string).collect();
        lines.push([
            row.file.to_owned(),
            row.state.clone(),
            dash(&row.mode),
            dash(&row.key),
            dash(&row.subject),
            dash(&row.issuer),
            dash(&row.not_after),
            dash(&row.days_left.map(|days| days.to_string())),
            if sans.is_empty() {
                "-".into()
            } else {
                sans.join(" ")
            },
        ]);
    }
    // Names in certificates are their maker's.
    for cell in lines.iter_mut().flatten() {
        *cell = crate::base::printable::line(cell).to_string();
    }
    let mut widths = [0; 9];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let render = |line: &[String; 9]| {
        let cells = line
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    lines.iter().map(render).collect()
}

fn pretty(value: &impl Serialize) -> String {
    crate::base::printable::json_pretty(value) + "\n"
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use time::Duration;

    use super::*;
    use crate::tls::fixtures::{NOW, complete, names};

    fn args(action: Action, directory: &std::path::Path) -> CertsArgs {
        CertsArgs {
            action,
            dir: Some(directory.to_owned()),
            san: None,
            json: false,
        }
    }

    #[test]
    fn shows_every_file_and_what_is_wrong_with_it() {
        let material = complete(NOW)
            .without(Item::ClientCertificate)
            .put(Item::ClientCa, "")
            .put(Item::ClientKey, "rubbish");
        expect![[r#"
            FILE             STATE                              MODE  KEY       SUBJECT                ISSUER             NOT AFTER             DAYS  SAN
            ca/key.pem       ok                                 0600  EC P-256  -                      -                  -                     -     -
            ca/cert.pem      ok                                 0644  EC P-256  CN=docker:dind CA      CN=docker:dind CA  2029-04-19T07:55:00Z  824   -
            server/ca.pem    ok                                 0644  EC P-256  CN=docker:dind CA      CN=docker:dind CA  2029-04-19T07:55:00Z  824   -
            server/key.pem   ok                                 0600  EC P-256  -                      -                  -                     -     -
            server/cert.pem  ok                                 0644  EC P-256  CN=docker:dind server  CN=docker:dind CA  2029-04-19T07:55:00Z  824   docker localhost runner 172.17.0.2
            client/ca.pem    empty                              0644  -         -                      -                  -                     -     -
            client/key.pem   there is no PEM private key in it  0644  -         -                      -                  -                     -     -
            client/cert.pem  missing                            -     -         -                      -                  -                     -     -
        "#]]
        .assert_eq(&table(&rows(&material, NOW)));
        let late = rows(&complete(NOW), NOW + Duration::days(900));
        assert_eq!(late[1].state, "expired");
    }

    #[test]
    fn check_is_1_before_issue_and_0_after_it() {
        let directory = tempfile::tempdir().unwrap();
        let run = |action| run(&args(action, directory.path()), &names(), NOW).unwrap();
        let (text, code) = run(Action::Check);
        assert!(
            code == 1 && text.contains("issue server: EC P-256"),
            "{text}"
        );
        let (text, code) = run(Action::Issue);
        assert!(code == 0 && text.contains("client/cert.pem: OK"), "{text}");
        let (text, code) = run(Action::Check);
        assert!(
            code == 0 && text.starts_with("keep  ca: EC P-256"),
            "{text}"
        );
    }

    #[test]
    fn json_is_json_and_holds_no_key() {
        let directory = tempfile::tempdir().unwrap();
        for action in [Action::Check, Action::Issue, Action::Show, Action::Check] {
            let args = CertsArgs {
                json: true,
                ..args(action, directory.path())
            };
            let (text, _) = run(&args, &names(), NOW).unwrap();
            assert!(
                serde_json::from_str::<serde_json::Value>(&text).is_ok(),
                "{text}"
            );
            assert!(!text.contains("PRIVATE KEY"));
        }
    }

    #[test]
    fn check_tells_a_refusal_with_the_frame() {
        let refusal = TlsRefusal::Unreadable {
            file: "/certs/x".into(),
            reason: "EACCES".into(),
        };
        let (text, code) = check(Err(refusal.clone()), false);
        assert!(code == 1 && text.contains("  why    EACCES"), "{text}");
        let (text, code) = check(Err(refusal), true);
        assert!(code == 1 && text.contains("\"valid\": false"), "{text}");
    }

    #[test]
    fn a_bad_name_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let args = CertsArgs {
            san: Some("a b".into()),
            ..args(Action::Check, directory.path())
        };
        let error = run(&args, &names(), NOW).unwrap_err();
        assert_eq!(error.exit_code(), 78);
        assert!(error.to_string().contains("a b"));
    }
}
