//! Programs that are asked a question: their output is kept to a bound, and their time too.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, SealFlags, memfd_create};

use crate::sys::helper::{self, Helper, Privileges};
use crate::sys::process::{Child, NotReaped};
use crate::sys::time;

/// What is kept of what a program says.
const MOST_OUTPUT: u64 = 64 * 1024;

/// A program that answers a question and does not end by itself is killed: SSSD may hang.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a child that was killed may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// A place for what a program says, read when it is worth telling: nobody has to drain it. It
/// cannot grow: a driver may live, and complain, for years.
///
/// # Errors
/// What the kernel says to a memory file.
pub fn output() -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = memfd_create("output", flags)?;
    rustix::fs::ftruncate(&file, MOST_OUTPUT)
        .and_then(|()| rustix::fs::fcntl_add_seals(&file, SealFlags::GROW))?;
    Ok(File::from(file))
}

/// What a program said; what cannot be read costs the text only.
pub fn said(output: &mut File) -> String {
    let mut bytes = Vec::new();
    let _ = output.rewind();
    let _ = output.read_to_end(&mut bytes);
    let end = bytes.iter().rposition(|byte| *byte != 0);
    let text = bytes.get(..end.map_or(0, |end| end + 1));
    String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
}

/// Runs a program to its end; what it said if it succeeded.
pub fn ask(program: &Path, argv: &[OsString], env: &[OsString]) -> Option<String> {
    let mut output = output().ok()?;
    let pid = helper::start(&Helper {
        program,
        argv,
        env,
        descriptors: &[],
        input: None,
        output: Some(output.as_fd()),
        privileges: Privileges::NoNew,
    })
    .ok()?;
    let child = Child(pid);
    let status = match child.wait(Instant::now() + TIMEOUT) {
        Ok(status) => status,
        Err(NotReaped::Alive(_)) => {
            let name = program.display().to_string();
            tracing::warn!("{name} did not end within {TIMEOUT:?} and is killed");
            end(child, &name);
            return None;
        }
        Err(NotReaped::Refused(..)) => return None,
    };
    (status.exit_status() == Some(0)).then(|| said(&mut output))
}

/// Kills a child and reaps it; says so when it is not gone in time.
pub fn end(child: Child, name: &str) {
    match child.end(KILL_TIMEOUT) {
        // Whoever reaps everything was faster.
        Ok(_) => {}
        Err(NotReaped::Refused(_, error)) if error.raw_os_error() == Some(libc::ESRCH) => {}
        Err(error) => tracing::error!("{name} is left behind: {error}"),
    }
}

/// Waits until one of the descriptors can be read: which of them can. None when that does not
/// happen in time.
pub fn wait_any<const N: usize>(fds: [BorrowedFd<'_>; N], until: Instant) -> [bool; N] {
    let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    loop {
        match poll(&mut fds, Some(&time::until(until))) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(0) | Err(_) => return [false; N],
            Ok(_) => return fds.map(|fd| !fd.revents().is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn what_a_program_says_is_kept_to_a_bound() {
        let mut file = output().unwrap();
        file.write_all(b"it broke\n").unwrap();
        assert_eq!(said(&mut file), "it broke\n");
        let more = vec![b'x'; usize::try_from(MOST_OUTPUT).unwrap()];
        file.write_all(&more).unwrap_err();
        assert!(said(&mut file).len() as u64 <= MOST_OUTPUT);
    }

    #[test]
    fn an_answer_counts_only_from_a_program_that_succeeds() {
        let ask = |script: &str| {
            let argv = ["sh", "-c", script].map(OsString::from);
            ask(Path::new("/bin/sh"), &argv, &[])
        };
        assert_eq!(ask("echo yes").as_deref(), Some("yes\n"));
        assert_eq!(ask("echo yes; exit 1"), None);
    }
}
