//! What the fuzz targets (`make fuzz`) assert, on their seeds: everything that a fuzzer has found
//! once is tried with every run of the tests, without a fuzzer.
#![allow(unreachable_pub)]
#![allow(
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "the invariants are written for a fuzzer, and may fail loudly"
)]

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

#[path = "../fuzz/invariants/lib.rs"]
mod invariants;

/// Each seed as it is, and every beginning of it: what a reader sees that comes too early.
#[track_caller]
fn replay(target: &str, check: fn(&[u8])) {
    let directory = fuzz().join("seeds").join(target);
    let seeds = fs::read_dir(&directory).expect("the seeds");
    let seeds: Vec<_> = seeds.map(|seed| seed.expect("a seed").path()).collect();
    assert!(!seeds.is_empty(), "{}", directory.display());
    for seed in seeds {
        let bytes = fs::read(&seed).expect("a seed");
        let step = 1 + bytes.len() / 64;
        for length in (0..bytes.len()).step_by(step).chain([bytes.len()]) {
            let name = seed.display();
            let passed = catch_unwind(|| check(&bytes[..length]));
            assert!(passed.is_ok(), "{name}, its first {length} bytes");
        }
    }
}

fn fuzz() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz"))
}

/// A test for each target.
macro_rules! targets {
    ($($name:ident)*) => {
        const TARGETS: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                replay(stringify!($name), invariants::$name::check);
            }
        )*
    };
}

targets! {
    accounts api_request bind_question bridges cgroup credentials daemon_flags daemon_json
    data_root dns_reply flags forwarded hosts http_head mountinfo notice pem port_spec process
    resolv_conf san status sub_ids tls_directory
}

#[test]
fn every_target_is_replayed_and_known_to_the_fuzzer() {
    let ours: BTreeSet<String> = TARGETS.iter().map(ToString::to_string).collect();
    let listed = |directory: &str, suffix: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(fuzz().join(directory)).expect("a directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let names = names.map(|name| name.into_string().expect("a text"));
        names
            .map(|name| name.trim_end_matches(suffix).to_owned())
            .collect()
    };
    assert_eq!(listed("seeds", ""), ours);
    assert_eq!(listed("fuzz_targets", ".rs"), ours);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("the manifest");
    let built = manifest.split("[[bin]]\nname = \"").skip(1);
    let built = built.filter_map(|text| text.split('"').next());
    assert_eq!(built.map(str::to_owned).collect::<BTreeSet<_>>(), ours);
}
