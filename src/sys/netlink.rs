//! Questions to the kernel over netlink(7), and what its answers are made of.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType};

pub const ERROR: u16 = 2;
pub const DONE: u16 = 3;
/// Everything of a kind, and not one thing.
pub const DUMP: u16 = 0x300;
const REQUEST: u16 = 1;

/// The length of `struct nlmsghdr`: length, kind, flags, sequence, port.
const HEADER: usize = 16;

/// The way to the kernel, for the network namespace of this thread.
///
/// # Errors
/// What `socket(2)` says.
pub fn open(protocol: Option<Protocol>) -> io::Result<OwnedFd> {
    let (kind, flags) = (SocketType::RAW, SocketFlags::CLOEXEC);
    Ok(rustix::net::socket_with(
        AddressFamily::NETLINK,
        kind,
        flags,
        protocol,
    )?)
}

/// One question. The kernel fills the port id in.
#[must_use]
pub fn request(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap_or_default();
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((REQUEST | flags).to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(body);
    message
}

/// One message of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'m> {
    pub kind: u16,
    /// The number of the question.
    pub sequence: u32,
    pub body: &'m [u8],
}

impl Message<'_> {
    /// What went wrong, of an [`ERROR`].
    #[must_use]
    pub fn errno(&self) -> i32 {
        let number = self.body.first_chunk();
        number.map_or(libc::EPROTO, |bytes| {
            i32::from_ne_bytes(*bytes).saturating_abs()
        })
    }
}

/// Takes the first of several messages off; each begins at a multiple of four.
pub fn next<'m>(bytes: &mut &'m [u8]) -> Option<Message<'m>> {
    let [a, b, c, d, k, l, _, _, e, f, g, h, ..] = *bytes.first_chunk::<HEADER>()?;
    let length = usize::try_from(u32::from_ne_bytes([a, b, c, d])).unwrap_or(0);
    let length = length.max(HEADER);
    let message = Message {
        kind: u16::from_ne_bytes([k, l]),
        sequence: u32::from_ne_bytes([e, f, g, h]),
        body: bytes.get(HEADER..length).unwrap_or_default(),
    };
    *bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some(message)
}
