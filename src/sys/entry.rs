//! What happens before any code of ours: `main` as C sees it.
//!
//! The Rust runtime would ignore `SIGPIPE` and open `/dev/null` on closed standard descriptors
//! before `main`. Both are inherited by children, and an init must hand on exactly what it was
//! given; so the binary has a C `main` (`#![no_main]`) and calls [`arguments`] and
//! [`fill_standard_descriptors`] itself.

use std::ffi::{CStr, OsString, c_char, c_int};
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{Mode, OFlags};

/// Copies argv as the kernel passed it.
///
/// # Safety
/// `argc` and `argv` must be those of the process's C `main`: `argc` pointers to NUL-terminated
/// strings, none of which is changed while this runs.
#[must_use]
pub unsafe fn arguments(argc: c_int, argv: *const *const c_char) -> Vec<OsString> {
    let count = usize::try_from(argc).unwrap_or(0);
    (0..count)
        .map_while(|index| {
            // SAFETY: index < argc, so the place is inside the array.
            let place = unsafe { argv.add(index) };
            // SAFETY: the caller promises argc readable pointers.
            let word = unsafe { place.read() };
            if word.is_null() {
                return None;
            }
            // SAFETY: not null, NUL-terminated and unchanged for the duration of the call, as the
            // caller promises.
            let word = unsafe { CStr::from_ptr(word) };
            Some(OsString::from_vec(word.to_bytes().to_vec()))
        })
        .collect()
}

/// Puts `/dev/null` on each of the descriptors 0, 1 and 2 that is closed, so that no descriptor
/// that we open later can be taken for a standard stream. They are close-on-exec: a child finds
/// them closed, as we did.
///
/// A missing `/dev/null` is tolerated: an image without it can still run everything that does
/// not open descriptors, and nothing sensible can be reported with the streams closed.
#[expect(clippy::disallowed_methods, reason = "a device of the kernel")]
pub fn fill_standard_descriptors() {
    while let Ok(fd) = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
    {
        let raw = fd.into_raw_fd();
        if raw > 2 {
            // SAFETY: `raw` was just opened here and into_raw_fd gave up its only owner.
            unsafe { libc::close(raw) };
            break;
        }
    }
}
