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

pub mod explain;
pub mod init;
#[expect(
    unsafe_code,
    reason = "the one module that may; each block says why it is sound"
)]
pub mod sys;

/// Runs the persona or subcommand that argv names and returns the exit code.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the environment is read once, here, and passed"
)]
pub fn run(argv: &[std::ffi::OsString]) -> u8 {
    let called = argv
        .first()
        .and_then(|word| std::path::Path::new(word).file_name());
    let words = match argv {
        _ if called.is_some_and(|name| name == "docker-init" || name == "tini") => argv,
        [_, words @ ..] if words.first().is_some_and(|word| word == "init") => words,
        _ => return explain::exit::USAGE,
    };
    let Ok(mask) = sys::signal::block_all() else {
        return explain::exit::STEP_FAILED;
    };
    let env: Vec<_> = std::env::vars_os().collect();
    init::run(words, &env, mask)
}
