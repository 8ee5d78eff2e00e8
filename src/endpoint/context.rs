//! Docker contexts: the daemon that `DOCKER_CONTEXT` or `docker context use` has chosen.
//!
//! Rules of the docker CLI (28.5, 26.1 and 20.10 agree but for empty variables, where the newer
//! ones are followed): `DOCKER_HOST` beats a context, `DOCKER_CONTEXT` beats `currentContext` of
//! config.json, and the name `default` is none. A chosen context beats the TLS variables.

use std::ffi::OsString;
use std::path::Path;

use serde::Deserialize;

use super::{Identity, TlsFiles, configuration_directory};
use crate::base::environment::Environment;
use crate::files;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Chosen {
    /// None: the environment decides.
    #[default]
    None,
    Context(Context),
    /// One that cannot be used.
    Broken {
        name: String,
        by: By,
        reason: &'static str,
    },
}

/// Who chose a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// `docker context use`.
    Configuration,
    /// `DOCKER_CONTEXT`.
    Variable,
}

impl By {
    /// For messages.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Configuration => "docker context use",
            Self::Variable => "DOCKER_CONTEXT",
        }
    }
}

/// A context's daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    pub name: String,
    pub by: By,
    /// Its address, as a `DOCKER_HOST`.
    pub host: OsString,
    /// Its certificates, where it has some.
    pub tls: Option<TlsFiles>,
    /// It was made with `skip-tls-verify`.
    pub unverified: bool,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default, rename = "currentContext")]
    current: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    name: String,
    #[serde(default)]
    endpoints: Endpoints,
}

#[derive(Default, Deserialize)]
struct Endpoints {
    docker: Option<Daemon>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Daemon {
    #[serde(default)]
    host: String,
    #[serde(default, rename = "SkipTLSVerify")]
    unverified: bool,
}

/// Reads what the docker CLI reads.
#[must_use]
pub fn look(env: &Environment) -> Chosen {
    if env.non_empty("DOCKER_HOST").is_some() {
        return Chosen::None;
    }
    let directory = configuration_directory(env);
    let (name, by) = match env.non_empty("DOCKER_CONTEXT") {
        Some(name) => (name.to_string_lossy().into_owned(), By::Variable),
        // A file that is not JSON is passed over, with a warning of the CLI's own.
        None => match read::<Configuration>(&directory.join("config.json"))
            .and_then(|file| file.current)
        {
            Some(name) if !name.is_empty() => (name, By::Configuration),
            _ => return Chosen::None,
        },
    };
    if name == "default" {
        return Chosen::None;
    }
    find(&directory.join("contexts"), &name, by).unwrap_or_else(|reason| Chosen::Broken {
        name,
        by,
        reason,
    })
}

/// The folders are named by a hash of the name; looking into each spares us that.
fn find(contexts: &Path, name: &str, by: By) -> Result<Chosen, &'static str> {
    let missing = "no context of that name is in contexts/meta of the docker configuration";
    let folders = files::entries(&contexts.join("meta")).map_err(|_| missing)?;
    let found = folders.into_iter().find_map(|folder| {
        let meta: Meta = read(&folder.join("meta.json"))?;
        (meta.name == name).then_some((folder, meta.endpoints.docker))
    });
    let (folder, daemon) = found.ok_or(missing)?;
    let id = folder.file_name().ok_or(missing)?;
    let daemon = daemon.ok_or("it has no docker endpoint")?;
    let dir = contexts.join("tls").join(id).join("docker");
    let has = |name: &str| files::exists(&dir.join(name));
    let tls = (has("ca.pem") || has("cert.pem")).then(|| TlsFiles {
        ca: dir.join("ca.pem"),
        identity: has("cert.pem").then(|| Identity {
            cert: dir.join("cert.pem"),
            key: dir.join("key.pem"),
        }),
    });
    Ok(Chosen::Context(Context {
        name: name.to_owned(),
        by,
        host: daemon.host.into(),
        tls,
        unverified: daemon.unverified,
    }))
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&files::read(path, files::MOST).ok()?).ok()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use std::fs;

    use super::*;

    /// As `docker context create` of 28.5 leaves it.
    fn context(config: &Path, id: &str, json: &str, files: &[&str]) {
        let meta = config.join("contexts/meta").join(id);
        fs::create_dir_all(&meta).unwrap();
        fs::write(meta.join("meta.json"), json).unwrap();
        let tls = config.join("contexts/tls").join(id).join("docker");
        for file in files {
            fs::create_dir_all(&tls).unwrap();
            fs::write(tls.join(file), "x").unwrap();
        }
    }

    fn chosen(config: &Path, variables: &[(&str, &str)]) -> String {
        let variables = variables.iter().map(|(k, v)| (*k, OsString::from(v)));
        let directory = ("DOCKER_CONFIG", config.as_os_str().to_owned());
        match look(&variables.chain([directory]).collect()) {
            Chosen::None => "none".into(),
            Chosen::Broken { name, by, .. } => format!("broken {name} by {}", by.words()),
            Chosen::Context(context) => format!(
                "{} {} by {}{}{}",
                context.name,
                context.host.display(),
                context.by.words(),
                if context.unverified {
                    ", unverified"
                } else {
                    ""
                },
                match context.tls {
                    None => "",
                    Some(TlsFiles { identity: None, .. }) => ", CA alone",
                    Some(_) => ", certificates",
                }
            ),
        }
    }

    #[test]
    fn the_cli_and_we_choose_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path();
        assert_eq!(chosen(config, &[]), "none");
        context(
            config,
            "8f9d",
            r#"{"Name":"ctx1","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://dind:2375","SkipTLSVerify":false}}}"#,
            &[],
        );
        context(
            config,
            "b7e6",
            r#"{"Name":"tls","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://dind:2376","SkipTLSVerify":false}}}"#,
            &["ca.pem", "cert.pem", "key.pem"],
        );
        context(
            config,
            "42e9",
            r#"{"Name":"skip","Endpoints":{"docker":{"Host":"tcp://d:1","SkipTLSVerify":true}}}"#,
            &["ca.pem"],
        );
        context(config, "77", r#"{"Name":"none","Endpoints":{}}"#, &[]);
        let named = |name| chosen(config, &[("DOCKER_CONTEXT", name)]);
        assert_eq!(named("ctx1"), "ctx1 tcp://dind:2375 by DOCKER_CONTEXT");
        assert_eq!(
            named("tls"),
            "tls tcp://dind:2376 by DOCKER_CONTEXT, certificates"
        );
        assert_eq!(
            named("skip"),
            "skip tcp://d:1 by DOCKER_CONTEXT, unverified, CA alone"
        );
        assert_eq!(named("nope"), "broken nope by DOCKER_CONTEXT");
        assert_eq!(named("none"), "broken none by DOCKER_CONTEXT");
        assert_eq!(named("default"), "none");

        fs::write(config.join("config.json"), r#"{"currentContext":"ctx1"}"#).unwrap();
        assert_eq!(
            chosen(config, &[]),
            "ctx1 tcp://dind:2375 by docker context use"
        );
        assert_eq!(named(""), chosen(config, &[]));
        assert_eq!(named("default"), "none");
        let beaten = ("DOCKER_HOST", "tcp://x:1");
        assert_eq!(chosen(config, &[beaten, ("DOCKER_CONTEXT", "tls")]), "none");
        assert_eq!(
            chosen(config, &[("DOCKER_HOST", "")]),
            chosen(config, &[]),
            "28.5 and 26.1"
        );
        for text in ["{bad", "{}", r#"{"currentContext":""}"#] {
            fs::write(config.join("config.json"), text).unwrap();
            assert_eq!(chosen(config, &[]), "none", "{text}");
        }
    }
}
