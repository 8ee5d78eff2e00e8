//! The table of mounts.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::mountinfo::check(bytes));
