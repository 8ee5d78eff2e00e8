//! Connections with deadlines: names to addresses, sockets, one HTTP exchange. Used by whoever talks
//! to a daemon, to the port driver or to a resolver.

pub mod connect;
pub mod deadline;
pub mod http;
pub mod resolve;
