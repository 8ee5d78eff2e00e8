//! What a test does that cannot run here. The shell's half is `integration/skip.sh`.

/// Says why the test that calls it is skipped; fails it where `MUST_RUN` is set to anything but
/// nothing or 0.
#[track_caller]
#[allow(
    clippy::disallowed_methods,
    reason = "the one place that reads MUST_RUN"
)]
pub(crate) fn skip(reason: &str) {
    use std::io::Write as _;
    let must_run =
        std::env::var_os("MUST_RUN").is_some_and(|value| !value.is_empty() && value != "0");
    assert!(!must_run, "it is skipped, and MUST_RUN is set: {reason}");
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    // Not by eprintln: the test runner would keep it to itself.
    let _ = writeln!(std::io::stderr(), "{name}: skipped: {reason}");
}
