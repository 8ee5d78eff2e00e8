//! dockerd's command line.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::daemon_flags::check(bytes));
