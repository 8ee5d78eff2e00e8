//! A directory of certificates.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::tls_directory::check(bytes));
