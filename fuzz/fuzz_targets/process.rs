//! A process in /proc.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::process::check(bytes));
