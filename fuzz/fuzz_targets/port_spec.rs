//! A value of `-p`, and the body of `POST /v1/ports`.
#![no_main]

#[path = "../invariants/port_spec.rs"]
mod port_spec;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| port_spec::check(bytes));
