//! docs/errors.md: every failure that is explained, from the types that explain it.

use std::any::type_name;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::base::explain::{Explain, Samples, causes};

const HEAD: &str = "\
# Errors

Every failure that dind-init explains; search for the words of its message. Names, paths and numbers
are examples. *Cause* is what the kernel or a program said, *exit* what dind-init exits with when
this ends it. The headings are ids: with `DIND_LOG_FORMAT=json`, and in what commands print with
`--json`, a failure has its `id`. Some failures hand on another one: what failed in a step of the
set-up (\"could not finish the set-up\"), in a wait or in a ping has the id of what is behind it.

Generated from the samples beside each type (CONTRIBUTING.md): not to be edited.
";

/// One section for each id.
#[derive(Default)]
struct Page {
    types: BTreeSet<&'static str>,
    sections: BTreeMap<String, String>,
}

impl Page {
    fn with<E: Explain + Samples>(mut self) -> Self {
        let mut sections = BTreeMap::<String, String>::new();
        for sample in E::samples() {
            let advice = sample.explained();
            let text = sections.entry(advice.id.unwrap().into()).or_default();
            text.push_str(&format!("\n**error: {}**\n", plain(&sample.to_string())));
            for (name, value) in [
                ("cause", causes(&sample).join(": ")),
                ("why", advice.why),
                ("fix", advice.fix),
                ("exit", advice.code.to_string()),
            ] {
                assert!(name == "cause" || !value.is_empty(), "{name} of {sample:?}");
                if !value.is_empty() {
                    text.push_str(&format!("- *{name}*: {}\n", plain(&value)));
                }
            }
        }
        for (id, text) in sections {
            let other = self.sections.insert(id, text);
            assert_eq!(
                other,
                None,
                "two types have the same id: {}",
                type_name::<E>()
            );
        }
        self.types
            .insert(type_name::<E>().rsplit("::").next().unwrap());
        self
    }
}

/// One line of Markdown.
fn plain(text: &str) -> String {
    text.replace('<', "&lt;").replace('\n', "<br>")
}

fn page() -> Page {
    Page::default()
        .with::<crate::apply::ApplyError>()
        .with::<crate::apply::certificate::CertificateError>()
        .with::<crate::apply::listen::ListenFailed>()
        .with::<crate::apply::lock::InUse>()
        .with::<crate::client::credentials::CredentialsError>()
        .with::<crate::client::entrypoint::EntrypointError>()
        .with::<crate::client::own::NoAnswer>()
        .with::<crate::client::ping::PingError>()
        .with::<crate::client::wait::WaitError>()
        .with::<crate::commands::daemon::service::AlreadyRuns>()
        .with::<crate::config::bad::BadSettings>()
        .with::<crate::config::rootless::places::NotWritable>()
        .with::<crate::endpoint::EndpointError>()
        .with::<crate::endpoint::HostError>()
        .with::<crate::init::StartError>()
        .with::<crate::init::options::UsageError>()
        .with::<crate::net::resolve::ResolveError>()
        .with::<crate::plan::cgroup::refusal::CgroupRefusal>()
        .with::<crate::plan::host_refusal::HostRefusal>()
        .with::<crate::plan::listen_refusal::ListenRefusal>()
        .with::<crate::plan::netfilter::refusal::NetfilterRefusal>()
        .with::<crate::plan::rootless::refusal::RootlessRefusal>()
        .with::<crate::plan::storage::refusal::StorageRefusal>()
        .with::<crate::ports::PortsError>()
        .with::<crate::process::program::ProgramError>()
        .with::<crate::tls::SanError>()
        .with::<crate::tls::TlsRefusal>()
        .with::<crate::userns::error::LaunchError>()
}

#[test]
fn errors_md_has_every_failure_as_it_is_told() {
    let sections = page().sections.into_iter();
    let sections = sections.map(|(id, text)| format!("\n## {id}\n{text}"));
    let text = HEAD.to_owned() + &sections.collect::<String>();
    expect_test::expect_file!["../../docs/errors.md"].assert_eq(&text);
}

#[test]
fn every_type_that_explains_is_in_the_list() {
    // It has the id of its cause, and no words of its own but its name.
    const HANDS_ON: &str = "StepFailed";
    let mut explaining = BTreeSet::new();
    let mut open = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(entries(&path));
        } else if let Ok(source) = String::from_utf8(crate::files::read(&path, 1 << 20).unwrap()) {
            let lines = source
                .lines()
                .filter_map(|line| line.strip_prefix("impl Explain for "));
            explaining.extend(lines.map(|rest| rest.trim_end_matches(" {").to_owned()));
        }
    }
    let mut listed: BTreeSet<_> = page().types.into_iter().map(str::to_owned).collect();
    listed.insert(HANDS_ON.to_owned());
    assert_eq!(listed, explaining);
}

#[expect(
    clippy::disallowed_methods,
    reason = "the sources of this very program"
)]
fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}
