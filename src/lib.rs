//! `dind-init`: PID 1 of a Docker-in-Docker container.
//!
//! ```text
//! argv, env, files ─▶ config: Config             what the user wants   (pure)
//! Config + daemon.json + socket paths ─▶ plan: ListenPlan which sockets (pure)  ─▶ apply at once
//! /proc /sys /etc ─▶ host: Facts                 what the machine is   (reads)
//! Config × Facts ─▶ plan: HostPlan               what will be done     (pure; printable, JSON)
//! HostPlan ─▶ apply                              the only writer
//! ═══════════ the border: from here on nothing may end PID 1 but its own decision ═══════════
//! events ─▶ supervise: (State, Event) → (State, Actions)   pure table, one thread, one poll loop
//! ```
//!
//! ARCHITECTURE.md has the rooms in the order in which they build on each other; none imports from
//! one that comes later.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        reason = "a test makes its own files; the same code is checked without tests"
    )
)]

pub mod apply;
pub mod base;
pub mod client;
pub mod commands;
pub mod config;
pub mod endpoint;
pub mod files;
pub mod forwarder;
pub mod host;
pub mod init;
pub mod log;
pub mod net;
pub mod plan;
pub mod ports;
pub mod process;
#[cfg(test)]
#[path = "../tests/kit/skip.rs"]
mod skip;
pub mod supervise;
#[expect(
    unsafe_code,
    reason = "the one module that may; each block says why it is sound"
)]
pub mod sys;
pub mod tls;
pub mod userns;

use std::ffi::OsString;
use std::time::Instant;

/// Runs the persona or subcommand that argv names and returns the exit code.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the environment is read"
)]
pub fn run(argv: &[OsString]) -> u8 {
    let (start, now) = (Instant::now(), time::OffsetDateTime::now_utc());
    let env = base::environment::Environment::new(std::env::vars_os().collect());
    log::start(
        config::settings::LOG_LEVEL.of(&env),
        config::settings::LOG_FORMAT.of(&env),
    );
    // Without the mask we could lose a signal, but not more: an init that refuses to start for
    // that would be worse.
    let mask = sys::signal::block_all().unwrap_or_else(|_| sys::signal::OriginalMask::empty());
    let caller = commands::Caller {
        env,
        mask,
        start,
        now,
    };
    match commands::persona::run(argv, &sys::entry::executed(), &caller) {
        Ok(code) => code,
        Err(failure) => {
            log::failure(failure.as_ref());
            failure.exit_code()
        }
    }
}
