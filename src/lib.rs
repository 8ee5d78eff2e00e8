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

pub mod apply;
pub mod cli;
pub mod explain;
pub mod host;
pub mod log;
pub mod plan;
#[expect(
    unsafe_code,
    reason = "the one module that may; each block says why it is sound"
)]
pub mod sys;

/// Runs the persona or subcommand that argv names and returns the exit code.
#[must_use]
pub fn run(argv: &[std::ffi::OsString]) -> u8 {
    let _ = argv;
    explain::exit::USAGE
}
