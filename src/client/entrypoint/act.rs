//! Looking, asking the docker CLI when only it knows, and executing the plan.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::process::WaitOptions;

use super::commands::{self, Sightings, Standing};
use super::{EntrypointFacts, decide};
use crate::base::changes;
use crate::base::environment::Environment;
use crate::base::explain::Failure;
use crate::client::lookout::Asker;
use crate::endpoint::Surroundings;
use crate::files;
use crate::process::program;
use crate::sys::signal::OriginalMask;
use crate::sys::spawn::{self, ProcessGroup, Spawn};

/// Does what `docker-entrypoint.sh ARGUMENTS…` does; returns only when that failed.
pub fn run(
    arguments: &[OsString],
    asker: &Asker,
    mask: OriginalMask,
    stderr: &mut dyn Write,
) -> Failure {
    let env = asker.env();
    let facts = look(arguments, env, mask);
    let plan = match decide(arguments, env, &facts) {
        Ok(plan) => plan,
        Err(error) => return error.into(),
    };
    if let Some(hint) = plan.hint {
        // A closed stderr is no reason not to start the command.
        let _ = stderr.write_all(hint.as_bytes());
    }
    program::replace(&plan.argv, &changes::with(env, &plan.changes), mask).into()
}

/// Gathers the facts; starts `docker help` when nothing else tells.
#[must_use]
pub fn look(arguments: &[OsString], env: &Environment, mask: OriginalMask) -> EntrypointFacts {
    let is_docker_command = arguments
        .first()
        .is_some_and(|word| is_docker_command(word, env, mask));
    EntrypointFacts {
        around: Surroundings::look(env),
        is_docker_command,
    }
}

fn is_docker_command(word: &OsStr, env: &Environment, mask: OriginalMask) -> bool {
    let path = env.get("PATH");
    let docker = files::find_program(OsStr::new("docker"), path);
    let seen = Sightings {
        docker: docker.is_some(),
        plugin: commands::plugin_exists(word, env),
        program: files::find_program(word, path).is_some(),
    };
    match (commands::standing(word, seen), docker) {
        (Standing::Command, _) => true,
        (Standing::Unknown, Some(docker)) => ask(&docker, word, env, mask).unwrap_or(false),
        (Standing::Unknown, None) | (Standing::Other, _) => false,
    }
}

/// `docker help WORD > /dev/null 2>&1`.
fn ask(docker: &Path, word: &OsStr, env: &Environment, mask: OriginalMask) -> io::Result<bool> {
    let argv = [OsStr::new("docker"), OsStr::new("help"), word].map(OsStr::to_owned);
    let child = {
        let _silence = Silence::new()?;
        spawn::spawn(&Spawn {
            program: docker,
            argv: &argv,
            env: &env.words(),
            mask,
            group: ProcessGroup::Own,
            listeners: &[],
            listener_names: &[],
            bound: spawn::Bound::No,
            stderr: None,
        })
        .map_err(io::Error::other)?
    };
    loop {
        match rustix::process::waitpid(Some(child), WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(Some((_, status))) => return Ok(status.exit_status() == Some(0)),
            Ok(None) => return Ok(false),
        }
    }
}

/// Our stdout and stderr lead to `/dev/null` while this lives, so that a child inherits that.
struct Silence {
    stdout: Option<std::os::fd::OwnedFd>,
    stderr: Option<std::os::fd::OwnedFd>,
}

impl Silence {
    #[expect(clippy::disallowed_methods, reason = "a device of the kernel")]
    fn new() -> io::Result<Self> {
        let null = rustix::fs::open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        // Far above 2, and not inherited. A descriptor that is closed is left closed.
        let copy = |fd| rustix::io::fcntl_dupfd_cloexec(fd, 10).ok();
        let silence = Self {
            stdout: copy(rustix::stdio::stdout()),
            stderr: copy(rustix::stdio::stderr()),
        };
        if silence.stdout.is_some() {
            rustix::stdio::dup2_stdout(&null)?;
        }
        if silence.stderr.is_some() {
            rustix::stdio::dup2_stderr(&null)?;
        }
        Ok(silence)
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // dup2 of an open descriptor onto 1 or 2 cannot fail but by EINTR, which it does not give.
        if let Some(fd) = &self.stdout {
            let _ = rustix::stdio::dup2_stdout(fd);
        }
        if let Some(fd) = &self.stderr {
            let _ = rustix::stdio::dup2_stderr(fd);
        }
    }
}
