//! The real binary as PID 1 of a namespace of its own, with a stub for dockerd (`stub.rs`).
//!
//! Needs root; else each test prints why it is skipped, and fails with `MUST_RUN` set. Nothing
//! waits by the clock: the stub and the product say on standard error what happens, and the tests
//! read it, with a deadline that only a failure ever reaches.
#![expect(
    clippy::disallowed_methods,
    clippy::exit,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::zombie_processes,
    reason = "a test drives processes from outside and may fail loudly"
)]

mod command;
mod death;
mod harness;
mod lifetime;
mod live;
mod output;
mod ready;
mod stop;
mod stub;
