//! Bytes in one direction of a connection.
//!
//! Short messages are copied, which is two system calls; streams are spliced. Nothing more is
//! read while the receiver has not taken what was read before: that is the whole of backpressure.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown};
use rustix::pipe::{SpliceFlags, splice};

use super::pipes::{Pipe, Pipes};

/// One side of a connection. Descriptors are registered edge-triggered: what epoll said counts
/// until a call says `EAGAIN`.
#[derive(Debug)]
pub(super) struct End {
    pub(super) socket: OwnedFd,
    readable: bool,
    writable: bool,
    /// The peer has ended, or the connection is broken: there is an end to read.
    ends: bool,
}

impl End {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            readable: false,
            writable: true,
            ends: false,
        }
    }

    /// Remembers what epoll said.
    pub(super) fn note(&mut self, flags: EventFlags) {
        let ends = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        self.ends |= flags.intersects(ends);
        self.readable |= flags.intersects(EventFlags::IN | ends);
        self.writable |= flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR);
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    buffer: Vec<u8>,
    pub(super) pipes: Pipes,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            buffer: vec![0; BUFFER],
            pipes: Pipes::default(),
        }
    }
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Everything was passed on, the end too.
    Done,
    /// Others have a right to a turn, too.
    Unfinished,
    /// For one of the ends.
    Waits,
}

/// Size of the buffer for copies.
const BUFFER: usize = 64 * 1024;
/// So many bytes in large pieces make a stream.
const STREAM: usize = 64 * 1024;
/// A smaller piece is a message.
const MESSAGE: usize = 4 * 1024;
/// Bytes that one flow may move before others get their turn.
const TURN: usize = 2 * 1024 * 1024;

/// Bytes that were read and not yet written.
#[derive(Debug, Default)]
enum Held {
    Bytes {
        bytes: Vec<u8>,
        start: usize,
    },
    #[default]
    Nothing,
    Pipe {
        pipe: Pipe,
        length: usize,
    },
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Flow {
    held: Held,
    /// Bytes since the last short message.
    streak: usize,
    /// The sender has ended.
    ended: bool,
    /// The receiver was told.
    told: bool,
}

impl Flow {
    /// Moves what can be moved.
    ///
    /// # Errors
    /// When one of the two is broken.
    pub(super) fn turn(
        &mut self,
        from: &mut End,
        to: &mut End,
        shared: &mut Shared,
    ) -> io::Result<Turn> {
        let mut left = TURN;
        loop {
            if !self.pass_on(to, shared)? {
                return Ok(Turn::Waits);
            }
            if self.ended {
                if !self.told {
                    self.told = true;
                    // A receiver that is gone already need not be told.
                    let _ = rustix::net::shutdown(&to.socket, Shutdown::Write);
                }
                return Ok(Turn::Done);
            }
            if left == 0 {
                return Ok(Turn::Unfinished);
            }
            if !from.readable {
                return Ok(Turn::Waits);
            }
            let moved = self.take(from, to, shared)?;
            left = left.saturating_sub(moved);
        }
    }

    /// Lets go of what was read, for a connection that ends here.
    pub(super) fn abandon(self, pipes: &mut Pipes) {
        if let Held::Pipe { pipe, .. } = self.held {
            pipes.lose(pipe);
        }
    }

    /// Writes what is held; false while the receiver does not take all of it.
    fn pass_on(&mut self, to: &mut End, shared: &mut Shared) -> io::Result<bool> {
        while to.writable {
            match &mut self.held {
                Held::Nothing => return Ok(true),
                Held::Bytes { bytes, start } => {
                    *start += write(to, bytes.get(*start..).unwrap_or_default())?;
                    if *start >= bytes.len() {
                        self.held = Held::Nothing;
                    }
                }
                Held::Pipe { pipe, length } => {
                    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                    match splice(&pipe.read, None, &to.socket, None, *length, flags) {
                        Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                        Ok(count) => *length = length.saturating_sub(count),
                        Err(Errno::AGAIN) => to.writable = false,
                        Err(Errno::INTR) => {}
                        Err(error) => return Err(error.into()),
                    }
                    if *length == 0
                        && let Held::Pipe { pipe, .. } = std::mem::take(&mut self.held)
                    {
                        shared.pipes.give(pipe);
                    }
                }
            }
        }
        Ok(matches!(self.held, Held::Nothing))
    }

    /// Reads once. Nothing is held before.
    fn take(&mut self, from: &mut End, to: &mut End, shared: &mut Shared) -> io::Result<usize> {
        let pipe = if self.streak >= STREAM {
            shared.pipes.take()
        } else {
            None
        };
        let count = match pipe {
            Some(pipe) => self.splice_in(from, pipe, shared)?,
            None => self.copy(from, to, shared)?,
        };
        let Some(count) = count else { return Ok(0) };
        if count == 0 {
            self.ended = true;
        }
        self.streak = if count < MESSAGE {
            0
        } else {
            self.streak.saturating_add(count)
        };
        Ok(count)
    }

    /// Reads into the buffer and writes at once; what the receiver does not take is kept.
    fn copy(
        &mut self,
        from: &mut End,
        to: &mut End,
        shared: &mut Shared,
    ) -> io::Result<Option<usize>> {
        let count = match rustix::io::read(&from.socket, &mut shared.buffer[..]) {
            Ok(count) => count,
            Err(Errno::AGAIN) => {
                from.readable = false;
                return Ok(None);
            }
            Err(Errno::INTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Less than there was room for: epoll will say when there is more, unless that is the end
        // and came with these bytes (epoll(7), question 9). Nothing of the kind is true of a pipe,
        // which can be full of pieces long before it is full of bytes.
        if count < BUFFER && !from.ends {
            from.readable = false;
        }
        let bytes = shared.buffer.get(..count).unwrap_or_default();
        let written = if bytes.is_empty() {
            0
        } else {
            write(to, bytes)?
        };
        if written < count {
            let bytes = bytes.get(written..).unwrap_or_default().to_vec();
            self.held = Held::Bytes { bytes, start: 0 };
        }
        Ok(Some(count))
    }

    fn splice_in(
        &mut self,
        from: &mut End,
        pipe: Pipe,
        shared: &mut Shared,
    ) -> io::Result<Option<usize>> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        match splice(&from.socket, None, &pipe.write, None, pipe.size, flags) {
            Ok(0) => {
                shared.pipes.give(pipe);
                Ok(Some(0))
            }
            Ok(length) => {
                self.held = Held::Pipe { pipe, length };
                Ok(Some(length))
            }
            Err(Errno::AGAIN) => {
                shared.pipes.give(pipe);
                from.readable = false;
                Ok(None)
            }
            Err(Errno::INTR) => {
                shared.pipes.give(pipe);
                Ok(None)
            }
            // A sandbox without splice: bytes are copied then.
            Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) => {
                shared.pipes.lose(pipe);
                shared.pipes.give_up();
                Ok(None)
            }
            Err(error) => {
                shared.pipes.give(pipe);
                Err(error.into())
            }
        }
    }
}

/// Writes what the receiver takes.
fn write(to: &mut End, bytes: &[u8]) -> io::Result<usize> {
    match rustix::net::send(&to.socket, bytes, SendFlags::NOSIGNAL) {
        Ok(count) => {
            // Less than there was: its buffer is full, and epoll says when it is not.
            to.writable = count == bytes.len();
            Ok(count)
        }
        Err(Errno::AGAIN) => {
            to.writable = false;
            Ok(0)
        }
        Err(Errno::INTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}
