//! A step of the launch that failed, in the parent or in the child.

use std::io;

use serde::{Deserialize, Serialize};

use crate::base::explain::{Advice, Explain, exit, samples};

/// What failed, why, and what to do; it can travel from the child to the parent, who tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{what}")]
pub struct LaunchError {
    what: String,
    #[source]
    cause: Option<Cause>,
    advice: Advice,
}

/// What the kernel or a program said, as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
pub struct Cause(String);

impl LaunchError {
    /// A step that the kernel refused. Background and remedy are those of its errno here.
    #[must_use]
    pub fn new(what: impl Into<String>, error: &(dyn std::error::Error + 'static)) -> Self {
        let (why, fix) = background(errno(error));
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            text.push_str(&format!(": {error}"));
            source = error.source();
        }
        Self {
            what: what.into(),
            cause: Some(Cause(text)),
            advice: Advice::new(why, fix).with_code(exit::STEP_FAILED),
        }
    }

    /// A failure that is none of the kernel's.
    #[must_use]
    pub fn plain(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            cause: None,
            advice: Advice::new("", "").with_code(exit::STEP_FAILED),
        }
    }

    /// The same with what a program said.
    #[must_use]
    pub fn saying(self, text: &str) -> Self {
        let text = text.trim();
        Self {
            cause: (!text.is_empty()).then(|| Cause(text.to_owned())),
            ..self
        }
    }

    /// The same with a background and a remedy of its own.
    #[must_use]
    pub fn with_help(self, why: impl Into<String>, fix: impl Into<String>) -> Self {
        let code = self.advice.code;
        self.with_advice(Advice::new(why, fix).with_code(code))
    }

    /// The same with the advice of the error that it is made of.
    #[must_use]
    pub fn with_advice(self, advice: Advice) -> Self {
        Self { advice, ..self }
    }

    /// The same as a refusal: nothing was changed.
    #[must_use]
    pub fn with_code(self, code: u8) -> Self {
        let advice = self.advice.with_code(code);
        Self { advice, ..self }
    }
}

impl Explain for LaunchError {
    fn advice(&self) -> Advice {
        self.advice.clone()
    }
}

samples! { LaunchError:
    Self::new("could not take a step", &errno(libc::EPERM)),
    Self::new("could not take a step", &errno(libc::ENOSPC)),
    Self::new("could not take a step", &errno(libc::ENODEV)),
    Self::new("could not take a step", &errno(libc::EIO)),
}

fn errno(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut error = Some(error);
    while let Some(current) = error {
        if let Some(errno) = current
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
        {
            return Some(errno);
        }
        if let Some(errno) = current.downcast_ref::<rustix::io::Errno>() {
            return Some(errno.raw_os_error());
        }
        error = current.source();
    }
    None
}

fn background(errno: Option<i32>) -> (&'static str, &'static str) {
    match errno {
        Some(libc::EPERM | libc::EACCES) => (
            "the outer container forbids it: seccomp, AppArmor, or masked paths",
            "start the outer container with --privileged, or with --security-opt \
             seccomp=unconfined --security-opt apparmor=unconfined --security-opt \
             systempaths=unconfined --device /dev/net/tun",
        ),
        // mount(2) and clone(2) use it for limits, never for disks.
        Some(libc::ENOSPC | libc::EUSERS) => (
            "a limit of the kernel on namespaces or mounts is reached",
            "raise user.max_user_namespaces, user.max_net_namespaces, user.max_mnt_namespaces or \
             fs.mount-max on the node",
        ),
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => (
            "the file, device or kernel feature is not there",
            "look whether the kernel of the node has it, and the container its device",
        ),
        _ => (
            "the kernel refused it",
            "look at dmesg on the node, and report it with `dind-init facts`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_travels_whole_from_child_to_parent() {
        let source = io::Error::from_raw_os_error(libc::EPERM);
        let error = LaunchError::new("could not mount sysfs", &source);
        let text = serde_json::to_string(&error).unwrap();
        let back: LaunchError = serde_json::from_str(&text).unwrap();
        assert_eq!(back, error);
        assert!(back.fix().contains("seccomp=unconfined"));
        assert_eq!(back.exit_code(), 71);
    }
}
