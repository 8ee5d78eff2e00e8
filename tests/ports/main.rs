//! The port driver between real network namespaces: a client, the outer namespace with PID 1's
//! bind service, and the child namespace with the relay in a process of its own.
//!
//! Needs root and `ip`; else each test prints why it is skipped, and fails with `MUST_RUN=1`.
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
    missing_docs,
    unreachable_pub,
    reason = "a test drives processes from outside and may fail loudly"
)]

mod api;
mod backends;
mod harness;
mod source;
mod streams;
mod traffic;
mod udp;
