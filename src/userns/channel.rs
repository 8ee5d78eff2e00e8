//! Records between the parent and the child, with descriptors: one SEQPACKET socket pair, so that
//! every record is whole and the end of either side is seen.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A record is a line of JSON; a failure with its remedies is the longest.
const LONGEST: usize = 16 * 1024;

/// As many API sockets can be handed over with one record.
const MOST_DESCRIPTORS: usize = 32;

/// One end.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Two ends that know each other.
    ///
    /// # Errors
    /// What `socketpair(2)` says.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Self(one), Self(other)))
    }

    /// Sends a record.
    ///
    /// # Errors
    /// What `sendmsg(2)` says; `EPIPE` when the other side is gone.
    pub fn send(&self, record: &impl Serialize) -> io::Result<()> {
        self.send_with(record, &[])
    }

    /// Sends a record with descriptors.
    ///
    /// # Errors
    /// As [`Channel::send`]; `E2BIG` for too many descriptors.
    pub fn send_with(
        &self,
        record: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let bytes = serde_json::to_vec(record)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::ArgumentListTooLong.into());
        }
        let parts = [IoSlice::new(&bytes)];
        // The receiver reads whole records; a part of one cannot be sent.
        rustix::net::sendmsg(&self.0, &parts, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for a record; nothing when the other side is gone.
    ///
    /// # Errors
    /// What `recvmsg(2)` says, or a record that is none of ours.
    pub fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        self.take(RecvFlags::CMSG_CLOEXEC)
    }

    /// The next record, if it is there already.
    ///
    /// # Errors
    /// As [`Channel::receive`]; `EAGAIN` when nothing has come.
    pub fn look<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        self.take(RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT)
    }

    fn take<T: DeserializeOwned>(&self, flags: RecvFlags) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut buffer = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            match rustix::net::recvmsg(&self.0, &mut parts, &mut control, flags) {
                // Reset: the other side left without reading our last record, and the kernel tells
                // that before it hands out what the other side said last.
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => {}
                other => break other?,
            }
        };
        let mut descriptors = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(list) = message {
                descriptors.extend(list);
            }
        }
        if received.bytes == 0 {
            return Ok(None);
        }
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let bytes = buffer.get(..received.bytes).unwrap_or_default();
        Ok(Some((serde_json::from_slice(bytes)?, descriptors)))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_whole_with_their_descriptors_and_the_end_is_seen() {
        let (one, other) = Channel::pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        one.send(&("first", 1)).unwrap();
        one.send_with(&("second", 2), &[file.as_fd(), file.as_fd()])
            .unwrap();
        let (record, fds): ((String, u32), _) = other.receive().unwrap().unwrap();
        assert_eq!((record.0.as_str(), record.1, fds.len()), ("first", 1, 0));
        let (record, fds): ((String, u32), _) = other.receive().unwrap().unwrap();
        assert_eq!((record.0.as_str(), record.1, fds.len()), ("second", 2, 2));
        let nothing = other.look::<()>().unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        drop(one);
        assert!(other.receive::<()>().unwrap().is_none());
        assert!(other.send(&()).is_err());
    }

    #[test]
    fn last_words_are_heard_from_who_did_not_listen() {
        let (one, other) = Channel::pair().unwrap();
        other.send(&"unread").unwrap();
        one.send(&"last words").unwrap();
        drop(one);
        let (words, _): (String, _) = other.receive().unwrap().unwrap();
        assert_eq!(words, "last words");
        assert!(other.look::<String>().unwrap().is_none());
    }

    #[test]
    fn a_record_of_somebody_else_is_an_error() {
        let (one, other) = Channel::pair().unwrap();
        one.send(&"text").unwrap();
        assert!(other.receive::<u32>().is_err());
    }
}
