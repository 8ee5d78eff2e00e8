//! Programs that a probe runs: fed from memory, heard out, and never outliving the probe.
//!
//! For use inside [`super::probe`]: these calls wait for as long as the program runs, and it is
//! the probe's deadline that ends both.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{Pid, Signal, WaitOptions};

use super::spawn::Words;

/// What a program said and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code; nothing when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to either stream, in order.
    pub text: String,
}

impl Output {
    /// Whether it ended with 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }
}

/// As much as a pipe holds without a reader (`pipe(7)`): more would wait for the program, which
/// may wait for us.
const LONGEST_INPUT: usize = 64 * 1024;

/// Runs a program to its end.
///
/// # Errors
/// What the kernel says; a program that cannot be executed ends with 127.
pub fn run(
    program: &Path,
    argv: &[OsString],
    env: &[OsString],
    input: &[u8],
) -> io::Result<Output> {
    let (stdin, feed) = pipe()?;
    let (hear, stdout) = pipe()?;
    if input.len() > LONGEST_INPUT {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    }
    rustix::io::write(&feed, input)?;
    drop(feed);
    let pid = start(program, argv, env, Some(&Streams { stdin, stdout }))?;
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match rustix::io::read(&hear, &mut buffer) {
            Ok(0) => break,
            Ok(count) => text.extend(buffer.iter().take(count)),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Output {
        code: wait(pid)?,
        text: String::from_utf8_lossy(&text).into_owned(),
    })
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// What a program reads and writes; closed here when it has been started.
#[derive(Debug)]
pub struct Streams {
    stdin: OwnedFd,
    stdout: OwnedFd,
}

/// Starts a program that dies with this process. Without streams it has ours.
///
/// # Errors
/// A NUL byte in a word, or what `fork(2)` says.
pub fn start(
    program: &Path,
    argv: &[OsString],
    env: &[OsString],
    streams: Option<&Streams>,
) -> io::Result<Pid> {
    let words = |list: &[OsString]| {
        let words = Words::new(list.iter().map(|word| word.as_bytes().to_vec()));
        words.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))
    };
    let path = CString::new(program.as_os_str().as_bytes())?;
    let (argv, env) = (words(argv)?, words(env)?);
    let parent = rustix::process::getpid();
    // SAFETY: this process has one thread, so the child has a whole copy of it; it makes only
    // system calls until execve or _exit.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            if rustix::process::getppid() == Some(parent) {
                if let Some(streams) = streams {
                    for (stream, fd) in [&streams.stdin, &streams.stdout, &streams.stdout]
                        .into_iter()
                        .enumerate()
                    {
                        let stream = i32::try_from(stream).unwrap_or(0);
                        // SAFETY: the source is open; the standard streams are nobody's OwnedFd.
                        unsafe { libc::dup2(fd.as_raw_fd(), stream) };
                    }
                }
                // SAFETY: both arrays end in a null pointer and point to NUL-terminated strings
                // that live in `argv` and `env`.
                unsafe { libc::execve(path.as_ptr(), argv.pointers(), env.pointers()) };
            }
            // SAFETY: _exit runs no destructor and no handler.
            unsafe { libc::_exit(i32::from(crate::base::explain::exit::NOT_FOUND)) }
        }
        pid => super::process::id(pid).ok_or_else(|| io::Error::other("an impossible pid")),
    }
}

/// Waits for the end of a program; nothing when a signal ended it.
///
/// # Errors
/// What `waitpid(2)` says.
pub fn wait(pid: Pid) -> io::Result<Option<i32>> {
    loop {
        match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) | Ok(None) => {}
            Ok(Some((_, status))) => return Ok(status.exit_status()),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, input: &str) -> Output {
        let words = ["sh", "-c", script].map(OsString::from);
        let env = [OsString::from("A=b")];
        run(Path::new("/bin/sh"), &words, &env, input.as_bytes()).unwrap()
    }

    #[test]
    fn input_output_environment_and_code_are_the_programs() {
        let output = shell("cat; echo $A >&2; exit 3", "hello ");
        assert_eq!((output.code, output.text.as_str()), (Some(3), "hello b\n"));
        assert_eq!(shell("kill -9 $$", "").code, None);
    }

    #[test]
    fn a_program_that_is_not_there_ends_with_127() {
        let output = run(Path::new("/nowhere"), &["x".into()], &[], b"").unwrap();
        assert_eq!(output.code, Some(127));
    }
}
