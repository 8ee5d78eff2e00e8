//! Giving memory back.

use std::path::Path;

/// Lets go of the pages of our own binary that the start-up has touched: what the loop of PID 1
/// needs is a small part, and comes back by itself from the page cache.
///
/// Only mappings of the file that cannot be written and of which no page was ever changed
/// (`Anonymous: 0`) are touched: code and constants, but not what the loader relocated. Nothing
/// can be lost; a kernel that refuses keeps the pages, and no more than that.
#[expect(clippy::disallowed_methods, reason = "the kernel's own words about us")]
pub fn forget_code() {
    let exe = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    let smaps = std::fs::read("/proc/self/smaps").unwrap_or_default();
    let smaps = String::from_utf8_lossy(&smaps).into_owned();
    for (start, length) in unchanged(&smaps, &exe) {
        // SAFETY: the range is a whole mapping that the kernel just listed; its pages are clean
        // copies of the file, and MADV_DONTNEED on such pages only makes the next access read
        // them again.
        unsafe {
            libc::madvise(
                std::ptr::with_exposed_provenance_mut(start),
                length,
                libc::MADV_DONTNEED,
            )
        };
    }
    drop(smaps);
    // What the start-up read and threw away stays in the heap otherwise. Other C libraries give
    // it back by themselves.
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number, and touches only what the allocator knows to be free.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Start and length of each private mapping of a file that is not writable and unchanged.
fn unchanged(smaps: &str, file: &Path) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut current = None;
    for line in smaps.lines() {
        match line
            .split_once(':')
            .map(|(name, value)| (name, value.trim()))
        {
            Some(("Anonymous", "0 kB")) => found.extend(current.take()),
            Some((name, _)) if !name.contains(' ') => {}
            Some(_) | None => current = mapping(line, file),
        }
    }
    found
}

/// The range of a mapping's first line (`proc_pid_maps(5)`), if it is one of the file's.
fn mapping(line: &str, file: &Path) -> Option<(usize, usize)> {
    let mut fields = line.split_whitespace();
    let (from, to) = fields.next()?.split_once('-')?;
    let fixed = matches!(fields.next()?, "r-xp" | "r--p") && Path::new(fields.nth(3)?) == file;
    let address = |hex: &str| usize::from_str_radix(hex, 16).ok();
    let (from, to) = (address(from)?, address(to)?);
    fixed.then(|| (from, to.saturating_sub(from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unchanged_parts_of_the_file_are_named() {
        let smaps = "1000-2000 r--p 00000000 fe:00 5 /bin/x\nRss: 4 kB\nAnonymous:      0 kB\n\
                     2000-5000 r-xp 00001000 fe:00 5 /bin/x\nAnonymous:      0 kB\n\
                     5000-6000 r--p 00004000 fe:00 5 /bin/x\nAnonymous:      4 kB\n\
                     6000-7000 rw-p 00004000 fe:00 5 /bin/x\nAnonymous:      0 kB\n\
                     7000-8000 r-xp 00000000 00:00 0 [vdso]\nAnonymous:      0 kB\n";
        let found = unchanged(smaps, Path::new("/bin/x"));
        assert_eq!(found, [(0x1000, 0x1000), (0x2000, 0x3000)]);
    }

    #[test]
    fn the_program_goes_on_without_its_pages() {
        forget_code();
        assert_eq!(unchanged("", Path::new("/")), []);
    }
}
