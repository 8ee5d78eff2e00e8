//! dockerd's configuration file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::daemon_json::check(bytes));
