//! Identity maps of the user namespace: which ids exist inside, and who writes the maps. Pure.
//!
//! Inside, 0 is the user who started us; 1 and above are subordinate ids, clipped to what our own
//! user namespace has. Our own root is never mapped: a container could then become it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// A run of ids that exist: `start`, …, `start + count - 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The first id.
    pub start: u32,
    /// How many.
    pub count: u32,
}

/// One line of a map (`user_namespaces(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// First id inside.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// Who writes the maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Writer {
    /// We do, with `CAP_SETUID` and `CAP_SETGID`.
    Direct,
    /// `newuidmap` and `newgidmap`.
    Helpers,
    /// We do, as anybody may: one id and no `setgroups(2)`.
    Single,
}

/// The maps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapPlan {
    /// Who writes them.
    pub writer: Writer,
    /// /proc/PID/uid_map.
    pub uids: Vec<Line>,
    /// /proc/PID/gid_map.
    pub gids: Vec<Line>,
    /// What the user should know.
    pub notes: Vec<String>,
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
    /// User ids that our own namespace has.
    pub outer_uids: Vec<Range>,
    /// Group ids that it has.
    pub outer_gids: Vec<Range>,
    /// Whether `CAP_SETUID` and `CAP_SETGID` are effective.
    pub may_write: bool,
}

/// No map can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoMap {
    /// Neither a file nor `getsubids` has ids for us.
    NoSubIds,
    /// There are some, and none of them exists in our own user namespace.
    Outside {
        /// The ranges.
        ranges: Vec<Range>,
        /// What exists.
        outer: Vec<Range>,
    },
}

/// Ids in use by images: distributions number up to 65534 (nobody).
const WANTED: u32 = 65536;

/// Decides.
///
/// # Errors
/// [`NoMap`] unless a single map was asked for.
pub fn plan(facts: &IdFacts, single: bool) -> Result<MapPlan, NoMap> {
    if single {
        let line = |outside| Line {
            inside: 0,
            outside,
            count: 1,
        };
        return Ok(MapPlan {
            writer: Writer::Single,
            uids: vec![line(facts.uid)],
            gids: vec![line(facts.gid)],
            notes: vec![
                "a single id is mapped, as asked for: images with files of any other owner than \
                 root cannot be unpacked"
                    .into(),
            ],
        });
    }
    let mut notes = Vec::new();
    let mut side = |what: &str, own: u32, subs: &[Range], outer: &[Range]| {
        let (ranges, note) = subordinate(own, subs, outer, facts.may_write)?;
        notes.extend(note.map(|note| format!("subordinate {what} ids: {note}")));
        Ok(lines(own, &ranges))
    };
    let uids = side("user", facts.uid, &facts.sub_uids, &facts.outer_uids)?;
    let gids = side("group", facts.gid, &facts.sub_gids, &facts.outer_gids)?;
    Ok(MapPlan {
        writer: if facts.may_write {
            Writer::Direct
        } else {
            Writer::Helpers
        },
        uids,
        gids,
        notes,
    })
}

fn lines(own: u32, ranges: &[Range]) -> Vec<Line> {
    let mut lines = vec![Line {
        inside: 0,
        outside: own,
        count: 1,
    }];
    let mut inside = 1u32;
    for range in ranges {
        lines.push(Line {
            inside,
            outside: range.start,
            count: range.count,
        });
        inside = inside.saturating_add(range.count);
    }
    // The kernel reads at most 340 lines (user_namespaces(7)).
    lines.truncate(340);
    lines
}

/// Ranges for 1 and above, and what is to be said about them.
fn subordinate(
    own: u32,
    subs: &[Range],
    outer: &[Range],
    may_write: bool,
) -> Result<(Vec<Range>, Option<String>), NoMap> {
    let given = without(subs, own);
    let kept = clip(&given, outer);
    let total = |ranges: &[Range]| ranges.iter().map(|r| u64::from(r.count)).sum::<u64>();
    if kept.is_empty() {
        if !may_write {
            return Err(if subs.is_empty() {
                NoMap::NoSubIds
            } else {
                NoMap::Outside {
                    ranges: subs.to_vec(),
                    outer: outer.to_vec(),
                }
            });
        }
        // Started with the right to write any map: what the container itself has, but for its
        // root and for ourselves.
        let all = [Range {
            start: 1,
            count: WANTED - 1,
        }];
        let kept = without(&clip(&all, outer), own);
        if kept.is_empty() {
            return Err(NoMap::Outside {
                ranges: all.to_vec(),
                outer: outer.to_vec(),
            });
        }
        let note = format!(
            "none are usable, {} of this container are taken",
            list(&kept)
        );
        return Ok((kept, Some(note)));
    }
    let note = if total(&kept) < total(&given) {
        Some(format!(
            "{} clipped to {}, which is what this container's own user namespace has ({})",
            list(&given),
            list(&kept),
            list(outer)
        ))
    } else if total(&kept) < u64::from(WANTED - 1) {
        Some(format!(
            "{} are only {}: images with higher ids cannot be unpacked; 65536 are usual",
            list(&kept),
            total(&kept)
        ))
    } else {
        None
    };
    Ok((kept, note))
}

/// The parts of ranges that lie inside others.
fn clip(ranges: &[Range], outer: &[Range]) -> Vec<Range> {
    let mut kept = Vec::new();
    for range in ranges {
        for limit in outer {
            let start = range.start.max(limit.start);
            let end = end(*range).min(end(*limit));
            if u64::from(start) < end {
                let count = u32::try_from(end - u64::from(start)).unwrap_or(u32::MAX);
                kept.push(Range { start, count });
            }
        }
    }
    kept
}

/// Ranges without one id: nobody may be mapped twice.
fn without(ranges: &[Range], id: u32) -> Vec<Range> {
    let below = [Range {
        start: 0,
        count: id,
    }];
    let above = [Range {
        start: id.saturating_add(1),
        count: u32::MAX.saturating_sub(id.saturating_add(1)),
    }];
    let mut kept = Vec::new();
    for range in ranges {
        kept.extend(clip(&[*range], &below));
        kept.extend(clip(&[*range], &above));
    }
    kept
}

fn end(range: Range) -> u64 {
    u64::from(range.start) + u64::from(range.count)
}

/// `1-999, 1001-65535`.
#[must_use]
pub fn list(ranges: &[Range]) -> String {
    let text = |range: &Range| format!("{}-{}", range.start, end(*range).saturating_sub(1));
    match ranges {
        [] => "none".to_owned(),
        ranges => ranges.iter().map(text).collect::<Vec<_>>().join(", "),
    }
}

impl MapPlan {
    /// The content of a map file.
    #[must_use]
    pub fn text(lines: &[Line]) -> String {
        lines.iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{} {} {}", line.inside, line.outside, line.count);
            text
        })
    }

    /// The arguments of `newuidmap` or `newgidmap` after the process id.
    #[must_use]
    pub fn words(lines: &[Line]) -> Vec<String> {
        lines
            .iter()
            .flat_map(|line| [line.inside, line.outside, line.count])
            .map(|number| number.to_string())
            .collect()
    }
}

/// Reads /etc/subuid or /etc/subgid (`subuid(5)`): every range of the user, by name or number.
#[must_use]
pub fn parse_file(text: &str, name: Option<&str>, uid: u32) -> Vec<Range> {
    let line = |line: &str| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        if Some(owner) != name && owner.parse() != Ok(uid) {
            return None;
        }
        range(fields.next()?, fields.next()?)
    };
    text.lines().filter_map(line).collect()
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

/// Reads /proc/self/uid_map or gid_map: the ids that exist here.
#[must_use]
pub fn parse_map(text: &str) -> Vec<Range> {
    let line = |line: &str| {
        let mut fields = line.split_whitespace();
        let inside = fields.next()?;
        range(inside, fields.nth(1)?)
    };
    text.lines().filter_map(line).collect()
}

fn range(start: &str, count: &str) -> Option<Range> {
    let range = Range {
        start: start.trim().parse().ok()?,
        count: count.trim().parse().ok()?,
    };
    (range.count > 0).then_some(range)
}

#[cfg(test)]
#[path = "idmap_tests.rs"]
mod tests;
