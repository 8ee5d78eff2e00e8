//! Why a wait ended without a daemon.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::explain::{Advice, Explain, exit, samples};
use crate::client::duration;
use crate::client::ping::PingError;
use crate::endpoint::EndpointError;

/// What `wait` exits with when the daemon is not ready. Not 124 as timeout(1) does: a caller
/// cannot do anything else about the one than about the other.
pub(super) const NOT_READY: u8 = 1;

/// Why a wait ended without a daemon.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// Flags and environment name no daemon.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Waiting longer would not help.
    #[error("the daemon will not become ready for this client")]
    Permanent(#[source] Box<PingError>),
    /// A file of `--for-file` did not appear in time.
    #[error("{} did not appear within {}", path.display(), duration::show(*limit))]
    MissingFile { path: PathBuf, limit: Duration },
    /// The handlers could not be installed.
    #[error("could not prepare for signals")]
    Signals(#[source] io::Error),
    /// A signal came.
    #[error("stopped by a signal")]
    Stopped,
    /// The time is over.
    #[error("no daemon was ready within {}", duration::show(*limit))]
    TimedOut {
        limit: Duration,
        /// What the last attempt said.
        source: Box<PingError>,
    },
}

impl Explain for WaitError {
    fn advice(&self) -> Advice {
        match self {
            Self::Endpoint(error) => error.explained(),
            Self::Permanent(error) | Self::TimedOut { source: error, .. } => {
                error.advice().with_code(NOT_READY)
            }
            Self::MissingFile { .. } => Advice::new(
                "whoever writes it has not done so, or does it in another volume",
                "mount the volume in which it appears, or allow more time: --timeout",
            )
            .with_code(NOT_READY),
            Self::Signals(_) => Advice::new(
                "the process has no descriptor left",
                "raise the limit: docker run --ulimit nofile=1024",
            )
            .with_code(exit::STEP_FAILED),
            // run() returns the signal's own code; this is for callers without one.
            Self::Stopped => Advice::new("SIGINT or SIGTERM asked for it", "nothing to do")
                .with_code(exit::SIGNAL_BASE),
        }
    }
}

samples! { WaitError {
    Permanent(Box::new(PingError::Denied {
        at: "unix:///path".into(),
        source: errno(libc::EACCES),
    })),
    MissingFile { path: "/path".into(), limit: Duration::from_secs(30) },
    Signals(errno(libc::EMFILE)),
    Stopped,
    TimedOut {
        limit: Duration::from_secs(30),
        source: Box::new(PingError::Refused { at: "tcp://docker:2376".into() }),
    };
    hands on Endpoint
} }
