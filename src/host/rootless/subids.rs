//! Who has which subordinate ids: /etc/subuid, /etc/subgid and `getsubids`. Pure.

use serde::{Deserialize, Serialize};

use super::ids::Range;

/// What stands in a file and is of no use to `newuidmap`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OddRow {
    /// A row that is meant for us.
    Row {
        file: String,
        text: String,
        /// What it was meant to say, where that can be told.
        range: Option<Range>,
    },
    /// The whole file cannot be read.
    File {
        file: String,
        /// What the kernel says.
        error: String,
    },
}

impl OddRow {
    /// What it was meant to say, where that can be told.
    #[must_use]
    pub fn range(&self) -> Option<Range> {
        match self {
            Self::Row { range, .. } => *range,
            Self::File { .. } => None,
        }
    }

    /// In one line.
    #[must_use]
    pub fn note(&self) -> String {
        match self {
            Self::Row { file, text, .. } => format!(
                "{file}: {text:?} is not USER:FIRST:COUNT in plain digits, and newuidmap skips it"
            ),
            Self::File { file, error } => format!("{file} cannot be read: {error}"),
        }
    }
}

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// Every range of the user.
    pub ranges: Vec<Range>,
    /// Rows that are meant to be ranges of the user.
    pub odd: Vec<OddRow>,
}

/// Reads /etc/subuid or /etc/subgid (`subuid(5)`): every range of the user, by name or number.
#[must_use]
pub fn parse_file(file: &str, text: &str, name: Option<&str>, uid: u32) -> Rows {
    let ours = |owner: &str| {
        let owner = owner.trim();
        Some(owner) == name || owner.parse() == Ok(uid)
    };
    let mut rows = Rows::default();
    for row in text.split('\n') {
        let fields: Vec<&str> = row.split(':').collect();
        let Some((owner, rest)) = fields.split_first().filter(|(owner, _)| ours(owner)) else {
            continue;
        };
        let meant = match rest {
            [start, count, ..] => range(start, count),
            _ => None,
        };
        let plain = |field: &&str| !field.is_empty() && field.bytes().all(|b| b.is_ascii_digit());
        let exact = rest.len() == 2 && rest.iter().all(plain) && owner.trim() == *owner;
        match meant {
            Some(range) if exact => rows.ranges.push(range),
            // A count of nothing is no mistake.
            None if exact => {}
            range => rows.odd.push(OddRow::Row {
                file: file.to_owned(),
                text: row.to_owned(),
                range,
            }),
        }
    }
    rows
}

/// Reads what `getsubids USER` prints: `0: alice 100000 65536`.
#[must_use]
pub fn parse_getsubids(text: &str) -> Vec<Range> {
    let line = |line: &str| {
        let mut fields = line.split_whitespace().skip(2);
        range(fields.next()?, fields.next()?)
    };
    text.lines().filter_map(line).collect()
}

/// A range of at least one id. One that leaves the ids of the kernel ends with them.
pub(super) fn range(start: &str, count: &str) -> Option<Range> {
    let count: u64 = count.trim().parse().ok()?;
    let start: u32 = start.trim().parse().ok()?;
    let count = u32::try_from(count)
        .unwrap_or(u32::MAX)
        .min(u32::MAX - start);
    (count > 0).then_some(Range { start, count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranges(list: &[(u32, u32)]) -> Vec<Range> {
        list.iter()
            .map(|&(start, count)| Range { start, count })
            .collect()
    }

    #[test]
    fn files_and_getsubids_are_read() {
        let text =
            "# x\nalice:100000:65536\n1000:300000:10\nbob:1:1\nalice:5:0\nalice:7:9999999999\n";
        let rows = parse_file("f", text, Some("alice"), 1000);
        let long = u32::MAX - 7;
        assert_eq!(
            rows.ranges,
            ranges(&[(100_000, 65536), (300_000, 10), (7, long)])
        );
        assert_eq!(rows.odd, []);
        assert_eq!(parse_file("f", text, None, 7), Rows::default());
        assert_eq!(
            parse_getsubids("0: alice 100000 65536\n1: alice 7 8\n"),
            ranges(&[(100_000, 65536), (7, 8)])
        );
    }

    /// What newuidmap of shadow 4.20 answered for each of them: `uid range … not allowed`.
    #[test]
    fn rows_that_newuidmap_does_not_read_are_told_from_others() {
        for (row, meant) in [
            ("alice:100000:65536\r", Some((100_000, 65536))),
            (" alice : 100000 : 65536 ", Some((100_000, 65536))),
            ("alice:100000:65536:", Some((100_000, 65536))),
            ("alice:100000:65536x", None),
            ("alice:100000", None),
            ("alice", None),
        ] {
            let rows = parse_file("/etc/subuid", &format!("{row}\n"), Some("alice"), 1000);
            assert_eq!(rows.ranges, [], "{row:?}");
            let meant = meant.map(|(start, count)| Range { start, count });
            let [odd] = &rows.odd[..] else {
                panic!("{row:?}: {rows:?}");
            };
            assert_eq!(odd.range(), meant);
            assert!(odd.note().starts_with("/etc/subuid: \"") && !odd.note().contains('\r'));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "([a-z0-9:\r -]{0,30}\n){0,4}") {
            let _ = (parse_file("f", &text, Some("a"), 1), parse_getsubids(&text));
        }
    }
}
