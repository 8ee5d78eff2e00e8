//! Neighbours that mean harm: a real container without any right, which shares one volume with a
//! real daemon. Needs a lab: `make integration`.
//!
//! Without a lab every test is skipped (`tests/kit/skip.rs`). The
//! harness is the one of `dockerd.rs`; `hostile/scene.rs` is the neighbour, the other files are
//! one theme each, and `hostile/sweep/` plants everything at every path that a trace shows.
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
#[path = "rootless/outer.rs"]
mod outer;
#[path = "../tests/kit/skip.rs"]
mod skip;
#[path = "dockerd/workload.rs"]
mod workload;

#[path = "hostile/scene.rs"]
mod scene;

#[path = "hostile/alive.rs"]
mod alive;
#[path = "hostile/blocking.rs"]
mod blocking;
#[path = "hostile/certificates.rs"]
mod certificates;
#[path = "hostile/files.rs"]
mod files;
#[path = "hostile/names.rs"]
mod names;
#[path = "hostile/processes.rs"]
mod processes;
#[path = "hostile/removal.rs"]
mod removal;
#[path = "hostile/sockets.rs"]
mod sockets;
#[path = "hostile/sweep/mod.rs"]
mod sweep;
#[path = "hostile/tcp.rs"]
mod tcp;
#[path = "hostile/words.rs"]
mod words;
