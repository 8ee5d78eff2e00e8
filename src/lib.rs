//! `dind-init`: PID 1 of a Docker-in-Docker container.
//!
//! ```text
//! argv, env, files ─▶ cli: Invocation ─▶ Config          what the user wants   (pure)
//! Config + daemon.json + socket paths ─▶ plan: ListenPlan which sockets         (pure)  ─▶ apply at once
//! /proc /sys /etc ────────────────────▶ host: Facts      what the machine is   (reads)
//! Config × Facts ─────────────────────▶ plan: HostPlan   what will be done     (pure; printable, JSON)
//! HostPlan ───────────────────────────▶ apply            the only writer
//! ═══════════ the border: from here on nothing may end PID 1 but its own decision ═══════════
//! events ─▶ supervise: (State, Event) → (State, Actions)   pure table, one thread, one poll loop
//! ```
//!
//! `cli`, `plan`, `tls` and `supervise::machine` are pure; `host` reads; `apply`, `supervise`,
//! `client` and `init` act; `sys` holds every `unsafe` block. `clippy.toml` keeps these rules.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        reason = "a test makes its own files; the same code is checked without tests"
    )
)]

pub mod apply;
pub mod cli;
pub mod client;
pub mod daemon;
pub mod explain;
pub mod files;
pub mod forwarder;
pub mod host;
pub mod init;
pub mod log;
mod persona;
pub mod plan;
pub mod printable;
pub mod process;
pub mod program;
pub mod rootless;
pub mod sink;
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
    let env = cli::environment::Environment::new(std::env::vars_os().collect());
    log::start(&env);
    // Without the mask we could lose a signal, but not more: an init that refuses to start for
    // that would be worse.
    let mask = sys::signal::block_all().unwrap_or_else(|_| sys::signal::OriginalMask::empty());
    let caller = daemon::Caller {
        env,
        mask,
        start,
        now,
    };
    match persona::run(argv, &sys::entry::executed(), &caller) {
        Ok(code) => code,
        Err(failure) => {
            log::failure(&caller.env, failure.as_ref());
            failure.exit_code()
        }
    }
}
