//! dockerd's command line: every word reaches dockerd as it was, and a flag that is taken out is
//! gone.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use dind_init::config::daemon_args::DaemonArgs;

/// Words, one a line.
pub fn check(bytes: &[u8]) {
    let words = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
    let words: Vec<OsString> = words.map(OsString::from_vec).collect();
    let args = DaemonArgs::parse(&words);
    assert_eq!(args.words(), words);
    let names: Vec<String> = args.flags().map(|flag| flag.name.clone()).collect();
    assert!(names.len() <= bytes.len());
    for name in names.iter().map(String::as_str).chain(["host"]) {
        assert_eq!(args.has(name), names.iter().any(|found| found == name));
        assert!(args.value(name).is_none() || args.has(name));
        assert_eq!(args.switch(name).is_some(), args.has(name));
        let without = args.without(name);
        if !args.has(name) {
            assert_eq!(without, words);
        }
        let without = DaemonArgs::parse(&without);
        assert!(!without.has(name), "{name} in {:?}", without.words());
    }
}
