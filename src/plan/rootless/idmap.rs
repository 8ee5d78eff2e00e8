//! Identity maps of the user namespace: which ids exist inside, and who writes the maps. Pure.
//!
//! Inside, 0 is the user who started us; 1 and above are subordinate ids, clipped to what our own
//! user namespace has. Our own root is never mapped: a container could then become it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::host::rootless::ids::{IdFacts, Range};
use crate::host::rootless::subids::OddRow;

/// One line of a map (`user_namespaces(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// First id inside.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapPlan {
    pub writer: Writer,
    /// /proc/PID/uid_map.
    pub uids: Vec<Line>,
    /// /proc/PID/gid_map.
    pub gids: Vec<Line>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// No map can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoMap {
    /// Neither a file nor `getsubids` has ids for us; what was found in their place.
    NoSubIds(Vec<OddRow>),
    /// There are some, and none of them exists in our own user namespace.
    Outside {
        ranges: Vec<Range>,
        outer: Vec<Range>,
    },
}

/// Ids in use by images: distributions number up to 65534 (nobody).
const WANTED: u32 = 65536;

/// The container's own root, never mapped.
const ROOT: u32 = 0;

/// The highest of those ids.
const NOBODY: u32 = 65534;

/// The kernel reads so many (user_namespaces(7)).
const MOST_LINES: usize = 340;

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
    let mut side = |what: &str, side: &Side<'_>| {
        let (ranges, said) = subordinate(side, facts.may_write)?;
        let said = said.into_iter();
        notes.extend(said.map(|note| format!("subordinate {what} ids: {note}")));
        Ok(lines(side.own, &ranges))
    };
    let uids = Side {
        own: facts.uid,
        subs: &facts.sub_uids,
        odd: &facts.odd_uids,
        outer: &facts.outer_uids,
    };
    let gids = Side {
        own: facts.gid,
        subs: &facts.sub_gids,
        odd: &facts.odd_gids,
        outer: &facts.outer_gids,
    };
    let (uids, gids) = (side("user", &uids)?, side("group", &gids)?);
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

/// What is known about the ids of one kind.
struct Side<'a> {
    own: u32,
    subs: &'a [Range],
    odd: &'a [OddRow],
    outer: &'a [Range],
}

fn lines(own: u32, ranges: &[Range]) -> Vec<Line> {
    let line = |inside: u32, outside: u32, count: u32| Line {
        inside,
        outside,
        count,
    };
    let mut lines = vec![line(0, own, 1)];
    let mut inside = 1u32;
    for range in ranges {
        lines.push(line(inside, range.start, range.count));
        inside = inside.saturating_add(range.count);
    }
    lines.truncate(MOST_LINES);
    // `nobody` owns files in many images, and nothing has the ids right below it: where there are
    // too few ids to reach it, the last one is it.
    if inside <= NOBODY
        && let Some(last) = lines.last_mut()
        && last.inside > 0
    {
        last.count -= 1;
        let end = last.outside + last.count;
        lines.retain(|line| line.count > 0);
        lines.push(line(NOBODY, end, 1));
    }
    lines
}

/// Ranges for 1 and above, and what is to be said about them.
fn subordinate(side: &Side<'_>, may_write: bool) -> Result<(Vec<Range>, Vec<String>), NoMap> {
    let outer = side.outer;
    // Where we write the maps ourselves, a row need not be one that newuidmap can read.
    let read = |row: &OddRow| row.range().filter(|_| may_write);
    let mut subs = side.subs.to_vec();
    subs.extend(side.odd.iter().filter_map(read));
    let mut notes: Vec<String> = side.odd.iter().map(OddRow::note).collect();
    let given = each_once(&without(&without(&subs, side.own), ROOT));
    let kept = each_once(&enough(&clip(&given, outer)));
    if kept.is_empty() {
        if !may_write {
            return Err(if subs.is_empty() {
                NoMap::NoSubIds(side.odd.to_vec())
            } else {
                NoMap::Outside {
                    ranges: subs,
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
        let kept = without(&clip(&all, outer), side.own);
        if kept.is_empty() {
            return Err(NoMap::Outside {
                ranges: all.to_vec(),
                outer: outer.to_vec(),
            });
        }
        notes.push(format!(
            "none are usable, {} of this container are taken",
            list(&kept)
        ));
        return Ok((kept, notes));
    }
    let lost = without_all(&given, outer);
    if total(&kept) < u64::from(WANTED - 1) && !lost.is_empty() {
        notes.push(format!(
            "{} clipped to {}, which is what this container's own user namespace has ({})",
            list(&given),
            list(&kept),
            list(outer)
        ));
    } else if total(&kept) < u64::from(NOBODY) {
        notes.push(format!(
            "{} are only {}: images with higher ids than that, but for {NOBODY} (nobody), cannot \
             be unpacked; 65536 are usual",
            list(&kept),
            total(&kept)
        ));
    }
    if kept.len() >= MOST_LINES {
        notes.push(format!(
            "the kernel takes {MOST_LINES} lines for a map; what comes after them is left out"
        ));
    }
    Ok((kept, notes))
}

fn total(ranges: &[Range]) -> u64 {
    ranges.iter().map(|range| u64::from(range.count)).sum()
}

/// Ranges in their order, as each id of it first appears: the kernel refuses an id that is mapped
/// twice, and rows are often written by `useradd` and once more by hand. Neighbours become one.
fn each_once(ranges: &[Range]) -> Vec<Range> {
    let mut kept: Vec<Range> = Vec::new();
    for range in ranges {
        for new in without_all(&[*range], &kept) {
            match kept.last_mut() {
                Some(last) if end(*last) == u64::from(new.start) => {
                    last.count = last.count.saturating_add(new.count);
                }
                _ => kept.push(new),
            }
        }
    }
    kept
}

/// What images need. A range of ordinary users of this very container is for containers that
/// have no others (`hostUsers: false`): elsewhere those ids may be somebody.
fn enough(ranges: &[Range]) -> Vec<Range> {
    let mut kept: Vec<Range> = Vec::new();
    for range in ranges {
        let ordinary = end(*range) <= u64::from(WANTED);
        if !ordinary || total(&kept) < u64::from(WANTED - 1) {
            kept.push(*range);
        }
    }
    kept
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
    without_all(
        ranges,
        &[Range {
            start: id,
            count: 1,
        }],
    )
}

/// The parts of ranges that lie in none of the others.
fn without_all(ranges: &[Range], others: &[Range]) -> Vec<Range> {
    let mut left = ranges.to_vec();
    for other in others {
        let below = Range {
            start: 0,
            count: other.start,
        };
        let above = u32::try_from(end(*other)).map(|start| Range {
            start,
            count: u32::MAX - start,
        });
        let around: Vec<Range> = [below].into_iter().chain(above).collect();
        left = clip(&left, &around);
    }
    left
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
    /// Whether a user id of ours exists inside: root there may do as its owner does then.
    #[must_use]
    pub fn has_uid(&self, uid: u32) -> bool {
        let holds = |line: &Line| {
            uid.checked_sub(line.outside)
                .is_some_and(|at| at < line.count)
        };
        self.uids.iter().any(holds)
    }

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

#[cfg(test)]
#[path = "idmap_tests.rs"]
mod tests;
