//! Text without an allocation, for a signal handler.

use std::fmt::{self, Write as _};

/// Text in a place that is there already; what does not fit is left out.
pub(super) struct Text<const LENGTH: usize> {
    bytes: [u8; LENGTH],
    length: usize,
}

impl<const LENGTH: usize> Default for Text<LENGTH> {
    fn default() -> Self {
        Self {
            bytes: [0; LENGTH],
            length: 0,
        }
    }
}

impl<const LENGTH: usize> Text<LENGTH> {
    pub(super) fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl<const LENGTH: usize> fmt::Write for Text<LENGTH> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let place = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// A string of JSON; there is nothing in it but text.
pub(super) struct Json<'a>(pub(super) &'a str);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            if matches!(c, '"' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(c)?;
        }
        f.write_char('"')
    }
}

/// The time, as RFC 3339 has it.
pub(super) struct Now;

impl fmt::Display for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = time::OffsetDateTime::now_utc();
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            time.year(),
            u8::from(time.month()),
            time.day(),
            time.hour(),
            time.minute(),
            time.second()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_and_what_fits_is_whole() {
        let mut text = Text::<4>::default();
        write!(text, "abc").unwrap();
        assert!(write!(text, "de").is_err());
        assert_eq!(text.as_str(), "abc");
    }

    #[test]
    fn json_and_time_are_those_of_the_log() {
        let json = Json(r#"a "b" \u{1b}"#).to_string();
        let read: String = serde_json::from_str(&json).unwrap();
        assert_eq!(read, r#"a "b" \u{1b}"#);
        let format = &time::format_description::well_known::Rfc3339;
        time::OffsetDateTime::parse(&Now.to_string(), format).unwrap();
    }
}
