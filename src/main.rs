//! The binary: see the crate documentation of `dind_init`.
#![no_main]

use std::ffi::{c_char, c_int};

use dind_init::sys::entry;

/// The C entry point: the Rust runtime must not touch signals or descriptors before us
/// (`dind_init::sys::entry`).
#[expect(unsafe_code, reason = "the entry point that the C runtime calls")]
#[unsafe(no_mangle)]
extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    entry::fill_standard_descriptors();
    // SAFETY: these are the C runtime's own argc and argv, and no other code has run yet.
    let argv = unsafe { entry::arguments(argc, argv) };
    c_int::from(dind_init::run(&argv))
}
