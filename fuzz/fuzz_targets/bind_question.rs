//! A message to PID 1's bind service.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::bind_question::check(bytes));
