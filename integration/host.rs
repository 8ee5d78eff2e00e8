//! What is found out by trying, against this kernel: the real binary is asked for its plan in
//! namespaces with real file systems below the data root and doctored iptables in PATH.
//!
//! Needs root, and for single tests programs (mkfs.xfs, iptables, fuse-overlayfs); what is
//! missing is printed and skipped, and with `MUST_RUN` set that is a failure. `integration/run`
//! runs this program in a container of the lab, which has them all.
#![expect(
    clippy::disallowed_methods,
    reason = "the harness runs programs and makes its own files"
)]

#[path = "host/harness.rs"]
mod harness;
#[path = "host/netfilter.rs"]
mod netfilter;
#[path = "host/storage.rs"]
mod storage;
