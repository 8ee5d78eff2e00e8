//! A value of `-p`, and the body of `POST /v1/ports`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::port_spec::check(bytes));
