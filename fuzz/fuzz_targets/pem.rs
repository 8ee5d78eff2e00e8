//! Certificates and keys.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::pem::check(bytes));
