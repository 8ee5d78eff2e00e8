//! The one fork, and a child that finds something out, so that a hung file system cannot hang PID 1.
//! A child that goes on where its parent was is made by [`super::userns::fork_into`].

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::process::Pid;

use super::{process, service, userns};

/// Forks. The child does the work and ends with its code: nothing that the parent's frames own is
/// dropped there.
///
/// # Errors
/// What `fork(2)` says.
pub(super) fn child(work: impl FnOnce() -> u8) -> io::Result<Pid> {
    // SAFETY: we are single-threaded (a rule of the crate), so the child has a whole copy of a
    // consistent process and may allocate; glibc keeps its own locks whole across fork. It leaves
    // by _exit.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => userns::leave(work()),
        pid => process::id(pid).ok_or_else(|| io::Error::other("an impossible pid")),
    }
}

/// Runs `work` in a child, which writes the result to a pipe and ends. Returns the child, to be
/// reaped by whoever reaps everything, and the pipe's non-blocking end: what was written is whole
/// when it is at its end. The child keeps nothing else of ours open: a client would queue on a
/// listening socket that nobody serves.
///
/// # Errors
/// What `pipe2(2)` and `fork(2)` say.
pub fn ask(work: impl FnOnce() -> Vec<u8>) -> io::Result<(Pid, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    let child = service::fork(&[writer.as_raw_fd()], || {
        let mut rest: &[u8] = &work();
        while let Ok(count @ 1..) = rustix::io::write(&writer, rest) {
            rest = rest.get(count..).unwrap_or_default();
        }
        0
    })?;
    Ok((child, reader))
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
