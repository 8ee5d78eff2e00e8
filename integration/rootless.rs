//! Rootless dockerd below the real binary, in privileged and in unprivileged containers. Needs a
//! lab: `make integration`.
//!
//! Without a lab every test is skipped (`tests/kit/skip.rs`). The
//! harness is the one of `dockerd.rs`.
#![expect(
    clippy::disallowed_methods,
    reason = "the harness runs a docker client and makes its own files"
)]
#![allow(
    dead_code,
    reason = "the harness is shared with dockerd.rs, which uses all of it"
)]

#[path = "dockerd/container.rs"]
mod container;
#[path = "dockerd/lab.rs"]
mod lab;
#[path = "../tests/kit/skip.rs"]
mod skip;
#[path = "dockerd/workload.rs"]
mod workload;

#[path = "rootless/as_root.rs"]
mod as_root;
#[path = "rootless/clients.rs"]
mod clients;
#[path = "rootless/helpers.rs"]
mod helpers;
#[path = "rootless/lives.rs"]
mod lives;
#[path = "rootless/matrix.rs"]
mod matrix;
#[path = "rootless/origins.rs"]
mod origins;
#[path = "rootless/outer.rs"]
mod outer;
#[path = "rootless/persona.rs"]
mod persona;
#[path = "rootless/published.rs"]
mod published;
#[path = "rootless/restarts.rs"]
mod restarts;
#[path = "rootless/rights.rs"]
mod rights;
#[path = "rootless/standard_path.rs"]
mod standard_path;
#[path = "rootless/subids.rs"]
mod subids;
