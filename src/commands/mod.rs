//! What the program does under each of its names: personas and subcommands. Everything else is in
//! the rooms below, and none of them knows this one.

pub mod certs;
pub mod daemon;
pub mod docker_proxy;
#[cfg(test)]
mod errors;
pub mod line;
pub mod persona;
pub mod rootless;
pub mod rootlesskit;

use std::time::Instant;

use time::OffsetDateTime;

use crate::base::environment::Environment;
use crate::sys::signal::OriginalMask;

/// What the process was started with.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The environment.
    pub env: Environment,
    /// The signal mask, for children.
    pub mask: OriginalMask,
    /// When `main` began.
    pub start: Instant,
    /// The same moment by the clock on the wall.
    pub now: OffsetDateTime,
}
