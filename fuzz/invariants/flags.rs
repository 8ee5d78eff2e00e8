//! What holds of every command line of rootlesskit: its grammar is Go's, and every accepted one
//! means the same in each of its spellings.

use std::ffi::OsString;

use dind_init::base::environment::Environment;
use dind_init::config::rootless::Options;
use dind_init::config::rootless::flags::{Flags, ROOTLESSKIT};

const VARIABLE: &str = "DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS";

/// Words, parted by blanks.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    let parsed = ROOTLESSKIT.read(&words);
    if let Ok((flags, rest)) = &parsed {
        assert!(words.ends_with(rest), "what follows is not changed");
        let read = &words[..words.len() - rest.len()];
        spelled_otherwise(read, flags);
        if rest.is_empty() && read.last().is_none_or(|word| word != "--") {
            said_twice(read, flags);
        }
        if let Ok(options) = Options::for_persona(flags) {
            plausible(&options);
        }
    }
    let env = [(VARIABLE, text)].into_iter().collect::<Environment>();
    if let Ok(options) = Options::for_dockerd(&env) {
        assert!(
            matches!(parsed, Ok((_, []))),
            "every word was a flag: {words:?}"
        );
        plausible(&options);
    }
}

/// One dash is as good as two, and what a flag takes may come after `=`.
fn spelled_otherwise(words: &[String], flags: &Flags) {
    let mut joined: Vec<String> = Vec::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            break;
        }
        let name = word.trim_start_matches('-');
        let alone = ROOTLESSKIT.read(std::slice::from_ref(word));
        joined.push(match (alone, words.peek()) {
            (Ok(_), _) => format!("-{name}"),
            (Err(_), Some(_)) => format!("-{name}={}", words.next().map_or("", |it| it)),
            (Err(error), None) => panic!("accepted with what follows nothing: {error}"),
        });
    }
    let again = ROOTLESSKIT.read(&joined);
    assert_eq!(again, Ok((flags.clone(), &[][..])), "{joined:?}");
}

/// The last one wins: what was said before changes nothing, and lists grow.
fn said_twice(words: &[String], flags: &Flags) {
    let twice = [words, words].concat();
    let (again, rest) = ROOTLESSKIT.read(&twice).expect("flags again");
    assert!(rest.is_empty());
    for name in ["net", "mtu", "port-driver", "ipv6", "state-dir", "debug"] {
        assert_eq!(again.value(name), flags.value(name));
        assert_eq!(again.switch(name), flags.switch(name));
    }
    for name in ["publish", "copy-up"] {
        let once = flags.list(name);
        assert_eq!(again.list(name), [once, once].concat());
    }
}

fn plausible(options: &Options) {
    assert!(options.mtu.is_none_or(|mtu| (68..=65521).contains(&mtu)));
    assert!((1..=15).contains(&options.ifname.len()));
    assert!(options.state_dir.iter().all(|path| path.is_absolute()));
    for path in &options.copy_up {
        assert!(path.is_absolute() && *path != *"/", "{path:?}");
    }
    for spec in &options.publish {
        assert_eq!(spec.to_string().parse().as_ref(), Ok(spec));
    }
    for program in [&options.slirp4netns, &options.pasta] {
        assert!(!OsString::from(program).is_empty());
    }
}
