//! A data root's database of networks.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::bridges::check(bytes));
