//! The table of mounts: whoever may mount in a nested container chooses names in it.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dind_init::host::mountinfo::{Mount, at, holding, parse};
use dind_init::supervise::mounts::{Roots, leftovers};

use super::shape;

/// The bytes of a /proc/self/mountinfo.
pub fn check(bytes: &[u8]) {
    let mounts = shape::lines(bytes, parse);
    for (index, mount) in mounts.iter().enumerate() {
        let line = line(mount);
        assert_eq!(parse(line.as_bytes()).first(), Some(mount), "{line}");
        if index < 32 {
            let last = mounts.iter().rfind(|other| other.point == mount.point);
            assert_eq!(at(&mounts, &mount.point), last);
            let holder = holding(&mounts, &mount.point).expect("itself at least");
            assert_eq!(Some(holder), last, "nothing is nearer");
        }
    }
    let roots = Roots {
        data: "/var/lib/docker".into(),
        exec: "/run/docker".into(),
    };
    for point in leftovers(&mounts, &roots) {
        let below = [&roots.data, &roots.exec].map(|root| point.strip_prefix(root).ok());
        assert!(below.iter().flatten().any(|rest| *rest != Path::new("")));
        assert!(
            !point.starts_with("/var/lib/docker/volumes"),
            "somebody's data"
        );
    }
}

/// As the kernel writes it.
fn line(mount: &Mount) -> String {
    let escaped = |path: &Path| {
        let bytes = path.as_os_str().as_bytes().iter();
        bytes.fold(String::new(), |mut text, byte| {
            match byte {
                b'!'..=b'[' | b']'..=b'~' => text.push(char::from(*byte)),
                other => write!(text, "\\{other:03o}").expect("a text takes it"),
            }
            text
        })
    };
    format!(
        "{} 1 0:1 {} {} {} {}- {} {} {}",
        mount.id,
        escaped(&mount.root),
        escaped(&mount.point),
        mount.options,
        if mount.shared { "shared:1 " } else { "" },
        mount.fs_type,
        mount.source,
        mount.super_options
    )
}
