//! What /proc tells of a process.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use crate::files::kernel;

use crate::sys::process::id;

/// The process id in a text: a number above 0, and nothing else.
#[must_use]
pub fn parse_id(text: &str) -> Option<Pid> {
    text.parse().ok().and_then(id)
}

/// The name of a process: at most 15 bytes of its own choice. Escaped where it is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(Vec<u8>);

impl Name {
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.to_owned())
    }

    /// Whether it is this one, of which the kernel keeps 15 bytes.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        let name = name.as_bytes();
        name.get(..15).unwrap_or(name) == self.0
    }

    /// Whether it begins so.
    #[must_use]
    pub fn starts_with(&self, name: &str) -> bool {
        self.0.starts_with(name.as_bytes())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            write!(f, "{}", chunk.valid().escape_debug())?;
            write!(f, "{}", chunk.invalid().escape_ascii())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: Pid,
    /// Its parent's id; none when the parent is outside our pid namespace.
    pub parent: Option<Pid>,
    pub name: Name,
    /// Start time in clock ticks: with the id, a name that is never used twice.
    pub start: u64,
    /// Whether it can still do anything: no zombie, or one whose other threads live.
    pub alive: bool,
    /// `R`, `S`, `D` and so on (`proc_pid_stat(5)`).
    pub state: char,
    /// /proc/PID/cgroup; read where it is asked for only.
    pub cgroup: Vec<u8>,
}

impl Process {
    /// `pid (comm) state ppid … num_threads … starttime …` (`proc_pid_stat(5)`); comm may hold
    /// anything, brackets and line feeds as well, but nothing after it does.
    #[must_use]
    pub fn parse(stat: &[u8]) -> Option<Self> {
        let open = stat.iter().position(|byte| *byte == b'(')?;
        let close = stat.iter().rposition(|byte| *byte == b')')?;
        let text = |range: Option<&[u8]>| Some(std::str::from_utf8(range?).ok()?.trim().to_owned());
        let pid = text(stat.get(..open))?;
        let rest = text(stat.get(close + 1..))?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let threads: u64 = fields.nth(15)?.parse().ok()?;
        Some(Self {
            pid: parse_id(&pid)?,
            parent: id(parent),
            name: Name::new(stat.get(open + 1..close)?),
            start: fields.nth(1)?.parse().ok()?,
            alive: alive(state, threads),
            state,
            cgroup: Vec::new(),
        })
    }

    /// Reads one; nothing when there is no such process.
    ///
    /// # Errors
    /// It may be there, but cannot be looked at.
    pub fn read(proc: &Path, pid: Pid) -> Result<Option<Self>, Unread> {
        let path = file(proc, pid, "stat");
        let Some(stat) = bytes(&path)? else {
            return Ok(None);
        };
        match Self::parse(&stat) {
            Some(process) => Ok(Some(process)),
            None => Err(Unread::new(path, io::ErrorKind::InvalidData.into())),
        }
    }

    /// Reads its cgroup; false when it is gone meanwhile.
    fn read_cgroup(&mut self, proc: &Path) -> Result<bool, Unread> {
        let cgroup = bytes(&file(proc, self.pid, "cgroup"))?;
        let there = cgroup.is_some();
        self.cgroup = cgroup.unwrap_or_default();
        Ok(there)
    }

    /// Whether both are one process, and not two that had the same id one after the other.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (self.pid, self.start) == (other.pid, other.start)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid.as_raw_nonzero())
    }
}

/// The first thread of a process may end before the others: it is a zombie until they have.
fn alive(state: char, threads: u64) -> bool {
    !['Z', 'X', 'x'].contains(&state) || threads > 1
}

/// Something in /proc that could not be read: what it would have told is not known.
#[derive(Debug)]
pub struct Unread {
    path: PathBuf,
    why: io::Error,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be read: {}", self.path.display(), self.why)
    }
}

impl Unread {
    fn new(path: PathBuf, why: io::Error) -> Self {
        Self { path, why }
    }
}

fn file(proc: &Path, pid: Pid, name: &str) -> PathBuf {
    proc.join(pid.as_raw_nonzero().to_string()).join(name)
}

/// A file of a process; nothing when the process is gone.
fn bytes(path: &Path) -> Result<Option<Vec<u8>>, Unread> {
    match kernel::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(Unread::new(path.to_owned(), error)),
    }
}

/// Every process that was seen.
#[derive(Debug, Default)]
pub struct Listing {
    pub processes: Vec<Process>,
    /// The first thing that could not be read: there may be more processes.
    pub unread: Option<Unread>,
}

impl Listing {
    /// Reads the cgroups of some of them.
    pub fn read_cgroups(&mut self, proc: &Path, wanted: &HashSet<Pid>) {
        for process in &mut self.processes {
            if wanted.contains(&process.pid)
                && let Err(unread) = process.read_cgroup(proc)
            {
                self.unread.get_or_insert(unread);
            }
        }
    }
}

/// The ids of all processes, of threads not.
///
/// # Errors
/// The directory cannot be read to its end.
pub fn ids(proc: &Path) -> Result<Vec<Pid>, Unread> {
    let read = || {
        let mut ids = Vec::new();
        for entry in kernel::entries(proc)? {
            let name = entry.file_name().and_then(|name| name.to_str());
            ids.extend(name.and_then(parse_id));
        }
        Ok(ids)
    };
    read().map_err(|error| Unread::new(proc.to_owned(), error))
}

/// Reads every process.
#[must_use]
pub fn list(proc: &Path) -> Listing {
    let mut listing = Listing::default();
    let pids = ids(proc).unwrap_or_else(|unread| {
        listing.unread = Some(unread);
        Vec::new()
    });
    for pid in pids {
        match Process::read(proc, pid) {
            Ok(process) => listing.processes.extend(process),
            Err(unread) => {
                listing.unread.get_or_insert(unread);
            }
        }
    }
    listing
}

/// The name of a process, for a message; what it is when it cannot be told.
#[must_use]
pub fn name(pid: Pid) -> String {
    match Process::read(Path::new("/proc"), pid) {
        Ok(Some(process)) => process.name.to_string(),
        Ok(None) => "gone meanwhile".into(),
        Err(unread) => unread.to_string(),
    }
}

/// The name of a living process; nothing for a thread id, for which /proc answers as well. Of its
/// status and not its stat, which does not tell the one from the other.
///
/// # Errors
/// It may be there, but cannot be looked at.
pub fn leader(proc: &Path, pid: Pid) -> Result<Option<Name>, Unread> {
    let path = file(proc, pid, "status");
    let Some(status) = bytes(&path)? else {
        return Ok(None);
    };
    // The kernel escapes line feeds and backslashes of a name: none of these lines can be forged.
    let field = |name: &str| {
        let mut lines = status.split(|byte| *byte == b'\n');
        let value = lines.find_map(|line| line.strip_prefix(name.as_bytes()))?;
        value.strip_prefix(b":\t")
    };
    let number = |name: &str| std::str::from_utf8(field(name)?).ok()?.trim().parse().ok();
    let (Some(name), Some(state)) = (field("Name"), field("State").and_then(<[u8]>::first)) else {
        return Err(Unread::new(path, io::ErrorKind::InvalidData.into()));
    };
    let threads = number("Threads").unwrap_or(1);
    let own = u64::from(pid.as_raw_nonzero().get().unsigned_abs());
    let leads = number("Tgid").is_none_or(|leader: u64| leader == own);
    let there = leads && alive(char::from(*state), threads);
    Ok(there.then(|| Name::new(name)))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stat(name: &[u8], state: &str, threads: u32) -> Vec<u8> {
        let rest = format!(
            ") {state} 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 99 1000 10 1 2 3\n"
        );
        [b"42 (", name, rest.as_bytes()].concat()
    }

    #[test]
    fn a_name_may_be_any_bytes() {
        for name in [
            b"a) b (c".as_slice(),
            b"\xff\xfe",
            b") S 1 (",
            b") R 0 1 (x) Z 9",
            b"a\nb\x1b[31m",
            b"",
            b")",
        ] {
            let process = Process::parse(&stat(name, "S", 1)).unwrap();
            assert_eq!(process.name, Name::new(name));
            assert_eq!((process.start, process.alive), (99, true), "{process}");
            assert_eq!(process.parent, id(7));
        }
        assert_eq!(Process::parse(b"42 (x"), None);
        assert_eq!(Process::parse(b"0 (x) S 7"), None);
    }

    proptest! {
        #[test]
        fn no_name_hides_what_comes_after_it(name: Vec<u8>) {
            let process = Process::parse(&stat(&name, "S", 1)).unwrap();
            prop_assert_eq!(&process.name, &Name::new(&name));
            prop_assert_eq!((process.start, process.parent), (99, id(7)));
            let shown = process.to_string();
            prop_assert!(!shown.contains(char::is_control), "{}", shown);
        }

        #[test]
        fn reading_never_panics(stat: Vec<u8>) {
            let _ = Process::parse(&stat);
        }
    }

    #[test]
    fn a_process_id_is_above_0() {
        for (text, number) in [("7", Some(7)), ("0", None), ("-1", None), ("x", None)] {
            assert_eq!(parse_id(text), number.and_then(id), "{text}");
        }
    }

    #[test]
    fn a_zombie_with_living_threads_is_alive() {
        let alive = |state, threads| Process::parse(&stat(b"x", state, threads)).unwrap().alive;
        assert!(alive("S", 1) && alive("D", 1) && alive("T", 1));
        assert!(!alive("Z", 1) && !alive("X", 1));
        assert!(alive("Z", 2));
    }

    #[test]
    fn a_name_is_shown_on_one_line_and_without_escape_sequences() {
        assert_eq!(Name::new(b"\xff\xfe").to_string(), r"\xff\xfe");
        assert_eq!(Name::new(b"a\nb\x1b[0m").to_string(), r"a\nb\u{1b}[0m");
        assert_eq!(Name::new("größe".as_bytes()).to_string(), "größe");
    }

    #[test]
    fn the_kernel_keeps_fifteen_bytes_of_a_name() {
        assert!(Name::new(b"containerd-shim").is("containerd-shim-runc-v2"));
        assert!(Name::new("größer-als-es-".as_bytes().get(..15).unwrap()).is("größer-als-es-ist"));
        assert!(!Name::new(b"dockerd").is("docker"));
    }

    #[test]
    fn what_cannot_be_read_is_not_gone() {
        let dir = tempfile::tempdir().unwrap();
        let own = rustix::process::getpid();
        let number = own.as_raw_nonzero().to_string();
        assert!(Process::read(dir.path(), own).unwrap().is_none());
        // A directory where a file is expected.
        std::fs::create_dir_all(dir.path().join(&number).join("stat")).unwrap();
        std::fs::create_dir_all(dir.path().join(&number).join("status")).unwrap();
        let told = Process::read(dir.path(), own).unwrap_err().to_string();
        assert!(
            told.contains(&format!("{number}/stat cannot be read: ")),
            "{told}"
        );
        leader(dir.path(), own).unwrap_err();
        assert!(list(dir.path()).unread.is_some());
        assert!(list(&dir.path().join("nowhere")).unread.is_some());
        let real = list(Path::new("/proc"));
        assert!(real.processes.iter().any(|process| process.pid == own));
    }

    #[test]
    fn a_leader_has_a_name_whatever_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let pid = id(9).unwrap();
        std::fs::create_dir(dir.path().join("9")).unwrap();
        let read = |status: &[u8]| {
            std::fs::write(dir.path().join("9/status"), status).unwrap();
            leader(dir.path(), pid).unwrap()
        };
        // The kernel's own escape of a line feed.
        let status = b"Name:\t\xff\\nTgid:\t8\nState:\tS (sleeping)\nTgid:\t9\nThreads:\t1\n";
        assert_eq!(read(status), Some(Name::new(b"\xff\\nTgid:\t8")));
        assert_eq!(read(b"Name:\tx\nState:\tS (sleeping)\nTgid:\t8\n"), None);
        assert_eq!(read(b"Name:\tx\nState:\tZ (zombie)\nTgid:\t9\n"), None);
        let status = b"Name:\tx\nState:\tZ (zombie)\nTgid:\t9\nThreads:\t2\n";
        assert_eq!(read(status), Some(Name::new(b"x")));
    }
}
