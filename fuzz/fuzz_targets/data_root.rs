//! The marker, the lock file and the image names of a data root.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::data_root::check(bytes));
