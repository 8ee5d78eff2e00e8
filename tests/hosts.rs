//! The machines that were met: what `dind-init facts --json` said on each, and what is decided
//! there. `UPDATE_EXPECT=1 cargo test --test hosts` writes the decisions anew.
#![expect(clippy::disallowed_methods, reason = "fixtures of our own")]

use std::fs;
use std::path::{Path, PathBuf};

use dind_init::base::explain::Explain;
use dind_init::config::{CommandForm, Config, Identity};
use dind_init::host::Facts;
use dind_init::host::daemon_json::{Content, DaemonFile};
use dind_init::host::listen::ListenFacts;
use dind_init::plan::mode::ModePlan;
use dind_init::plan::{host, listen};
use expect_test::expect_file;
use serde_json::Value;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hosts")
}

/// What a start without any setting does on this machine.
fn decide(facts: &Facts) -> Result<String, Box<dyn std::error::Error>> {
    let identity = Identity {
        pid: 1,
        uid: facts.process.uid,
        gid: 0,
    };
    let env = [("DOCKER_TLS_CERTDIR", "")].into_iter().collect();
    let config = Config::new(CommandForm::Default, &[], env, identity)?;
    let file = DaemonFile {
        path: "/etc/docker/daemon.json".into(),
        content: Content::Absent,
    };
    let sockets = ListenFacts {
        ipv6: true,
        ..ListenFacts::default()
    };
    let listen = listen::plan(&config, &file, &sockets)?;
    match host::plan(&config, &file, &listen, facts, None, ModePlan::Rootful) {
        Ok(plan) => Ok(plan.to_string()),
        Err(refusal) => {
            let (why, fix) = (refusal.why(), refusal.fix());
            Ok(format!("refused: {refusal}\nwhy  {why}\nfix  {fix}\n"))
        }
    }
}

#[test]
fn every_machine_that_was_met_gets_the_same_plan_again() {
    let mut names: Vec<PathBuf> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    names.sort();
    assert!(!names.is_empty());
    for path in names {
        let facts: Facts = serde_json::from_slice(&fs::read(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        expect_file![path.with_extension("plan")].assert_eq(&decide(&facts).unwrap());
    }
}

/// A version that says more reads what an older one said; nothing of it is forgotten on the way.
#[test]
fn nothing_that_was_said_is_forgotten() {
    for entry in fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let said: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let facts: Facts = serde_json::from_value(said.clone()).unwrap();
            let kept = serde_json::to_value(&facts).unwrap();
            assert!(holds(&kept, &said), "{}", path.display());
        }
    }
}

#[test]
fn that_names_cannot_be_forwarded_is_said() {
    let bytes = fs::read(directory().join("docker-v1-private-cgroups.json")).unwrap();
    let mut facts: Facts = serde_json::from_slice(&bytes).unwrap();
    facts.uplink.resolvers = vec!["127.0.0.11".parse().unwrap()];
    facts.uplink.names_port = true;
    let told = |facts: &Facts| decide(facts).unwrap().contains("choose one with --bip");
    assert!(!told(&facts));
    let everywhere = ["0.0.0.0/1", "128.0.0.0/1"];
    facts.uplink.routes = everywhere.map(|net| net.parse().unwrap()).to_vec();
    assert!(told(&facts));
}

fn holds(kept: &Value, said: &Value) -> bool {
    match (kept, said) {
        (Value::Object(kept), Value::Object(said)) => said
            .iter()
            .all(|(key, said)| kept.get(key).is_some_and(|kept| holds(kept, said))),
        (Value::Array(kept), Value::Array(said)) => {
            kept.len() == said.len() && kept.iter().zip(said).all(|(kept, said)| holds(kept, said))
        }
        _ => kept == said,
    }
}
