//! What is found out by trying, against this kernel: the real binary is asked for its plan in
//! namespaces with real file systems below the data root and doctored iptables in PATH.
//!
//! Needs root, and for single tests programs (mkfs.xfs, iptables, fuse-overlayfs); what is
//! missing leads to a skip (`tests/kit/skip.rs`). `integration/run`
//! runs this program in a container of the lab, which has them all.
#![expect(
    clippy::disallowed_methods,
    reason = "the harness runs programs and makes its own files"
)]

#[path = "host/harness.rs"]
mod harness;
#[path = "host/netfilter.rs"]
mod netfilter;
#[path = "../tests/kit/skip.rs"]
mod skip;
#[path = "host/storage.rs"]
mod storage;
