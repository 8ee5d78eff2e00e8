//! The value of `DOCKER_TLS_SAN`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::san::check(bytes));
