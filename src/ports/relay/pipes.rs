//! Pipes, through which the kernel moves bytes from socket to socket without a copy (`splice(2)`).
//!
//! A pipe is in use only between one splice in and the splices out, so a few serve any number of
//! connections: only those whose receiver is slow hold one for longer.

use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

/// The size to ask for: the most that users without privileges get.
const WANTED: usize = 1024 * 1024;
/// With less than this, copying is as good. Users above their share of `pipe-user-pages-soft`
/// get pipes of two pages.
const LEAST: usize = 64 * 1024;
/// Pipes that exist at a time: connections that find none copy.
const MOST: usize = 48;
/// Pipes that are kept for later.
const KEPT: usize = 4;

/// One pipe, empty when it is taken.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) read: OwnedFd,
    pub(super) write: OwnedFd,
    pub(super) size: usize,
}

/// Every pipe that nobody uses.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    free: Vec<Pipe>,
    /// In use or free.
    made: usize,
    /// The kernel, or a seccomp filter, does not let us splice.
    useless: bool,
}

impl Pipes {
    /// An empty pipe; none when there are too many, or the kernel gives only small ones.
    pub(super) fn take(&mut self) -> Option<Pipe> {
        if self.useless {
            return None;
        }
        if let Some(pipe) = self.free.pop() {
            return Some(pipe);
        }
        if self.made >= MOST {
            return None;
        }
        let pipe = make()?;
        self.made += 1;
        Some(pipe)
    }

    /// Gives an empty pipe back.
    pub(super) fn give(&mut self, pipe: Pipe) {
        if self.free.len() < KEPT && !self.useless {
            self.free.push(pipe);
        } else {
            self.lose(pipe);
        }
    }

    /// Closes a pipe that may still have bytes in it.
    pub(super) fn lose(&mut self, pipe: Pipe) {
        drop(pipe);
        self.made = self.made.saturating_sub(1);
    }

    /// Never again.
    pub(super) fn give_up(&mut self) {
        self.useless = true;
        self.made = self.made.saturating_sub(self.free.len());
        self.free.clear();
    }
}

fn make() -> Option<Pipe> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
    let mut size = WANTED;
    while size >= LEAST {
        // EPERM: above /proc/sys/fs/pipe-max-size, or above this user's share of all pipes.
        if let Ok(size) = fcntl_setpipe_size(&write, size) {
            return Some(Pipe { read, write, size });
        }
        size /= 2;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_an_end_to_pipes_and_they_come_back() {
        let mut pipes = Pipes::default();
        let mut taken: Vec<Pipe> = std::iter::from_fn(|| pipes.take()).collect();
        assert!(!taken.is_empty() && taken.len() <= MOST);
        assert!(taken.iter().all(|pipe| pipe.size >= LEAST));
        let (last, lost) = (taken.pop().unwrap(), taken.pop().unwrap());
        pipes.give(last);
        pipes.lose(lost);
        assert!(pipes.take().is_some());
        pipes.give_up();
        assert!(pipes.take().is_none());
    }
}
