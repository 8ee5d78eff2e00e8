//! The init persona against the real binary, as PID 1 of a pid namespace of its own.
//!
//! Needs root, or a kernel that lets everybody make user namespaces; else each test is skipped
//! (`tests/kit/skip.rs`). `PID1_UNDER_TEST=/usr/bin/tini` runs the same matrix
//! against another init: what differs then is named in the notes of each test.
#![expect(
    unsafe_code,
    reason = "the harness makes namespaces, terminals and odd signal states for the init"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::multiple_unsafe_ops_per_block,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test drives processes from outside and may fail loudly"
)]

#[path = "pid1/exits.rs"]
mod exits;
#[path = "pid1/harness.rs"]
mod harness;
#[path = "pid1/orphans.rs"]
mod orphans;
#[path = "pid1/signals.rs"]
mod signals;
#[path = "../tests/kit/skip.rs"]
mod skip;
#[path = "pid1/streams.rs"]
mod streams;
#[path = "pid1/tty.rs"]
mod tty;
#[path = "pid1/usage.rs"]
mod usage;
