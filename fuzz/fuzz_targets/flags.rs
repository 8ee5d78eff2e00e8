//! The words of `DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::flags::check(bytes));
