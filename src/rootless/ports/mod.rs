//! The port driver: published ports of the outer network namespace lead into the child's, and
//! dockerd says by a REST API which.

pub mod address;
pub mod api;
pub mod bind;
pub mod spec;
pub mod table;
