//! A status file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::status::check(bytes));
