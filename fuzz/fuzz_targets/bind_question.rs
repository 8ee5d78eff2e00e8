//! A message to PID 1's bind service.
#![no_main]

#[path = "../invariants/bind_question.rs"]
mod bind_question;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bind_question::check(bytes));
