//! Writes the id maps of the child.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::complaint;
use super::error::LaunchError;
use crate::files;
use crate::files::kernel;
use crate::plan::rootless::idmap::{Line, MapPlan, Writer};
use crate::process::ask;
use crate::sys::helper::{self, Helper, Privileges};
use crate::sys::process::{Child, NotReaped};

/// Writes both maps.
///
/// # Errors
/// What the kernel or the helper said.
pub(super) fn write(
    child: Pid,
    plan: &MapPlan,
    env: &[OsString],
    path: Option<&std::ffi::OsStr>,
) -> Result<(), LaunchError> {
    let pid = child.as_raw_nonzero().get();
    let file = |name: &str, text: &str| {
        let path = PathBuf::from(format!("/proc/{pid}/{name}"));
        kernel::write(&path, text).map_err(|error| {
            LaunchError::new(
                format!("could not write {:?} to {}", text.trim(), path.display()),
                &error,
            )
            .with_help(
                "the kernel lets a process write the id map of another one only with CAP_SETUID \
                 and CAP_SETGID, and only ids of its own user namespace",
                "start the container with --cap-add SETUID --cap-add SETGID, or as the user of \
                 the image",
            )
        })
    };
    match plan.writer {
        Writer::Direct => {
            file("uid_map", &MapPlan::text(&plan.uids))?;
            file("gid_map", &MapPlan::text(&plan.gids))
        }
        Writer::Single => {
            file("uid_map", &MapPlan::text(&plan.uids))?;
            file("setgroups", "deny")?;
            file("gid_map", &MapPlan::text(&plan.gids))
        }
        Writer::Helpers => {
            let uids = Writing::start("newuidmap", pid, &plan.uids, env, path)?;
            let gids = Writing::start("newgidmap", pid, &plan.gids, env, path)?;
            uids.finish(ask::TIMEOUT)?;
            gids.finish(ask::TIMEOUT)
        }
    }
}

/// A helper at work.
struct Writing {
    name: &'static str,
    command: String,
    pid: Pid,
    output: fs::File,
}

impl Writing {
    fn start(
        name: &'static str,
        pid: i32,
        lines: &[Line],
        env: &[OsString],
        path: Option<&std::ffi::OsStr>,
    ) -> Result<Self, LaunchError> {
        let words: Vec<String> = [name.to_owned(), pid.to_string()]
            .into_iter()
            .chain(MapPlan::words(lines))
            .collect();
        let command = words.join(" ");
        let failed =
            |error: io::Error| LaunchError::new(format!("could not run {command}"), &error);
        let Some(program) = files::find_program(name.as_ref(), path) else {
            return Err(
                LaunchError::plain(format!("{name} is not in PATH")).with_help(
                    "it writes the id map of the user namespace",
                    "install it in the image: uidmap (Debian), shadow-uidmap (Alpine)",
                ),
            );
        };
        let output = ask::output()
            .map_err(|error| LaunchError::new("could not make a memory file", &error))?;
        let argv: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        let pid = helper::start(&Helper {
            program: &program,
            argv: &argv,
            env,
            descriptors: &[],
            input: None,
            output: Some(output.as_fd()),
            privileges: Privileges::MayGain,
        })
        .map_err(failed)?;
        Ok(Self {
            name,
            command,
            pid,
            output,
        })
    }

    fn finish(mut self, deadline: Duration) -> Result<(), LaunchError> {
        let child = Child(self.pid);
        let status = match child.wait(Instant::now() + deadline) {
            Ok(status) => status,
            Err(NotReaped::Alive(_)) => {
                crate::process::ask::end(child, &self.command);
                let text = crate::process::ask::said(&mut self.output);
                let what = format!("{} did not end within {deadline:?}", self.command);
                return Err(LaunchError::plain(what).saying(&text).with_help(
                    "it asks for the ranges of its user, and what answers hangs",
                    "see /etc/nsswitch.conf in the image: subid and passwd must not ask a service \
                     that is not there",
                ));
            }
            Err(NotReaped::Refused(_, error)) => {
                let what = format!("{} was lost", self.command);
                return Err(LaunchError::new(what, &error));
            }
        };
        if status.exit_status() == Some(0) {
            return Ok(());
        }
        let text = crate::process::ask::said(&mut self.output);
        let uid = rustix::process::geteuid().as_raw();
        let remedy = complaint::remedy(self.name, uid, &text, status.exit_status());
        Err(LaunchError::plain(format!("{} failed", self.command))
            .saying(&text)
            .with_help(remedy.why, remedy.fix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn writing(dir: &std::path::Path, script: &str) -> Writing {
        let helper = dir.join("newuidmap");
        fs::write(&helper, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
        Writing::start("newuidmap", 7, &[], &[], Some(dir.as_os_str())).unwrap()
    }

    #[test]
    fn a_helper_that_hangs_is_killed_and_told() {
        let dir = tempfile::tempdir().unwrap();
        let hung = writing(dir.path(), "while read -r line </dev/zero; do :; done");
        let child = Child(hung.pid);
        let told = hung.finish(Duration::ZERO).unwrap_err().to_string();
        assert_eq!(told, "newuidmap 7 did not end within 0ns");
        child.signal(0).expect_err("it is gone, and reaped");
    }

    #[test]
    fn a_helper_that_fails_has_its_say() {
        let dir = tempfile::tempdir().unwrap();
        let long = Duration::from_secs(30);
        let failed = writing(dir.path(), "echo no such range >&2; exit 1").finish(long);
        let told = crate::base::explain::frame(&failed.unwrap_err());
        assert!(told.contains("no such range"), "{told}");
        writing(dir.path(), "exit 0").finish(long).unwrap();
    }
}
