//! What will be done, decided from options and facts alone. Pure: no file, no clock, no system
//! call; the same inputs give the same plan, so a dry run is the plan printed.

pub mod cgroup;
pub mod client;
pub mod dockerd;
mod exposure;
pub mod host;
pub mod host_refusal;
pub mod keyed;
pub mod limits;
pub mod listen;
pub mod listen_refusal;
pub mod mode;
pub mod mounts;
pub mod names;
pub mod netfilter;
pub mod network;
pub mod rootless;
pub mod step;
pub mod storage;
pub mod tls_mode;

use crate::config::Config;
use crate::host::Questions;
use crate::host::daemon_json::DaemonFile;

/// What the decisions of this configuration want to know of the machine.
#[must_use]
pub fn questions(config: &Config, file: &DaemonFile) -> Questions {
    Questions {
        aliases: tls_mode::adds_tls(config),
        netfilter: netfilter::question(config, file),
        needs_engine: storage::depends_on_engine,
    }
}
