//! The kind, not the case: at every path that our program opens, makes, renames, changes or
//! removes below a directory which a neighbour may write, everything is planted that a neighbour
//! can make.
//!
//! The paths come from a trace of whole lives (start, a dockerd that dies, a second one, stop), so
//! that new code is covered by itself. It happens in one container of the lab: each case is a
//! world of its own in namespaces, with directories that are shared in the way of volumes, and a
//! stub for dockerd (`stub.rs`), so that hundreds take minutes.
//!
//! `HOSTILE_SECONDS` bounds the time (0: every case); `HOSTILE_SEED` gives the order, which is
//! another one every day.

use std::path::Path;

use crate::container::Create;
use crate::lab::Lab;

mod judge;
mod life;
mod plant;
mod runner;
mod stub;
mod trace;
mod world;

/// Which part of the whole fits between other tests.
const SECONDS: &str = "60";

#[test]
fn whatever_is_planted_where_a_neighbour_may_write_harms_nobody() {
    let Some(lab) = Lab::find() else { return };
    let variable = |name: &str, default: &str| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty());
        format!("{name}={}", value.unwrap_or_else(|| default.to_owned()))
    };
    let own = std::env::current_exe().expect("the test program");
    let container = Create::of(lab, &std::env::var("DIND_LAB_IMAGE").expect("the image"))
        .option("--privileged")
        .env("HOSTILE_INSIDE=1")
        .env(&variable("HOSTILE_SECONDS", SECONDS))
        .env(&variable("HOSTILE_SEED", &today()))
        .env(&variable("HOSTILE_ONLY", ""))
        .copy("/sweep", Path::new(&own))
        .file("/usr/local/sbin/dockerd", 0o755, stub::WRAPPER)
        .entrypoint("/sweep")
        .args([
            "--exact",
            "sweep::runner::all",
            "--nocapture",
            "--test-threads=1",
        ])
        .create();
    runner::follow(lab, &container);
}

/// Another order every day, and the same one for whoever looks into it.
fn today() -> String {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let days = seconds.map_or(0, |passed| passed.as_secs() / 86_400);
    days.to_string()
}
