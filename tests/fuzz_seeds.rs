//! What the fuzz targets (`make fuzz`) assert, on their seeds: everything that a fuzzer has found
//! once is tried with every run of the tests, without a fuzzer.
#![expect(clippy::disallowed_methods, reason = "seeds of our own")]
#![allow(missing_docs)]
#![allow(
    clippy::indexing_slicing,
    reason = "the invariants are written for a fuzzer, and may fail loudly"
)]

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

#[path = "../fuzz/invariants/api_request.rs"]
mod api_request;
#[path = "../fuzz/invariants/bind_question.rs"]
mod bind_question;
#[path = "../fuzz/invariants/flags.rs"]
mod flags;
#[path = "../fuzz/invariants/port_spec.rs"]
mod port_spec;

/// Each seed as it is, and every beginning of it: what a reader sees that comes too early.
#[track_caller]
fn replay(target: &str, check: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let seeds = fs::read_dir(&directory).expect("the seeds");
    let seeds: Vec<_> = seeds.map(|seed| seed.expect("a seed").path()).collect();
    assert!(!seeds.is_empty(), "{}", directory.display());
    for seed in seeds {
        let bytes = fs::read(&seed).expect("a seed");
        let step = 1 + bytes.len() / 64;
        for length in (0..bytes.len()).step_by(step).chain([bytes.len()]) {
            let name = seed.display();
            let passed = catch_unwind(|| check(&bytes[..length]));
            assert!(passed.is_ok(), "{name}, its first {length} bytes");
        }
    }
}

#[test]
fn every_conversation_with_the_api_is_the_same_however_it_is_cut() {
    replay("api_request", api_request::check);
}

#[test]
fn every_message_to_the_bind_service_is_understood_or_refused() {
    replay("bind_question", bind_question::check);
}

#[test]
fn every_accepted_command_line_means_the_same_in_each_spelling() {
    replay("flags", flags::check);
}

#[test]
fn every_accepted_port_specification_survives_both_forms() {
    replay("port_spec", port_spec::check);
}
