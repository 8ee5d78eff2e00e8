use super::*;
use proptest::prelude::*;

fn ranges(list: &[(u32, u32)]) -> Vec<Range> {
    list.iter()
        .map(|&(start, count)| Range { start, count })
        .collect()
}

const FULL: &[(u32, u32)] = &[(0, u32::MAX)];

fn facts(subs: &[(u32, u32)], outer: &[(u32, u32)], may_write: bool) -> IdFacts {
    IdFacts {
        uid: 1000,
        gid: 1000,
        sub_uids: ranges(subs),
        sub_gids: ranges(subs),
        outer_uids: ranges(outer),
        outer_gids: ranges(outer),
        may_write,
    }
}

fn words(plan: &MapPlan) -> String {
    MapPlan::words(&plan.uids).join(" ")
}

#[test]
fn files_getsubids_and_maps_are_read() {
    let text = "# x\nalice:100000:65536\n1000:300000:10\nbob:1:1\nalice:bad:2\nalice:5:0\n";
    assert_eq!(
        parse_file(text, Some("alice"), 1000),
        ranges(&[(100_000, 65536), (300_000, 10)])
    );
    assert_eq!(parse_file(text, None, 7), []);
    assert_eq!(
        parse_getsubids("0: alice 100000 65536\n1: alice 7 8\n"),
        ranges(&[(100_000, 65536), (7, 8)])
    );
    assert_eq!(
        parse_map("         0     300000      65536\n"),
        ranges(&[(0, 65536)])
    );
}

#[test]
fn the_user_is_root_inside_and_every_range_follows() {
    let plan = plan(
        &facts(&[(100_000, 65536), (300_000, 9)], FULL, false),
        false,
    )
    .unwrap();
    assert_eq!(words(&plan), "0 1000 1 1 100000 65536 65537 300000 9");
    assert_eq!(plan.writer, Writer::Helpers);
    assert!(plan.notes.is_empty());
    assert_eq!(
        MapPlan::text(&plan.gids),
        "0 1000 1\n1 100000 65536\n65537 300000 9\n"
    );
}

#[test]
fn ranges_are_clipped_to_our_own_namespace_and_it_is_said() {
    let outer = &[(0, 65536)];
    let plan_ok = plan(&facts(&[(1001, 64535)], outer, false), false).unwrap();
    assert_eq!(words(&plan_ok), "0 1000 1 1 1001 64535");
    let plan_cut = plan(&facts(&[(60_000, 65536)], outer, false), false).unwrap();
    assert_eq!(words(&plan_cut), "0 1000 1 1 60000 5536");
    assert_eq!(
        plan_cut.notes[0],
        "subordinate user ids: 60000-125535 clipped to 60000-65535, which is what this \
         container's own user namespace has (0-65535)"
    );
    assert!(matches!(
        plan(&facts(&[(100_000, 65536)], outer, false), false),
        Err(NoMap::Outside { .. })
    ));
    assert_eq!(plan(&facts(&[], outer, false), false), Err(NoMap::NoSubIds));
}

#[test]
fn with_the_right_to_write_the_containers_own_ids_serve() {
    for subs in [&[][..], &[(100_000, 65536)]] {
        let plan = plan(&facts(subs, &[(0, 65536)], true), false).unwrap();
        assert_eq!(words(&plan), "0 1000 1 1 1 999 1000 1001 64535");
        assert_eq!(plan.writer, Writer::Direct);
        assert_eq!(plan.notes.len(), 2);
    }
    let plan = plan(&facts(&[(100_000, 65536)], FULL, true), false).unwrap();
    assert_eq!(words(&plan), "0 1000 1 1 100000 65536");
}

#[test]
fn our_own_id_is_never_mapped_twice() {
    let plan = plan(&facts(&[(900, 65536)], FULL, false), false).unwrap();
    assert_eq!(words(&plan), "0 1000 1 1 900 100 101 1001 65435");
}

#[test]
fn a_single_map_is_made_only_when_asked_for() {
    let plan = plan(&facts(&[], FULL, false), true).unwrap();
    assert_eq!(words(&plan), "0 1000 1");
    assert_eq!(plan.writer, Writer::Single);
}

proptest! {
    #[test]
    fn maps_never_overlap_nor_leave_the_outer_namespace(
        subs in proptest::collection::vec((0u32..200_000, 1u32..70_000), 0..4),
        outer in 1u32..200_000,
        may_write: bool,
    ) {
        // Subordinate ranges that overlap each other are a mistake that the kernel refuses.
        let mut subs = subs;
        subs.sort_unstable();
        subs.dedup_by(|b, a| b.0 < a.0 + a.1);
        let facts = IdFacts { uid: 1000, gid: 1000, ..facts(&subs, &[(0, outer)], may_write) };
        if let Ok(plan) = plan(&facts, false) {
            let mut next = 0u64;
            let mut taken: Vec<(u64, u64)> = Vec::new();
            for line in &plan.uids {
                prop_assert_eq!(u64::from(line.inside), next);
                next += u64::from(line.count);
                let (from, to) = (u64::from(line.outside), u64::from(line.outside) + u64::from(line.count));
                prop_assert!(taken.iter().all(|(a, b)| to <= *a || from >= *b));
                taken.push((from, to));
                prop_assert!(line.inside == 0 || to <= u64::from(outer));
            }
        }
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in "([a-z0-9: -]{0,30}\n){0,4}") {
        let _ = (parse_file(&text, Some("a"), 1), parse_getsubids(&text), parse_map(&text));
    }
}
