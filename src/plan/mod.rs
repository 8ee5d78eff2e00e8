//! What will be done, decided from wishes and facts alone. Pure: no file, no clock, no system
//! call; the same inputs give the same plan, so a dry run is the plan printed.

pub mod address;
pub mod cgroup;
pub mod client;
pub mod dockerd;
mod exposure;
pub mod host;
pub mod host_refusal;
pub mod limits;
pub mod listen;
pub mod listen_refusal;
pub mod mounts;
pub mod netfilter;
pub mod network;
pub mod step;
pub mod storage;
pub mod tls_mode;
