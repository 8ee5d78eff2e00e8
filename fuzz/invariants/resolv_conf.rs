//! A resolv.conf: the bounds of resolv.conf(5), and one answer from both of our readers.

use std::time::Duration;

use dind_init::host::uplink::resolvers;
use dind_init::net::resolve::resolv_conf::ResolvConf;

use super::shape;

/// The bytes of an /etc/resolv.conf.
pub fn check(bytes: &[u8]) {
    let conf = ResolvConf::parse(bytes);
    assert!((1..=3).contains(&conf.servers.len()));
    assert!(conf.ndots <= 15 && (1..=5).contains(&conf.attempts));
    let seconds = Duration::from_secs(1)..=Duration::from_secs(30);
    assert!(seconds.contains(&conf.timeout));
    for name in ["docker", "a.b", "complete."] {
        let names = conf.candidates(name);
        let bare = name.trim_end_matches('.');
        assert!(names.iter().any(|candidate| candidate == bare));
        assert!(names.iter().all(|candidate| candidate.starts_with(bare)));
        assert!(names.len() <= 1 + conf.search.len());
    }
    let all = shape::text_lines(bytes, resolvers);
    if !bytes.contains(&b'%') {
        let first: Vec<_> = all.into_iter().take(3).collect();
        let none = first.is_empty() && conf.servers[0].is_loopback();
        assert!(
            none || first == conf.servers,
            "{first:?}, {:?}",
            conf.servers
        );
    }
}
