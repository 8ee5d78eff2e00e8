//! A message of a name server.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::dns_reply::check(bytes));
