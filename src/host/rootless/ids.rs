//! Ids that exist: in our own user namespace, and as subordinate ids. Pure.

use serde::{Deserialize, Serialize};

use super::subids::{self, OddRow};

/// A run of ids that exist: `start`, …, `start + count - 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The first id.
    pub start: u32,
    /// How many.
    pub count: u32,
}

/// What is known about ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdFacts {
    /// Our user id.
    pub uid: u32,
    /// Our group id.
    pub gid: u32,
    /// Subordinate user ids.
    pub sub_uids: Vec<Range>,
    /// Subordinate group ids.
    pub sub_gids: Vec<Range>,
    /// Rows that are for us, and not as `newuidmap` reads them.
    #[serde(default)]
    pub odd_uids: Vec<OddRow>,
    /// The same for `newgidmap`.
    #[serde(default)]
    pub odd_gids: Vec<OddRow>,
    /// User ids that our own namespace has.
    pub outer_uids: Vec<Range>,
    /// Group ids that it has.
    pub outer_gids: Vec<Range>,
    /// Whether `CAP_SETUID` and `CAP_SETGID` are effective.
    pub may_write: bool,
}

/// Reads /proc/self/uid_map or gid_map: the ids that exist here.
#[must_use]
pub fn parse_map(text: &str) -> Vec<Range> {
    let line = |line: &str| {
        let mut fields = line.split_whitespace();
        let inside = fields.next()?;
        subids::range(inside, fields.nth(1)?)
    };
    text.lines().filter_map(line).collect()
}
