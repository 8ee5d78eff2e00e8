//! The real dockerd, below the real binary, in a real container. Needs a lab: `make integration`.
//!
//! Without a lab every test is skipped (`tests/kit/skip.rs`).
//! `dockerd/lab.rs` is the harness, the other files are one theme each.
#![expect(
    clippy::disallowed_methods,
    reason = "the harness runs a docker client and makes its own files"
)]

#[path = "dockerd/container.rs"]
mod container;
#[path = "dockerd/lab.rs"]
mod lab;
#[path = "../tests/kit/skip.rs"]
mod skip;
#[path = "dockerd/workload.rs"]
mod workload;

#[path = "dockerd/addresses.rs"]
mod addresses;
#[path = "dockerd/clients.rs"]
mod clients;
#[path = "dockerd/commands.rs"]
mod commands;
#[path = "dockerd/early.rs"]
mod early;
#[path = "dockerd/hostile_names.rs"]
mod hostile_names;
#[path = "dockerd/left_overs.rs"]
mod left_overs;
#[path = "dockerd/limits.rs"]
mod limits;
#[path = "dockerd/live.rs"]
mod live;
#[path = "dockerd/mounts.rs"]
mod mounts;
#[path = "dockerd/names.rs"]
mod names;
#[path = "dockerd/netfilter.rs"]
mod netfilter;
#[path = "dockerd/network.rs"]
mod network;
#[path = "dockerd/plain.rs"]
mod plain;
#[path = "dockerd/processes.rs"]
mod processes;
#[path = "dockerd/refusals.rs"]
mod refusals;
#[path = "dockerd/restart.rs"]
mod restart;
#[path = "dockerd/shutdown.rs"]
mod shutdown;
#[path = "dockerd/sockets.rs"]
mod sockets;
#[path = "dockerd/storage.rs"]
mod storage;
#[path = "dockerd/tls.rs"]
mod tls;
