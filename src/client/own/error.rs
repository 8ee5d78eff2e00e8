//! Why PID 1 of our own container gave no answer.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::explain::{Advice, Explain, samples};
use crate::base::printable::{line, path as shown};
use crate::host::activity::Activity;
use crate::sys::call::CallName;
use crate::sys::watchdog::Stall;

/// How far the question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// So many connections wait that there is no place for another one.
    Connect,
    /// The connection stands.
    Answer,
}

/// Why there is no answer of PID 1.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The socket may not be opened by us.
    #[error("no permission for {}", shown(path))]
    Denied {
        /// The socket.
        path: PathBuf,
        source: io::Error,
    },
    /// Nobody holds the socket.
    #[error("nobody listens on {}", shown(path))]
    Gone {
        /// The socket.
        path: PathBuf,
    },
    /// Somebody else answers.
    #[error("{} is not dind-init's: {reason}", shown(path))]
    Impostor {
        /// The socket.
        path: PathBuf,
        reason: String,
    },
    /// A failure without a name of its own.
    #[error("could not talk to {}", shown(path))]
    Io {
        /// The socket.
        path: PathBuf,
        source: io::Error,
    },
    /// There is no socket in any place.
    #[error("no daemon of dind-init's runs here")]
    NotStarted { looked_in: Vec<PathBuf> },
    /// The time is over.
    #[error("PID {pid} does not answer within {} ms: {activity}", limit.as_millis())]
    Silent {
        /// Who should have.
        pid: u32,
        limit: Duration,
        waiting: Waiting,
        activity: Activity,
    },
    /// Its watchdog answered for it.
    #[error(
        "PID {pid} hangs for {} s: it {}{}; {activity}",
        stalled.seconds,
        line(&stalled.doing).at_most(100),
        call(stalled)
    )]
    Stalled {
        pid: u32,
        /// What the watchdog knows.
        stalled: Stall,
        /// What /proc says.
        activity: Activity,
    },
    /// What came is no status.
    #[error("what {} answers is no status of dind-init's", shown(path))]
    Unreadable {
        /// The socket.
        path: PathBuf,
    },
}

fn call(stalled: &Stall) -> String {
    let call = stalled.call.map(|call| format!(", in {}", CallName(call)));
    let path = stalled
        .path
        .as_ref()
        .map(|path| format!(" of {}", line(path)));
    call.unwrap_or_default() + &path.unwrap_or_default()
}

impl NoAnswer {
    pub(super) fn of_connect(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::NotStarted {
                looked_in: vec![path],
            },
            io::ErrorKind::ConnectionRefused => Self::Gone { path },
            io::ErrorKind::PermissionDenied => Self::Denied { path, source },
            _ => Self::Io { path, source },
        }
    }

    /// Of several places, the one where something was found is told.
    pub(super) fn tells_less_than(&self, other: &Self) -> bool {
        self.weight() < other.weight()
    }

    fn weight(&self) -> u8 {
        match self {
            Self::NotStarted { .. } => 0,
            Self::Gone { .. } => 1,
            Self::Denied { .. } => 2,
            Self::Io { .. } => 3,
            Self::Unreadable { .. } => 4,
            Self::Impostor { .. } => 5,
            Self::Silent { .. } => 6,
            Self::Stalled { .. } => 7,
        }
    }
}

impl Explain for NoAnswer {
    fn advice(&self) -> Advice {
        const LOG: &str = "look at the container's log (docker logs; kubectl logs)";
        const STANDS_STILL: &str = "its loop stands still: no process is reaped, no signal passed \
             on, no stop obeyed";
        const RESTART: &str = "look at the last lines of the container's log and at its volumes (a \
             file system that hangs?); restart the container";
        match self {
            Self::Denied { .. } => Advice::new(
                "the daemon runs as another user, and this one may not enter its directory",
                "ask as root or as that user (docker exec -u)",
            ),
            Self::Gone { .. } => Advice::new(
                "it was left behind: the daemon that made it is dead, or has not come up again yet",
                LOG,
            ),
            Self::Impostor { .. } => Advice::new(
                "only PID 1, or a process beside it of root or of the daemon's user, is believed",
                "look who shares the directory of the socket: it should be no volume",
            ),
            Self::Io { .. } => Advice::new(
                "the kernel gave no more specific reason",
                "try again; look at the container's log",
            ),
            Self::NotStarted { looked_in } => {
                let dirs: Vec<String> =
                    looked_in.iter().map(|dir| shown(dir).to_string()).collect();
                Advice::new(
                    format!(
                        "it has not started yet or has ended, or its directory is another one: \
                         there is no status socket in {}",
                        dirs.join(", ")
                    ),
                    LOG,
                )
            }
            Self::Silent {
                waiting, activity, ..
            } => Advice::new(
                match waiting {
                    Waiting::Connect => {
                        "so many questions wait for it that no other one fits; its loop stands still"
                    }
                    Waiting::Answer => STANDS_STILL,
                },
                match activity.state {
                    Some('T' | 't') => {
                        "continue it (kill -CONT from outside the container), or restart the \
                         container"
                    }
                    _ => RESTART,
                },
            ),
            Self::Stalled { .. } => Advice::new(STANDS_STILL, RESTART),
            Self::Unreadable { .. } => Advice::new(
                "it is not JSON, or not of this version of dind-init",
                "use the dind-init of the running container",
            ),
        }
        .with_code(1)
    }
}

samples! { NoAnswer {
    Denied { path: "/path".into(), source: errno(libc::EACCES) },
    Gone { path: "/path".into() },
    Impostor { path: "/path".into(), reason: "process 7 of uid 1000 answers".into() },
    Io { path: "/path".into(), source: errno(libc::EIO) },
    NotStarted { looked_in: vec!["/path".into()] },
    Silent {
        pid: 1,
        limit: Duration::from_secs(1),
        waiting: Waiting::Connect,
        activity: Activity { state: Some('D'), ..Activity::default() },
    },
    Silent {
        pid: 1,
        limit: Duration::from_secs(1),
        waiting: Waiting::Answer,
        activity: Activity { state: Some('T'), ..Activity::default() },
    },
    Stalled {
        pid: 1,
        stalled: Stall {
            doing: "writes the ready file".into(),
            seconds: 12,
            call: Some(libc::SYS_openat),
            path: Some("/path".into()),
        },
        activity: Activity { state: Some('S'), ..Activity::default() },
    },
    Unreadable { path: "/path".into() },
} }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_told_rather_than_what_was_not() {
        let path = PathBuf::from("/s");
        let missing = NoAnswer::of_connect(&path, io::ErrorKind::NotFound.into());
        let gone = NoAnswer::of_connect(&path, io::ErrorKind::ConnectionRefused.into());
        assert!(missing.tells_less_than(&gone) && !gone.tells_less_than(&missing));
    }

    #[test]
    fn a_stall_names_what_since_when_and_in_which_call() {
        let error = NoAnswer::Stalled {
            pid: 1,
            stalled: Stall {
                doing: "writes the ready file".into(),
                seconds: 12,
                call: Some(libc::SYS_openat),
                path: Some("/shared/x".into()),
            },
            activity: Activity {
                state: Some('S'),
                waits_in: None,
                call: None,
            },
        };
        assert_eq!(
            error.to_string(),
            "PID 1 hangs for 12 s: it writes the ready file, in openat of /shared/x; it waits"
        );
    }
}
