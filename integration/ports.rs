//! The port driver between real network namespaces: a client, the outer namespace with PID 1's
//! bind service, and the child namespace with the relay in a process of its own.
//!
//! Needs root and `ip`; else each test is skipped (`tests/kit/skip.rs`).
#![expect(
    unsafe_code,
    reason = "the harness hands descriptors to the relay's process"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::multiple_unsafe_ops_per_block,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test drives processes from outside and may fail loudly"
)]

#[path = "ports/api.rs"]
mod api;
#[path = "ports/backends.rs"]
mod backends;
#[path = "ports/harness.rs"]
mod harness;
#[path = "../tests/kit/skip.rs"]
mod skip;
#[path = "ports/source.rs"]
mod source;
#[path = "ports/streams.rs"]
mod streams;
#[path = "ports/traffic.rs"]
mod traffic;
#[path = "ports/udp.rs"]
mod udp;
