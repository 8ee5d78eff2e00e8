//! The real binary as PID 1 of a namespace of its own, with a stub for dockerd (`stub.rs`).
//!
//! Needs root; else each test is skipped (`tests/kit/skip.rs`). Nothing
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

#[path = "supervise/command.rs"]
mod command;
#[path = "supervise/death.rs"]
mod death;
#[path = "supervise/harness.rs"]
mod harness;
#[path = "supervise/lifetime.rs"]
mod lifetime;
#[path = "supervise/live.rs"]
mod live;
#[path = "supervise/output.rs"]
mod output;
#[path = "supervise/ready.rs"]
mod ready;
#[path = "supervise/rootless.rs"]
mod rootless;
#[path = "../tests/kit/skip.rs"]
mod skip;
#[path = "supervise/stop.rs"]
mod stop;
#[path = "supervise/stub.rs"]
mod stub;
