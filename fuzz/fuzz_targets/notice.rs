//! A datagram on the notify socket.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::notice::check(bytes));
