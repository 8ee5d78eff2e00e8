//! Files of users and groups.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::accounts::check(bytes));
