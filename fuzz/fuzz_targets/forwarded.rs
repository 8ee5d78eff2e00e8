//! A question to the forwarder of names, and an answer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::forwarded::check(bytes));
