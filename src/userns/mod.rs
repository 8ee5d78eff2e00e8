//! Native rootless mode: dockerd in a user, mount and network namespace that this program makes,
//! without rootlesskit.
//!
//! ```text
//! P  parent, PID 1   outer namespaces   supervises, keeps the network driver, binds ports
//! C  child           new namespaces     mounts, network device, starts dockerd, reaps
//! N  slirp4netns or pasta               moves packets
//! D  dockerd         as C
//! ```
//!
//! P and C are one program; C is made by a plain fork into new namespaces, executes nothing, and
//! so keeps every capability of its user namespace until dockerd is executed. What is done here was
//! decided in `plan::rootless`.

pub mod cgroup;
pub mod channel;
mod child;
mod command;
pub mod complaint;
pub mod enter;
pub mod error;
mod handshake;
mod maps;
mod mounts;
mod net_driver;
pub mod parent;
mod port_driver;
pub mod preparation;
mod rules;
pub mod state;
