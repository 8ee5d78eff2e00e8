//! Everything for standard error, in one queue: dockerd's lines and our own, in order and whole,
//! written without ever waiting for a reader.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::sys::stdio::Stderr;

/// Pipes take this much at once or not at all: lines of several writers stay whole.
const AT_ONCE: usize = 4096;
/// Bytes that may wait; what comes beyond is lost.
const MOST: usize = 128 * 1024;
/// How long the last lines may take to be read at the end.
const LAST_TIMEOUT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

/// The queue.
#[derive(Debug)]
pub struct Sink {
    stderr: Stderr,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: VecDeque<u8>,
    lost: usize,
}

impl Sink {
    /// An empty queue.
    #[must_use]
    pub fn open() -> Self {
        Self {
            stderr: Stderr::open(),
            queue: Mutex::default(),
        }
    }

    /// Whether a write could wait for a reader in spite of all.
    #[must_use]
    pub fn may_wait(&self) -> bool {
        self.stderr.may_wait()
    }

    /// Writes whole lines, now or as soon as somebody reads.
    pub fn put(&self, lines: &[u8]) {
        let mut queue = self.queue();
        self.write(&mut queue);
        if queue.bytes.len() + lines.len() > MOST {
            queue.lost += lines.len();
            return;
        }
        queue.bytes.extend(lines);
        self.write(&mut queue);
    }

    /// Writes what waits; how much is left.
    pub fn flush(&self) -> usize {
        let mut queue = self.queue();
        self.write(&mut queue);
        queue.bytes.len()
    }

    /// Forgets what waits: in a forked process it is the other one's to write.
    pub fn forget(&self) {
        let mut queue = self.queue();
        *queue = Queue::default();
    }

    /// How much waits.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue().bytes.len()
    }

    /// Writes what waits, with a little time for whoever reads; says what was lost.
    pub fn finish(&self) {
        while self.flush() > 0 {
            let mut fds = [PollFd::new(&self.stderr, PollFlags::OUT)];
            let ready = poll(&mut fds, Some(&LAST_TIMEOUT));
            if !matches!(ready, Ok(1..) | Err(rustix::io::Errno::INTR)) {
                let mut queue = self.queue();
                queue.lost += queue.bytes.len();
                queue.bytes.clear();
            }
        }
        let lost = std::mem::take(&mut self.queue().lost);
        if lost > 0 {
            tracing::warn!("nobody reads standard error: {lost} bytes were lost");
        }
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        // There is one thread, so nobody can have panicked with the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, queue: &mut Queue) {
        while !queue.bytes.is_empty() {
            let mut chunk = [0u8; AT_ONCE];
            let mut length = 0;
            for (place, byte) in chunk.iter_mut().zip(&queue.bytes) {
                *place = *byte;
                length += 1;
            }
            let chunk = chunk.get(..length).unwrap_or_default();
            // A line that is longer than this cannot stay whole.
            let end = chunk.iter().rposition(|byte| *byte == b'\n');
            let chunk = chunk.get(..end.map_or(length, |end| end + 1));
            match rustix::io::write(&self.stderr, chunk.unwrap_or_default()) {
                Ok(count) => drop(queue.bytes.drain(..count.min(queue.bytes.len()))),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                // Nobody can ever read it: as if it had been written to /dev/null.
                Err(_) => queue.bytes.clear(),
            }
        }
    }
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stderr.as_fd()
    }
}
