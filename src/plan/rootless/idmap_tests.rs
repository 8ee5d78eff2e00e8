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
        odd_uids: Vec::new(),
        odd_gids: Vec::new(),
        outer_uids: ranges(outer),
        outer_gids: ranges(outer),
        may_write,
    }
}

fn words(plan: &MapPlan) -> String {
    MapPlan::words(&plan.uids).join(" ")
}

#[test]
fn the_ids_that_exist_here_are_read() {
    assert_eq!(
        crate::host::rootless::ids::parse_map("         0     300000      65536\n"),
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

/// Debian's `useradd` writes a row, and the usual `echo >>` the same one again.
#[test]
fn an_id_that_rows_name_twice_is_mapped_once() {
    for (subs, want) in [
        (&[(100_000, 65536), (100_000, 65536)][..], "1 100000 65536"),
        (&[(100_000, 65536), (165_536, 10)], "1 100000 65546"),
        (
            &[(100_000, 65536), (90_000, 20_000)],
            "1 100000 65536 65537 90000 10000",
        ),
        (&[(100_000, 10), (100_005, 65536)], "1 100000 65541"),
        (
            &[(200_000, 65536), (100_000, 9), (199_999, 70_000)],
            "1 200000 65536 65537 100000 9 65546 199999 1 65547 265536 4463",
        ),
        // Ids of ordinary users of the container itself are for where there are no others.
        (&[(100_000, 65536), (1001, 64535)], "1 100000 65536"),
        (
            &[(0, 65536), (100_000, 65536)],
            "1 1 999 1000 1001 64535 65535 100000 65536",
        ),
    ] {
        let plan = plan(&facts(subs, FULL, false), false).unwrap();
        assert_eq!(words(&plan), format!("0 1000 1 {want}"));
    }
}

/// A pod with `hostUsers: false` has 65536 ids, its root and the user among them.
#[test]
fn in_a_pod_the_row_that_exists_there_is_taken_and_nobody_is_mapped() {
    let pod = &[(0, 65536)];
    let subs = &[(100_000, 65536), (1001, 64535)];
    let made = plan(&facts(subs, pod, false), false).unwrap();
    assert_eq!(words(&made), "0 1000 1 1 1001 64534 65534 65535 1");
    assert!(
        made.notes
            .iter()
            .all(|note| note.contains("clipped to 1001-65535"))
    );
    // Everything above it is there by itself.
    let made = plan(&facts(&[], pod, true), false).unwrap();
    assert_eq!(words(&made), "0 1000 1 1 1 999 1000 1001 64535");
}

#[test]
fn a_row_that_newuidmap_cannot_read_counts_where_it_is_not_asked() {
    let odd = |may_write| {
        let row = OddRow::Row {
            file: "/etc/subuid".into(),
            text: "rootless:100000:65536\r".into(),
            range: Some(Range {
                start: 100_000,
                count: 65536,
            }),
        };
        let facts = IdFacts {
            odd_uids: vec![row],
            sub_uids: Vec::new(),
            ..facts(&[(100_000, 65536)], FULL, may_write)
        };
        plan(&facts, false)
    };
    let plan = odd(true).unwrap();
    assert_eq!(words(&plan), "0 1000 1 1 100000 65536");
    assert!(plan.notes[0].contains("/etc/subuid: \"rootless:100000:65536\\r\""));
    assert!(matches!(odd(false), Err(NoMap::NoSubIds(odd)) if odd.len() == 1));
}

#[test]
fn ranges_are_clipped_to_our_own_namespace_and_it_is_said() {
    let outer = &[(0, 65536)];
    let plan_ok = plan(&facts(&[(1001, 64535)], outer, false), false).unwrap();
    assert_eq!(words(&plan_ok), "0 1000 1 1 1001 64534 65534 65535 1");
    let plan_cut = plan(&facts(&[(60_000, 65536)], outer, false), false).unwrap();
    assert_eq!(words(&plan_cut), "0 1000 1 1 60000 5535 65534 65535 1");
    assert_eq!(
        plan_cut.notes[0],
        "subordinate user ids: 60000-125535 clipped to 60000-65535, which is what this \
         container's own user namespace has (0-65535)"
    );
    assert!(matches!(
        plan(&facts(&[(100_000, 65536)], outer, false), false),
        Err(NoMap::Outside { .. })
    ));
    assert_eq!(
        plan(&facts(&[], outer, false), false),
        Err(NoMap::NoSubIds(Vec::new()))
    );
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
        let facts = IdFacts { uid: 1000, gid: 1000, ..facts(&subs, &[(0, outer)], may_write) };
        if let Ok(plan) = plan(&facts, false) {
            let mut next = 0u64;
            prop_assert!(plan.uids.len() <= MOST_LINES);
            let mut taken: Vec<(u64, u64)> = Vec::new();
            for line in &plan.uids {
                // Only nobody may stand by itself.
                let apart = line.inside == NOBODY && line.count == 1 && next <= u64::from(NOBODY);
                prop_assert!(u64::from(line.inside) == next || apart);
                next += u64::from(line.count);
                let (from, to) = (u64::from(line.outside), u64::from(line.outside) + u64::from(line.count));
                prop_assert!(taken.iter().all(|(a, b)| to <= *a || from >= *b));
                taken.push((from, to));
                prop_assert!(line.inside == 0 || to <= u64::from(outer));
                prop_assert!(line.outside != ROOT && line.count > 0);
            }
            if plan.uids.len() > 1 {
                let nobody = |line: &Line| (line.inside..line.inside + line.count).contains(&NOBODY);
                prop_assert!(plan.uids.iter().any(nobody));
            }
        }
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in "([a-z0-9: -]{0,30}\n){0,4}") {
        let _ = crate::host::rootless::ids::parse_map(&text);
    }
}
