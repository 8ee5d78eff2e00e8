//! Subordinate ids and the maps that are made of them: what the kernel would refuse is never
//! asked of it.

use dind_init::host::rootless::ids::{IdFacts, Range, parse_map};
use dind_init::host::rootless::subids::{parse_file, parse_getsubids};
use dind_init::plan::rootless::idmap::{Line, plan};

use super::shape;

/// An /etc/subuid, what `getsubids` prints, and a /proc/self/uid_map.
pub fn check(bytes: &[u8]) {
    let [file, said, map] = shape::files(bytes);
    let mut found = shape::text_lines(file, |text| {
        parse_file("/etc/subuid", text, Some("alice"), 1000).ranges
    });
    found.extend(shape::text_lines(said, parse_getsubids));
    // They may overlap: the plan takes each id once.
    found.truncate(400);
    let subs: Vec<Range> = found;
    // The kernel's own file has at most so many lines, and they never overlap.
    let mut outer: Vec<Range> = Vec::new();
    for range in shape::text_lines(map, parse_map).into_iter().take(340) {
        if outer.iter().all(|other| apart(*other, range)) {
            outer.push(range);
        }
    }
    for may_write in [false, true] {
        let mut facts = IdFacts {
            uid: 1000,
            gid: 1000,
            sub_uids: subs.clone(),
            outer_uids: outer.clone(),
            ..IdFacts::default()
        };
        facts.outer_gids.push(Range {
            start: 0,
            count: u32::MAX,
        });
        facts.may_write = may_write;
        // Without subordinate groups there is a plan only where any map may be written.
        let Ok(plan) = plan(&facts, false) else {
            continue;
        };
        acceptable(&plan.uids, &outer);
        let most = 400 + 50 * (subs.len() + outer.len());
        plan.notes.iter().for_each(|note| shape::said(note, most));
    }
}

fn acceptable(lines: &[Line], outer: &[Range]) {
    assert!(lines.len() <= 340);
    let mut inside = 0;
    for (index, line) in lines.iter().enumerate() {
        assert!(line.count > 0);
        assert!(u64::from(line.inside) >= inside, "{line:?}");
        inside = u64::from(line.inside) + u64::from(line.count);
        assert!(inside <= 1 << 32);
        let range = outside(*line);
        for other in &lines[..index] {
            assert!(apart(outside(*other), range), "{other:?} and {line:?}");
        }
        let within = |limit: &Range| limit.start <= range.start && end(range) <= end(*limit);
        assert!(index == 0 || outer.iter().any(within), "{line:?}");
    }
}

fn outside(line: Line) -> Range {
    Range {
        start: line.outside,
        count: line.count,
    }
}

fn apart(one: Range, other: Range) -> bool {
    end(one) <= u64::from(other.start) || end(other) <= u64::from(one.start)
}

fn end(range: Range) -> u64 {
    u64::from(range.start) + u64::from(range.count)
}
