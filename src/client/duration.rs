//! Durations on the command line: `90`, `90s`, `1m30s`, `500ms`.

use std::time::Duration;

/// Reads a duration: whole numbers with `ms`, `s`, `m` or `h`, one after the other; a bare number
/// is seconds. The message of the error is for a person.
///
/// # Errors
/// When the text is not such a duration, or is zero: nothing can be ready within no time.
pub fn parse(text: &str) -> Result<Duration, String> {
    let bad = || format!("'{text}' is no duration: write for example 120s, 2m or 500ms");
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return parse(&format!("{text}s"));
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit());
        let (number, tail) = rest.split_at(digits.unwrap_or(rest.len()));
        let unit = tail.find(|c: char| c.is_ascii_digit());
        let (unit, tail) = tail.split_at(unit.unwrap_or(tail.len()));
        let scale = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(bad()),
        };
        let number: u64 = number.parse().map_err(|_| bad())?;
        let part = number.checked_mul(scale).ok_or_else(bad)?;
        total = total
            .checked_add(Duration::from_millis(part))
            .ok_or_else(bad)?;
        rest = tail;
    }
    if text.is_empty() {
        return Err(bad());
    }
    if total.is_zero() {
        return Err(format!("'{text}' is no time to wait: use at least 1ms"));
    }
    Ok(total)
}

/// A duration for a person: `0.59s`, `12.3s`, `2m05s`.
#[must_use]
pub fn show(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.2}s", duration.as_secs_f64()),
        10..100 => format!("{:.1}s", duration.as_secs_f64()),
        _ => format!("{}m{:02}s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_numbers_with_units_and_bare_seconds() {
        let table = [
            ("120", 120_000),
            ("007", 7_000),
            ("120s", 120_000),
            ("2m", 120_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1h", 3_600_000),
        ];
        for (text, milliseconds) in table {
            assert_eq!(
                parse(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_what_is_not_a_duration() {
        for text in [
            "",
            "0",
            "0s",
            "s",
            "-1s",
            "1.5s",
            "1d",
            "1m30",
            "1 s",
            "99999999999999999999h",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shows_what_a_person_reads() {
        let table = [
            (590, "0.59s"),
            (12_340, "12.3s"),
            (120_000, "2m00s"),
            (125_900, "2m05s"),
        ];
        for (milliseconds, text) in table {
            assert_eq!(show(Duration::from_millis(milliseconds)), text);
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,12}") {
            let _ = parse(&text);
        }

        #[test]
        fn reads_what_it_is_given_in_milliseconds(milliseconds in 1u64..u64::MAX / 2) {
            prop_assert_eq!(
                parse(&format!("{milliseconds}ms")),
                Ok(Duration::from_millis(milliseconds))
            );
        }
    }
}
