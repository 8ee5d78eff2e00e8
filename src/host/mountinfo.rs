//! The mounts of this mount namespace (`proc_pid_mountinfo(5)`).
//! One reader for everybody; why it is not the procfs crate: ARCHITECTURE.md, "Libraries".

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::files::kernel;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub id: u32,
    /// The directory of the file system that is mounted.
    pub root: PathBuf,
    pub point: PathBuf,
    pub options: String,
    /// Whether mount events propagate to peers (`shared:N`).
    pub shared: bool,
    /// Type of the file system.
    pub fs_type: String,
    /// The source, as the file system gives it.
    pub source: String,
    /// Options of the superblock.
    pub super_options: String,
}

/// The file of our own mount namespace.
const OWN: &str = "/proc/self/mountinfo";

/// The mounts of our own mount namespace; none, and a warning, where the kernel does not list them.
#[must_use]
pub fn read() -> Vec<Mount> {
    match kernel::read(OWN) {
        Ok(text) => parse(&text),
        Err(error) => {
            tracing::warn!("{OWN} cannot be read ({error}): mounts are not recognised");
            Vec::new()
        }
    }
}

/// Every line that can be understood, in order: a later mount on the same point is on top.
#[must_use]
pub fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n')
        .filter_map(parse_line)
        .collect()
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let (_parent, _device) = (fields.next()?, fields.next()?);
    // A namespace has a name for its root, `net:[…]`; but there is always one, and an absolute
    // point: what is joined to them must not lead elsewhere.
    let root = path(fields.next().filter(|root| !root.is_empty())?);
    let point = path(fields.next().filter(|point| point.starts_with(b"/"))?);
    let options = text(fields.next()?);
    let mut shared = false;
    loop {
        match fields.next()? {
            b"-" => break,
            optional => shared |= optional.starts_with(b"shared:"),
        }
    }
    let fs_type = text(fields.next()?);
    // An empty source leaves an empty field; a missing one is tolerated likewise.
    let source = fields.next().map(text).unwrap_or_default();
    let super_options = fields.next().map(text).unwrap_or_default();
    Some(Mount {
        id,
        root,
        point,
        options,
        shared,
        fs_type,
        source,
        super_options,
    })
}

/// Undoes the kernel's escapes: `\040`, `\011`, `\012`, `\134`, any three octal digits.
fn path(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        if let (b'\\', Some(digits)) = (first, after.get(..3))
            && let Some(byte) = std::str::from_utf8(digits)
                .ok()
                .and_then(|d| u8::from_str_radix(d, 8).ok())
        {
            bytes.push(byte);
            rest = after.get(3..).unwrap_or_default();
            continue;
        }
        bytes.push(*first);
        rest = after;
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// The mount that is on top of exactly this point.
#[must_use]
pub fn at<'a>(mounts: &'a [Mount], point: &Path) -> Option<&'a Mount> {
    mounts.iter().rev().find(|mount| mount.point == point)
}

#[must_use]
pub fn holding<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let depth = |mount: &&Mount| mount.point.components().count();
    let within = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    within.fold(None, |best: Option<&Mount>, mount| match best {
        Some(best) if depth(&best) > depth(&mount) => Some(best),
        _ => Some(mount), // deeper, or later on the same point
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &[u8] = b"\
22 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw
23 22 0:21 / /sys/fs/cgroup rw - cgroup2 cgroup rw,nsdelegate
24 22 0:30 / /with\\040space\\134 rw,noexec - tmpfs  rw
broken line
25 22 0:31 / /sys/fs/cgroup rw - tmpfs tmpfs rw
";

    #[test]
    fn odd_lines_are_passed_over_and_escapes_undone() {
        let mounts = parse(TEXT);
        assert_eq!(mounts.len(), 4);
        assert!(mounts[0].shared && !mounts[1].shared);
        assert_eq!(mounts[2].point, Path::new("/with space\\"));
        assert_eq!(
            (mounts[2].source.as_str(), mounts[2].super_options.as_str()),
            ("", "rw")
        );
    }

    #[test]
    fn the_last_mount_on_a_point_is_on_top() {
        let mounts = parse(TEXT);
        assert_eq!(
            at(&mounts, Path::new("/sys/fs/cgroup")).unwrap().fs_type,
            "tmpfs"
        );
        assert_eq!(
            holding(&mounts, Path::new("/sys/fs/cgroup/x"))
                .unwrap()
                .fs_type,
            "tmpfs"
        );
        assert_eq!(
            holding(&mounts, Path::new("/var/lib")).unwrap().fs_type,
            "ext4"
        );
        assert_eq!(at(&mounts, Path::new("/var")), None);
    }

    #[test]
    fn a_place_that_is_none_is_passed_over() {
        for line in [
            "1 0 0:1  /a rw - x y z",
            "1 0 0:1 / a rw - x y z",
            "1 0 0:1 /  rw - x y z",
        ] {
            assert_eq!(parse(line.as_bytes()), [], "{line}");
        }
        assert_eq!(parse(b"1 0 0:4 net:[7] /a rw - nsfs nsfs rw").len(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn escaped_paths_come_back(bytes in proptest::collection::vec(1u8..=255, 1..20)) {
            let escaped: String = bytes.iter().map(|b| format!("\\{b:03o}")).collect();
            prop_assert_eq!(path(escaped.as_bytes()).into_os_string().into_vec(), bytes);
        }
    }
}
