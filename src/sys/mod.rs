//! Every `unsafe` block of the crate, behind safe signatures that speak std types.
//!
//! Rule: a SAFETY comment names what the callee demands and why it holds here. `OwnedFd` never
//! wraps 0, 1 or 2, and never a descriptor that somebody else owns.

pub mod call;
pub mod confine;
pub mod datagram;
pub mod entry;
pub mod filter;
pub mod fork;
pub mod helper;
mod image;
pub mod memory;
pub mod net;
pub mod netdev;
pub mod netlink;
pub mod ns;
pub mod probe;
pub mod process;
pub mod program;
pub mod service;
pub mod signal;
pub mod spawn;
pub mod stdio;
pub mod tap;
pub mod time;
pub mod userns;
pub mod watchdog;
