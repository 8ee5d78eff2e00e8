//! A resolv.conf.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::resolv_conf::check(bytes));
