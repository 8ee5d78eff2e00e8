//! What the machine is: readers of /proc, /sys and /etc. They change nothing.

pub mod daemon_json;
pub mod listen;
pub mod mountinfo;
