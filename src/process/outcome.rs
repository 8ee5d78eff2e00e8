//! How a process ended.

use rustix::process::WaitStatus;
use serde::{Deserialize, Serialize};

use crate::base::explain::exit;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// By itself.
    Code(u8),
    /// By a signal.
    Signal(i32),
}

impl Outcome {
    /// The exit code as shells have it: 128+n for a signal.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => {
                let number = u8::try_from(signal).unwrap_or(0);
                exit::SIGNAL_BASE.saturating_add(number)
            }
        }
    }
}

impl From<WaitStatus> for Outcome {
    fn from(status: WaitStatus) -> Self {
        match status.terminating_signal() {
            Some(signal) => Self::Signal(signal),
            None => {
                let code = status.exit_status().unwrap_or_default();
                Self::Code(u8::try_from(code).unwrap_or(u8::MAX))
            }
        }
    }
}
