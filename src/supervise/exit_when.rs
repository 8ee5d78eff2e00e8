//! DIND_EXIT_WHEN: what ends a sidecar. Files by inotify and processes by pidfd where possible;
//! the rest is looked at seldom.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::process::Pid;

use super::idle::Served;
use super::machine::{Millis, after};
use super::table::Table;
use crate::config::lifetime::ExitWhen;
use crate::files;
use crate::sys::process::Pidfd;

const SELDOM: Duration = Duration::from_secs(1);

/// One condition with what is known about it.
#[derive(Debug)]
enum Condition {
    File {
        path: PathBuf,
        inotify: Option<OwnedFd>,
    },
    Idle {
        time: Duration,
        since: Option<Millis>,
    },
    Others {
        seen: bool,
    },
    Process {
        name: String,
        pidfd: Option<Pidfd>,
        seen: bool,
    },
}

/// All conditions; the first one that holds ends the daemon.
#[derive(Debug, Default)]
pub struct ExitWatch {
    conditions: Vec<Condition>,
    served: Served,
    /// Nothing yet: everything is looked at once.
    look_at: Option<Millis>,
}

/// What the conditions depend on.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub at: Millis,
    /// Whether the API answers.
    pub ready: bool,
    pub dockerd: Option<Pid>,
}

impl ExitWatch {
    /// Begins to watch.
    #[must_use]
    pub fn new(request: &[ExitWhen], served: Served) -> Self {
        Self {
            conditions: request.iter().map(condition).collect(),
            served,
            look_at: None,
        }
    }

    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.conditions
            .iter()
            .filter_map(|condition| match condition {
                Condition::File { inotify, .. } => inotify.as_ref().map(AsFd::as_fd),
                Condition::Process { pidfd, .. } => pidfd.as_ref().map(AsFd::as_fd),
                Condition::Idle { .. } | Condition::Others { .. } => None,
            })
    }

    /// When to look without having been called.
    #[must_use]
    pub fn look_at(&self) -> Option<Millis> {
        match self.look_at {
            None => (!self.conditions.is_empty()).then_some(0),
            Some(at) => self.pause().map(|_| at),
        }
    }

    /// The pause of the most eager condition that nobody calls us for.
    fn pause(&self) -> Option<Duration> {
        let pause = |condition: &Condition| match condition {
            Condition::File { inotify: None, .. }
            | Condition::Others { .. }
            | Condition::Process { pidfd: None, .. } => Some(SELDOM),
            Condition::Idle { time, .. } => {
                Some((*time / 5).clamp(Duration::from_millis(200), SELDOM * 10))
            }
            Condition::File { .. } | Condition::Process { .. } => None,
        };
        self.conditions.iter().filter_map(pause).min()
    }

    /// Looks at what was called or is due; says which condition holds.
    pub fn look(&mut self, now: Now) -> Option<String> {
        let due = self.look_at.is_none_or(|at| at <= now.at);
        if due {
            let pause = self.pause();
            self.look_at = Some(pause.map_or(Millis::MAX, |pause| after(now.at, pause)));
        } else if let (Some(pause), Some(Millis::MAX)) = (self.pause(), self.look_at) {
            self.look_at = Some(after(now.at, pause)); // an inotify or a pidfd is gone
        }
        let served = &self.served;
        let mut table = None;
        self.conditions
            .iter_mut()
            .find_map(|condition| hold(condition, served, now, due, &mut table))
    }
}

fn condition(request: &ExitWhen) -> Condition {
    match request {
        ExitWhen::File(path) => Condition::File {
            path: path.clone(),
            inotify: path.parent().and_then(watch_directory),
        },
        ExitWhen::Idle(time) => Condition::Idle {
            time: *time,
            since: None,
        },
        ExitWhen::Process(name) => Condition::Process {
            name: name.clone(),
            pidfd: None,
            seen: false,
        },
        ExitWhen::Parent => parent(),
    }
}

/// Our parent, where it is in our pid namespace; else whoever shares the namespace with us.
fn parent() -> Condition {
    let parent = rustix::process::getppid();
    let held = parent.and_then(|pid| Pidfd::open(pid).ok());
    // It may have ended before it was held.
    match held.filter(|_| rustix::process::getppid() == parent) {
        Some(pidfd) => Condition::Process {
            name: String::new(), // nobody else counts
            pidfd: Some(pidfd),
            seen: true,
        },
        None => Condition::Others { seen: false },
    }
}

/// Nothing when there is no such directory yet, or no inotify instance left: then the file is
/// looked for.
fn watch_directory(directory: &Path) -> Option<OwnedFd> {
    let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
    let fd = inotify::init(flags).ok()?;
    let events = inotify::WatchFlags::CREATE
        | inotify::WatchFlags::MOVED_TO
        | inotify::WatchFlags::DELETE_SELF
        | inotify::WatchFlags::MOVE_SELF
        | inotify::WatchFlags::ONLYDIR;
    inotify::add_watch(&fd, directory, events).ok()?;
    Some(fd)
}

fn hold(
    condition: &mut Condition,
    served: &Served,
    now: Now,
    due: bool,
    table: &mut Option<Table>,
) -> Option<String> {
    match condition {
        Condition::File { path, inotify } => {
            let called = inotify.as_ref().is_none_or(is_readable);
            if inotify.as_ref().is_some_and(|fd| !still_watches(fd)) {
                *inotify = None;
            }
            ((called || due) && files::stat(path).is_ok())
                .then(|| format!("{} exists", path.display()))
        }
        Condition::Process { name, pidfd, seen } => {
            if let Some(fd) = pidfd
                && is_readable(fd)
            {
                *pidfd = None;
            } else if pidfd.is_some() || !due {
                return None;
            }
            let table = table.get_or_insert_with(Table::read);
            let found = Some(&*name).filter(|name| !name.is_empty());
            match found.and_then(|name| table.foreign(name)) {
                Some(process) => {
                    *seen = true;
                    *pidfd = crate::process::hold(process).ok();
                    None
                }
                None if table.unread().is_some() => None, // it may be there
                None if *seen && name.is_empty() => Some("the parent process is gone".to_owned()),
                None if *seen => Some(format!("{name} is gone")),
                None => None,
            }
        }
        Condition::Others { seen } => {
            let table = due.then(|| table.get_or_insert_with(Table::read))?;
            let others = table.has_others();
            *seen |= others;
            let gone = !others && table.unread().is_none();
            (*seen && gone).then(|| "the other processes are gone".to_owned())
        }
        Condition::Idle { time, since } => {
            if !due {
                return None;
            }
            let used = !now.ready
                || !matches!(
                    table.get_or_insert_with(Table::read).busy(now.dockerd),
                    Ok(0)
                )
                || served.clients() > 0;
            if used {
                *since = None;
                return None;
            }
            let since = *since.get_or_insert(now.at);
            (after(since, *time) <= now.at)
                .then(|| format!("nobody used the daemon for {} s", time.as_secs_f64()))
        }
    }
}

fn is_readable(fd: &impl AsFd) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&now)), Ok(1..))
}

/// Reads every event; the directory itself may be gone.
fn still_watches(fd: &OwnedFd) -> bool {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
    let mut reader = inotify::Reader::new(fd, &mut buffer);
    let gone = inotify::ReadFlags::IGNORED
        | inotify::ReadFlags::DELETE_SELF
        | inotify::ReadFlags::MOVE_SELF;
    let mut alive = true;
    while let Ok(event) = reader.next() {
        alive &= !event.events().intersects(gone);
    }
    alive
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
mod tests {
    use super::*;

    const NOW: Now = Now {
        at: 0,
        ready: true,
        dockerd: None,
    };

    #[test]
    fn a_file_calls_when_it_appears() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("done");
        let mut watch = ExitWatch::new(&[ExitWhen::File(path.clone())], Served::default());
        assert_eq!(watch.look(NOW), None);
        assert_eq!(watch.look_at(), None, "no ticking");
        std::fs::write(dir.path().join("other"), "").unwrap();
        assert_eq!(watch.look(NOW), None);
        std::fs::write(&path, "").unwrap();
        assert!(
            watch
                .fds()
                .all(|fd| is_readable(&fd.try_clone_to_owned().unwrap()))
        );
        assert!(watch.look(NOW).unwrap().ends_with("done exists"));
    }

    #[test]
    fn a_directory_that_is_gone_is_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/done");
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        let mut watch = ExitWatch::new(&[ExitWhen::File(path.clone())], Served::default());
        std::fs::remove_dir(dir.path().join("sub")).unwrap();
        assert_eq!(watch.look(NOW), None);
        assert!(watch.look_at().is_some());
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(&path, "").unwrap();
        let later = Now { at: 3000, ..NOW };
        assert!(watch.look(later).is_some());
    }

    #[test]
    fn a_file_that_is_there_already_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("done");
        std::fs::write(&path, "").unwrap();
        let mut watch = ExitWatch::new(&[ExitWhen::File(path)], Served::default());
        assert!(watch.look(Now { at: 7, ..NOW }).is_some());
    }
}
