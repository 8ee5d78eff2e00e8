//! Native rootless mode: what rootlesskit does, in our own processes.

pub mod ports;
