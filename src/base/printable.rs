//! Text that others wrote, on its way to a terminal or a log.
//!
//! A lock's owner, a host name, a path, an answer of the API: whoever wrote it can put escape
//! sequences in it, a line of its own that looks like ours, or characters that nobody sees. Two
//! layers keep that from a reader. [`lines`] is in the only ways out to a terminal
//! ([`crate::log::stdout`], [`crate::log::stderr`] and the writers beside them): nothing but text
//! and line ends gets through. [`line()`] is for what is quoted in a line of ours: it cannot end that
//! line, and it has a bound. What dockerd itself prints is passed on as it is, and goes neither way.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde::Serialize;

/// How many characters of a quotation are shown.
const MOST: usize = 2000;

/// A quotation: one line, without anything that a terminal would obey or hide.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    bytes: &'a [u8],
    most: usize,
}

/// Quotes what somebody else wrote; it need not be UTF-8.
pub fn line<T: AsRef<[u8]> + ?Sized>(text: &T) -> Line<'_> {
    Line {
        bytes: text.as_ref(),
        most: MOST,
    }
}

/// Quotes a path.
#[must_use]
pub fn path(path: &Path) -> Line<'_> {
    line(path.as_os_str().as_bytes())
}

impl Line<'_> {
    /// Shows this many characters at most.
    #[must_use]
    pub fn at_most(self, most: usize) -> Self {
        Self { most, ..self }
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.most;
        for chunk in self.bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                if left == 0 {
                    return write!(f, "… ({} bytes)", self.bytes.len());
                }
                left -= 1;
                show(f, c, false)?;
            }
            for byte in chunk.invalid() {
                if left == 0 {
                    return write!(f, "… ({} bytes)", self.bytes.len());
                }
                left -= 1;
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Several lines: line ends and tabs stay, everything else that is not text is escaped. The same
/// bytes come back where there is nothing to escape.
#[must_use]
pub fn lines(bytes: &[u8]) -> Cow<'_, [u8]> {
    let clean = |text: &str| !text.chars().any(|c| is_hidden(c, true));
    if std::str::from_utf8(bytes).is_ok_and(clean) {
        return Cow::Borrowed(bytes);
    }
    let mut text = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let _ = show(&mut text, c, true);
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    Cow::Owned(text.into_bytes())
}

/// JSON in one line. What a terminal would obey or hide is escaped as JSON has it, so that a
/// reader of the JSON gets what was written.
#[must_use]
pub fn json(value: &impl Serialize) -> String {
    escaped(serde_json::to_string(value))
}

/// JSON for people.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "escaped right here")]
pub fn json_pretty(value: &impl Serialize) -> String {
    escaped(serde_json::to_string_pretty(value))
}

/// The serializer escapes what JSON demands, which leaves out DEL, C1 and everything above. Those
/// are never part of its own syntax: where they occur, there is a string around them.
fn escaped(json: serde_json::Result<String>) -> String {
    // Nothing of ours has map keys that are not strings, the only thing JSON cannot hold.
    let json = json.unwrap_or_default();
    if !json.chars().any(|c| is_hidden(c, true)) {
        return json;
    }
    let mut text = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_hidden(c, true) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

fn show(out: &mut impl fmt::Write, c: char, keep_lines: bool) -> fmt::Result {
    match c {
        _ if !is_hidden(c, keep_lines) => out.write_char(c),
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        c => write!(out, "\\u{{{:x}}}", u32::from(c)),
    }
}

/// Whether a terminal would obey a character (controls), reorder its neighbours (bidirectional
/// formatting) or show nothing for it.
fn is_hidden(c: char, keep_lines: bool) -> bool {
    match c {
        '\n' | '\t' => !keep_lines,
        ' '..='~' => false,
        _ => {
            c.is_control()
                || matches!(
                    c,
                    '\u{ad}'
                        | '\u{34f}'
                        | '\u{61c}'
                        | '\u{115f}'..='\u{1160}'
                        | '\u{17b4}'..='\u{17b5}'
                        | '\u{180b}'..='\u{180f}'
                        | '\u{200b}'..='\u{200f}'
                        | '\u{2028}'..='\u{202e}'
                        | '\u{2060}'..='\u{206f}'
                        | '\u{3164}'
                        | '\u{feff}'
                        | '\u{ffa0}'
                        | '\u{fff0}'..='\u{fffb}'
                        | '\u{1bca0}'..='\u{1bca3}'
                        | '\u{1d173}'..='\u{1d17a}'
                        | '\u{e0000}'..='\u{e0fff}'
                )
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_quotation_can_neither_end_its_line_nor_move_the_cursor_nor_hide() {
        let hostile = "a\u{1b}[2J\nerror: run this\r\u{9b}1m\u{202e}gpj\u{200b}.exe\u{7f}é✓";
        expect_test::expect![
            r"a\u{1b}[2J\nerror: run this\r\u{9b}1m\u{202e}gpj\u{200b}.exe\u{7f}é✓"
        ]
        .assert_eq(&line(hostile).to_string());
        assert_eq!(line(b"x\xffy").to_string(), r"x\xffy");
        assert_eq!(path(Path::new("/a\nb")).to_string(), r"/a\nb");
        assert_eq!(line("abcdef").at_most(3).to_string(), "abc… (6 bytes)");
    }

    #[test]
    fn text_in_lines_keeps_its_line_ends_only() {
        assert_eq!(
            lines(b"a\x1b[31m\n\tb\r\n\xc3").as_ref(),
            b"a\\u{1b}[31m\n\tb\\r\n\\xc3"
        );
        assert!(matches!(lines("fine\n\té".as_bytes()), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn json_means_the_same_and_hides_nothing(text in "\\PC*|(.|[\u{1b}\u{7f}\u{9b}\u{202e}\u{e0001}\n])*") {
            for written in [json(&text), json_pretty(&text)] {
                prop_assert!(!written.chars().any(|c| is_hidden(c, false)));
                let read: String = serde_json::from_str(&written).unwrap();
                prop_assert_eq!(&read, &text);
            }
        }

        #[test]
        fn nothing_hidden_is_left(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let quoted = line(&bytes).to_string();
            prop_assert!(!quoted.chars().any(|c| is_hidden(c, false)));
            let shown = lines(&bytes).into_owned();
            prop_assert!(!String::from_utf8(shown).unwrap().chars().any(|c| is_hidden(c, true)));
        }
    }
}
