//! A process's cgroups.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::cgroup::check(bytes));
