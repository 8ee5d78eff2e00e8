//! Files of users and groups: what is found is in a line of the file, and the first one counts, as
//! for the C library and for dockerd.

use dind_init::config::rootless::places::passwd;
use dind_init::host::listen::parse_groups;

use super::shape;

/// An /etc/passwd, or an /etc/group.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let groups = parse_groups(&text);
    let one = |line: &str| parse_groups(line).into_iter().collect::<Vec<_>>();
    let by_line = shape::text_lines(text.as_bytes(), |text| text.lines().flat_map(one).collect());
    for (name, gid) in &groups {
        let first = by_line.iter().find(|(found, _)| found == name);
        assert_eq!(first.map(|(_, gid)| gid), Some(gid), "{name}");
        assert!(!name.contains([':', '\n']));
    }
    for uid in [0, 1000] {
        let Some((name, gid, home)) = passwd(&text, uid) else {
            continue;
        };
        let home = home.to_str().expect("a text");
        assert!(
            ![&name, home]
                .iter()
                .any(|field| field.contains([':', '\n']))
        );
        let line = format!("{name}:x:{uid}:{gid}::{home}:/bin/sh\n");
        let found = Some((name, gid, home.into()));
        assert_eq!(passwd(&line, uid), found);
        assert_eq!(passwd(&format!("#\n{line}{text}"), uid), found);
    }
}
