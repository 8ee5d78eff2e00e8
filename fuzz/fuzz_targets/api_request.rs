//! Bytes of a client of the port driver's API.
#![no_main]

#[path = "../invariants/api_request.rs"]
mod api_request;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| api_request::check(bytes));
