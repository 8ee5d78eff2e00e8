//! Durations of client commands: how long to wait, and how long it took.

use std::time::Duration;

use crate::config::lifetime;

/// A time to wait, as every duration of ours is written, but not nothing. The message of the error
/// is for a person.
///
/// # Errors
/// When the text is no duration, or zero: nothing is ready within no time.
pub fn parse(text: &str) -> Result<Duration, String> {
    match lifetime::duration(text) {
        Some(Duration::ZERO) => Err("use at least 1ms".into()),
        Some(duration) => Ok(duration),
        None => Err("write for example 500ms, 90s or 2m".into()),
    }
}

/// A duration for a person: `5ms`, `0.59s`, `12.3s`, `2m05s`.
#[must_use]
pub fn show(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration < Duration::from_millis(10) {
        return format!("{}ms", duration.as_millis());
    }
    match seconds {
        0..10 => format!("{:.2}s", duration.as_secs_f64()),
        10..100 => format!("{:.1}s", duration.as_secs_f64()),
        _ => format!("{}m{:02}s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_durations_but_not_zero() {
        assert_eq!(parse("2m"), Ok(Duration::from_secs(120)));
        for text in ["", "0", "0s", "1.5s", "-1s", "forever"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shows_what_a_person_reads() {
        let table = [
            (1, "1ms"),
            (590, "0.59s"),
            (12_340, "12.3s"),
            (120_000, "2m00s"),
            (125_900, "2m05s"),
        ];
        for (milliseconds, text) in table {
            assert_eq!(show(Duration::from_millis(milliseconds)), text);
        }
    }
}
