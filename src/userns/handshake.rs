//! The parent's half of the hand-shake: a child that may fail at every step.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, WaitOptions};

use super::channel::Channel;
use super::error::LaunchError;
use super::parent::ToParent;
use crate::ports::bind::BindService;
use crate::sys::process::Child;

/// A child that is killed unless it is released.
pub(super) struct Guard {
    child: Pid,
    released: bool,
}

impl Guard {
    pub(super) fn new(child: Pid) -> Self {
        Self {
            child,
            released: false,
        }
    }
    pub(super) fn pid(&self) -> Pid {
        self.child
    }
    pub(super) fn release(mut self) -> Pid {
        self.released = true;
        self.child
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.released {
            crate::process::ask::end(Child(self.child), "the child in the namespaces");
        }
    }
}

/// What went wrong when this was not expected.
pub(super) fn unexpected(report: &ToParent) -> LaunchError {
    match report {
        ToParent::Failed(error) => error.clone(),
        ToParent::Network | ToParent::Running(_) | ToParent::Ended(_) => {
            LaunchError::plain(format!("the child is out of step: {report:?}"))
        }
    }
}

/// Waits for the child's next word, and binds what its port driver asks for meanwhile.
pub(super) fn report(
    channel: &Channel,
    service: &BindService,
    child: Pid,
) -> Result<ToParent, LaunchError> {
    loop {
        let fds = [channel.as_fd(), service.as_fd()];
        let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let _ = poll(&mut fds, None);
        let [word, question] = fds.map(|fd| !fd.revents().is_empty());
        if question {
            // What the port driver does not hear, it tells.
            let _ = service.answer();
        }
        if word {
            return next_report(channel, child);
        }
    }
}

fn next_report(channel: &Channel, child: Pid) -> Result<ToParent, LaunchError> {
    match channel.receive::<ToParent>() {
        Ok(Some((report, _))) => Ok(report),
        Ok(None) => {
            let waited = rustix::process::waitpid(Some(child), WaitOptions::NOHANG);
            let end = match waited {
                Ok(Some((_, status))) => match status.terminating_signal() {
                    Some(signal) => format!("it was killed by signal {signal}"),
                    None => format!("exit code {}", status.exit_status().unwrap_or_default()),
                },
                _ => "it closed its socket".to_owned(),
            };
            Err(
                LaunchError::plain("the child in the namespaces ended without a word")
                    .saying(&end)
                    .with_help(
                        "something killed it: a memory limit, or somebody",
                        "look at dmesg on the node",
                    ),
            )
        }
        Err(error) => Err(LaunchError::new("could not hear the child", &error)),
    }
}

/// Waits for one word.
pub(super) fn expect(
    channel: &Channel,
    service: &BindService,
    child: Pid,
    wanted: &ToParent,
) -> Result<(), LaunchError> {
    let report = report(channel, service, child)?;
    if report == *wanted {
        Ok(())
    } else {
        Err(unexpected(&report))
    }
}
