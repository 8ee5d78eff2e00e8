//! The forms that most invariants have.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A reader of a text whose lines mean what they mean alone: however a file is cut between them,
/// nothing else comes out, and no line yields more than it has words.
pub(crate) fn lines<T: Debug + PartialEq>(bytes: &[u8], read: impl Fn(&[u8]) -> Vec<T>) -> Vec<T> {
    let whole = read(bytes);
    let mut alone = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let found = read(line);
        assert!(found.len() <= 1 + line.len() / 2, "{found:?}");
        alone.extend(found);
    }
    assert_eq!(whole, alone);
    whole
}

/// The same for a reader of texts; what is no text is read as far as it can be shown.
pub(crate) fn text_lines<T: Debug + PartialEq>(
    bytes: &[u8],
    read: impl Fn(&str) -> Vec<T>,
) -> Vec<T> {
    let text = String::from_utf8_lossy(bytes);
    lines(text.as_bytes(), |line| {
        read(std::str::from_utf8(line).expect("lines of a text are texts"))
    })
}

/// What is said of a stranger's bytes: no control character reaches a terminal, and it is not
/// longer than `most`.
pub(crate) fn said(text: &str, most: usize) {
    assert!(text.len() <= most, "{} bytes: {text:.200}", text.len());
    assert!(!text.contains(char::is_control), "{text:?}");
}

/// What was read is written in such a way that it is read again as the same.
pub(crate) fn again<T: Serialize + DeserializeOwned>(value: &T) {
    let text = serde_json::to_string(value).expect("JSON");
    let back: T = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let [value, back] = [value, &back].map(|it| serde_json::to_value(it).expect("JSON"));
    assert!(same(&value, &back), "{value}\n{back}");
}

/// Equal, but for the last digit of a fraction, which the reader of JSON does not promise.
pub(crate) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one.is_f64() => {
            let (one, other) = (one.as_f64(), other.as_f64());
            let near = |one: f64, other: f64| (one - other).abs() <= one.abs() * 1e-12;
            one.zip(other).is_some_and(|(one, other)| near(one, other))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let equal = |(name, one): (&String, &Value)| {
                other.get(name).is_some_and(|other| same(one, other))
            };
            one.len() == other.len() && one.iter().all(equal)
        }
        _ => one == other,
    }
}

/// Between the parts of an input that stands for several files.
const NEXT_FILE: &[u8] = b"\n--\n";

/// The files of an input; those that it does not have are empty.
pub(crate) fn files<const COUNT: usize>(bytes: &[u8]) -> [&[u8]; COUNT] {
    let mut rest = Some(bytes);
    [(); COUNT].map(|()| {
        let all = rest.unwrap_or_default();
        let end = all
            .windows(NEXT_FILE.len())
            .position(|window| window == NEXT_FILE);
        rest = end.map(|end| &all[end + NEXT_FILE.len()..]);
        &all[..end.unwrap_or(all.len())]
    })
}
