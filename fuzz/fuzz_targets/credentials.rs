//! The PEM files of a TLS client.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::credentials::check(bytes));
