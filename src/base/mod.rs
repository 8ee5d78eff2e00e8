//! What every room may use: how failures are told, what of others' text may reach a terminal, the
//! environment as a value.

pub mod changes;
pub mod environment;
pub mod explain;
pub mod net4;
pub mod printable;
