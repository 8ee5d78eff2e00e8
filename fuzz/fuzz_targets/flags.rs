//! The words of `DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS`.
#![no_main]

#[path = "../invariants/flags.rs"]
mod flags;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| flags::check(bytes));
