//! Sockets of the outer network namespace, from the process that lives there.
//!
//! The relay asks over a `SOCK_SEQPACKET` pair: one line of text. PID 1 binds and answers with the
//! socket (`SCM_RIGHTS`), or with the text of the error. Questions are answered in their order. A
//! socket keeps the namespace in which it was made, so one question for each port is enough.

mod ask;
mod client;
mod service;
mod text;

pub use ask::{Ask, MalformedAsk, Reach};
pub use client::BindClient;
pub use service::{Asker, BindService};

use std::io;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

/// No message is longer: an error text holds an address and two sentences.
const MAX_MESSAGE: usize = 1024;

/// First byte of an answer that brings a socket.
const BOUND: u8 = b'+';
/// First byte of an answer that brings an error text.
const REFUSED: u8 = b'-';

/// Both ends: the service is for PID 1, the client for the relay.
///
/// # Errors
/// What `socketpair(2)` says.
pub fn pair() -> io::Result<(BindService, BindClient)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (outer, inner) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    Ok((BindService::new(outer), BindClient::new(inner)))
}
