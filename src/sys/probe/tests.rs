use super::*;

const LONG: Duration = Duration::from_secs(30);
const NONE: UnshareFlags = UnshareFlags::empty();

#[test]
fn answers_come_back_each_to_its_own_ticket() {
    let mut probes = Probes::new();
    let pids: Vec<_> = (0..4)
        .map(|_| probes.start("pid", NONE, LONG, std::process::id))
        .collect();
    let mut results = probes.collect();
    assert_eq!(results.times().count(), 4);
    let mut pids: Vec<_> = pids
        .into_iter()
        .map(|ticket| results.take(ticket))
        .collect();
    pids.dedup();
    assert_eq!(pids.len(), 4, "each ran in a process of its own: {pids:?}");
}

#[test]
fn one_that_hangs_is_killed_and_costs_the_others_nothing() {
    let mut probes = Probes::new();
    let hung = probes.start("hung", NONE, Duration::from_millis(50), || {
        while poll(&mut [], None).is_ok() {}
    });
    let fine = probes.start("fine", NONE, LONG, || 7);
    let mut results = probes.collect();
    let ProbeResult::Unknown(why) = results.take(hung) else {
        panic!("it answered")
    };
    assert!(why.starts_with("no answer within 50ms"), "{why}");
    assert_eq!(results.take(fine), ProbeResult::Known(7));
}

#[test]
fn a_panic_a_death_and_a_flood_are_unknown() {
    let mut probes = Probes::new();
    let panic = probes.start("panic", NONE, LONG, || -> () {
        std::panic::set_hook(Box::new(|_| {}));
        panic!("no")
    });
    let death = probes.start("death", NONE, LONG, || {
        std::process::abort();
    });
    let flood = probes.start("flood", NONE, LONG, || "x".repeat(LONGEST_ANSWER));
    let mut results = probes.collect();
    let why = |tried| match tried {
        ProbeResult::Unknown(why) => why,
        ProbeResult::Known(()) => panic!("it answered"),
    };
    assert_eq!(why(results.take(panic)), "it panicked");
    assert_eq!(why(results.take(death)), "it died without an answer");
    assert!(matches!(results.take(flood), ProbeResult::Unknown(why) if why.contains("too long")));
}

#[test]
fn it_has_no_descriptor_of_ours_and_dies_with_us() {
    let _open = rustix::pipe::pipe().unwrap();
    let mut probes = Probes::new();
    let found = probes.start("descriptors", NONE, LONG, || {
        let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let mut names: Vec<_> = open.map(|e| e.file_name().into_string().unwrap()).collect();
        names.sort();
        (
            names,
            rustix::process::parent_process_death_signal()
                .unwrap()
                .is_some(),
        )
    });
    let ProbeResult::Known((names, dies)) = probes.collect().take(found) else {
        panic!("no answer")
    };
    assert_eq!(names, ["0", "1", "2", "3", "4"], "4 is the listing itself");
    assert!(dies);
}

#[test]
fn namespaces_are_its_own_or_the_answer_is_unknown() {
    let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
    let flags = UnshareFlags::NEWUSER | UnshareFlags::NEWNS | UnshareFlags::NEWNET;
    let mut probes = Probes::new();
    let theirs = probes.start("namespaces", flags, LONG, || {
        let shared = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let shared = shared.lines().any(|line| line.contains(" shared:"));
        (std::fs::read_link("/proc/self/ns/net").unwrap(), shared)
    });
    match probes.collect().take(theirs) {
        ProbeResult::Known((theirs, shared)) => assert!(theirs != ours && !shared),
        ProbeResult::Unknown(why) => assert!(why.starts_with("unshare: "), "{why}"),
    }
}
