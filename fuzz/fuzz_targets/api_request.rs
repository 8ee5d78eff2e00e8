//! Bytes of a client of the port driver's API.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::api_request::check(bytes));
