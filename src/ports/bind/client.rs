//! The inner end: asks for sockets, and gets them later.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags};

use super::ask::Ask;
use super::{BOUND, MAX_MESSAGE};
use crate::sys::time::timespec;

/// The end of the pair that the relay keeps.
#[derive(Debug)]
pub struct BindClient {
    socket: OwnedFd,
}

/// What came of a question: a socket, or the text of the error.
pub(in crate::ports) type Bound = Result<OwnedFd, String>;

impl BindClient {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Another descriptor for the same end, for a relay that takes the place of a dead one.
    ///
    /// # Errors
    /// What `fcntl(2)` says.
    pub fn try_clone(&self) -> io::Result<Self> {
        let socket = rustix::io::fcntl_dupfd_cloexec(&self.socket, 3)?;
        Ok(Self { socket })
    }

    /// Asks.
    ///
    /// # Errors
    /// `EAGAIN` when too many questions are open, `EPIPE` when nobody is there.
    pub(in crate::ports) fn ask(&self, ask: &Ask) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        rustix::net::send(&self.socket, ask.to_string().as_bytes(), flags)?;
        Ok(())
    }

    /// The next answer, if it is there.
    ///
    /// # Errors
    /// `EOF` when the other end is closed.
    pub(in crate::ports) fn receive(&self) -> io::Result<Option<Bound>> {
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut buffer = [0; MAX_MESSAGE];
        let mut parts = [io::IoSliceMut::new(&mut buffer)];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let length = match rustix::net::recvmsg(&self.socket, &mut parts, &mut control, flags) {
            Ok(message) => message.bytes,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let socket = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        match (buffer.get(..length), socket) {
            (Some([]) | None, _) => Err(io::ErrorKind::UnexpectedEof.into()),
            (Some([BOUND, ..]), Some(socket)) => Ok(Some(Ok(socket))),
            // The kernel could not give us the descriptor.
            (Some([BOUND, ..]), None) => Ok(Some(Err("socket: too many open files".to_owned()))),
            (Some([_, text @ ..]), _) => Ok(Some(Err(String::from_utf8_lossy(text).into_owned()))),
        }
    }

    /// Asks and waits for the answer: for ports that are published before anything runs.
    ///
    /// # Errors
    /// As [`Self::ask`] and [`Self::receive`]; `TimedOut` after `deadline`.
    pub(in crate::ports) fn wait(&self, ask: &Ask, deadline: Duration) -> io::Result<Bound> {
        self.ask(ask)?;
        let deadline = Instant::now() + deadline;
        loop {
            if let Some(bound) = self.receive()? {
                return Ok(bound);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
            match poll(&mut fds, Some(&timespec(left))) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// For a process that was given the descriptor of this end.
impl From<OwnedFd> for BindClient {
    fn from(socket: OwnedFd) -> Self {
        Self::new(socket)
    }
}

impl From<BindClient> for OwnedFd {
    fn from(client: BindClient) -> Self {
        client.socket
    }
}

impl AsFd for BindClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
