//! What a daemon answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::http_head::check(bytes));
