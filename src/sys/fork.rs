//! A forked child that finds something out, so that a hung file system cannot hang PID 1.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::process::Pid;

/// Runs `work` in a child, which writes the result to a pipe and ends. Returns the child, to be
/// reaped by whoever reaps everything, and the pipe's non-blocking end: what was written is whole
/// when it is at its end.
///
/// # Errors
/// What `pipe2(2)` and `fork(2)` say.
pub fn ask(work: impl FnOnce() -> Vec<u8>) -> io::Result<(Pid, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    // SAFETY: we are single-threaded (a rule of the crate), so the child has a whole copy of a
    // consistent process and may allocate; it leaves by _exit.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            close_others(&writer);
            let mut rest: &[u8] = &work();
            while let Ok(count @ 1..) = rustix::io::write(&writer, rest) {
                rest = rest.get(count..).unwrap_or_default();
            }
            // SAFETY: _exit runs no destructor and no handler; the parent's state is untouched.
            unsafe { libc::_exit(0) }
        }
        pid => {
            let pid =
                super::process::id(pid).ok_or_else(|| io::Error::other("an impossible pid"))?;
            Ok((pid, reader))
        }
    }
}

/// The child must not keep our listening sockets, or anything else, open: a client would queue on
/// a socket that nobody serves. `ENOSYS` (before 5.9) is tolerated, the child is short-lived.
fn close_others(kept: &OwnedFd) {
    let kept = kept.as_raw_fd().unsigned_abs();
    for (first, last) in [(3, kept.saturating_sub(1)), (kept + 1, u32::MAX)] {
        if first <= last {
            // SAFETY: the owners of these descriptors are never run in this process: it leaves by
            // _exit and drops nothing.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_comes_whole() {
        let (child, pipe) = ask(|| vec![7; 100_000]).unwrap();
        let mut answer: Vec<u8> = Vec::new();
        let mut buffer = [0u8; 4096];
        loop {
            let mut fds = [rustix::event::PollFd::new(
                &pipe,
                rustix::event::PollFlags::IN,
            )];
            rustix::event::poll(&mut fds, None).unwrap();
            match rustix::io::read(&pipe, &mut buffer) {
                Ok(0) => break,
                Ok(count) => answer.extend(&buffer[..count]),
                Err(_) => {}
            }
        }
        assert_eq!(answer, vec![7; 100_000]);
        let _ = rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty());
    }
}
