//! Subordinate ids and the maps made of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::sub_ids::check(bytes));
