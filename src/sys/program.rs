//! Programs that a probe runs: fed from memory, heard out, and never outliving the probe.
//!
//! For use inside [`super::probe`]: these calls wait for as long as the program runs, and it is
//! the probe's deadline that ends both.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::process::{Pid, WaitOptions};

use super::helper::{self, Helper, Privileges};

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
    let streams = [&stdin, &stdout].map(|stream| Some(stream.as_fd()));
    let pid = start(program, argv, env, streams)?;
    drop((stdin, stdout));
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

/// Starts a program that dies with this process.
///
/// # Errors
/// A NUL byte in a word, or what `fork(2)` says.
pub fn start(
    program: &Path,
    argv: &[OsString],
    env: &[OsString],
    [input, output]: [Option<BorrowedFd<'_>>; 2],
) -> io::Result<Pid> {
    helper::start(&Helper {
        program,
        argv,
        env,
        descriptors: &[],
        input,
        output,
        privileges: Privileges::MayGain,
    })
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
