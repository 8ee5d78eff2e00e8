//! The only writer: carries plans out, step by step.
//!
//! Rule: no choices here. Where a step would need an `if` about the host, the fact belongs in
//! [`crate::host`] and the decision in [`crate::plan`]. Two documented exceptions: moving
//! processes out of a cgroup races with `docker exec` and is retried with a bound, and
//! certificates are decided again, by the same pure function, under the directory's lock.

pub mod certificate;
pub mod cgroup;
pub mod file;
pub mod limit;
pub mod listen;
pub mod lock;
pub mod module;
pub mod mount;
pub mod names;
pub mod termination;

use std::io;
use std::path::{Path, PathBuf};

use crate::base::explain::{Advice, Explain, Failure, chain, exit};
use crate::files::Foreign;
use crate::plan::step::{Action, OnFailure, Step};

/// One operation that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {}", path.display())]
pub struct ApplyError {
    /// What was tried, as a verb.
    pub operation: String,
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
    advice: Advice,
}

impl ApplyError {
    /// An error whose background is what its errno says in this place.
    #[must_use]
    pub fn new(operation: impl Into<String>, path: &Path, source: io::Error) -> Self {
        let (why, fix) = background(&source);
        Self {
            operation: operation.into(),
            path: path.to_owned(),
            source,
            advice: Advice::new(why, fix).with_code(exit::STEP_FAILED),
        }
    }

    /// The same error with a background of its own.
    #[must_use]
    pub fn with_help(self, why: impl Into<String>, fix: impl Into<String>) -> Self {
        let advice = Advice::new(why, fix).with_code(self.advice.code);
        Self { advice, ..self }
    }
}

/// What an errno means for a set-up step; several have texts that mislead.
fn background(error: &io::Error) -> (&'static str, &'static str) {
    if let Some(foreign) = Foreign::in_error(error) {
        return (foreign.why(), foreign.fix());
    }
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => (
            "the container may not do this: a capability is missing, or a security module forbids it",
            "start the container with --privileged (Kubernetes: securityContext.privileged: true)",
        ),
        Some(libc::EROFS) => (
            "the file system is read-only",
            "remove --read-only, or mount a volume or tmpfs there",
        ),
        Some(libc::ENOSPC) => (
            "no space is left on that file system, or (mount, cgroup) a kernel limit is reached",
            "free space, or raise fs.mount-max and cgroup limits on the node",
        ),
        Some(libc::EBUSY) => (
            "it is in use",
            "find the user with `fuser -vm`, and start again",
        ),
        Some(libc::ENODEV) => (
            "the kernel has no such file system",
            "load its module on the node",
        ),
        _ => (
            "the kernel refused it",
            "look at dmesg on the node, and report it with `dind-init facts`",
        ),
    }
}

impl Explain for ApplyError {
    fn advice(&self) -> Advice {
        self.advice.clone()
    }
}

/// A step that failed and without which nothing works.
#[derive(Debug, thiserror::Error)]
#[error("could not finish the set-up")]
pub struct StepFailed {
    index: usize,
    total: usize,
    step: String,
    changed: Vec<String>,
    cause: Failure,
}

impl Explain for StepFailed {
    fn step(&self) -> Option<String> {
        let mut text = format!("{} of {}: {}", self.index, self.total, self.step);
        for done in &self.changed {
            text.push_str(&format!("\nalready done: {done}"));
        }
        Some(text)
    }
    fn advice(&self) -> Advice {
        let Advice { why, fix, code } = self.cause.advice();
        let why = format!("{}\n{why}", chain(self.cause.as_ref()));
        Advice::new(why, fix).with_code(match code {
            exit::REFUSED => exit::REFUSED,
            _ => exit::STEP_FAILED,
        })
    }
}

/// Carries out every step, in order.
///
/// # Errors
/// The first step that failed and may not; it says what was already changed.
pub fn steps(steps: &[Step]) -> Result<(), StepFailed> {
    let mut changed = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let span = tracing::debug_span!("step", number = index + 1);
        let _entered = span.enter();
        match carry_out(&step.action) {
            Ok(()) => {
                tracing::debug!("{}", step.action);
                changed.push(step.action.to_string());
            }
            Err(error) if step.on_failure == OnFailure::Warn => {
                tracing::warn!("{}", crate::base::explain::one_line(error.as_ref()));
            }
            Err(cause) => {
                return Err(StepFailed {
                    index: index + 1,
                    total: steps.len(),
                    step: step.action.to_string(),
                    changed,
                    cause,
                });
            }
        }
    }
    Ok(())
}

fn carry_out(action: &Action) -> Result<(), Failure> {
    match action {
        Action::RemoveFile { path } => Ok(file::remove(path)?),
        Action::RemoveTree { path } => Ok(file::remove_tree(path)?),
        Action::WithdrawReady { path } => Ok(file::withdraw(path)?),
        Action::CreatePrivate { path, mode } => Ok(file::create_private(path, *mode)?),
        Action::Mount {
            fs_type,
            target,
            data,
        } => Ok(mount::mount(fs_type, target, data)?),
        Action::ShareRoot => Ok(mount::share_root()?),
        Action::DelegateCgroup {
            root,
            leaf,
            controllers,
        } => Ok(cgroup::delegate(root, leaf, controllers)?),
        Action::HandOverCgroup {
            dir,
            files,
            uid,
            gid,
        } => Ok(cgroup::hand_over(dir, files, *uid, *gid)?),
        Action::EnterCgroupNamespace { point, options } => {
            Ok(cgroup::enter_namespace(point, options)?)
        }
        Action::LimitCgroup { dir, file, bytes } => Ok(cgroup::limit(dir, file, *bytes)?),
        Action::MakeDevice { device } => Ok(file::make_device(device)?),
        Action::OpenToGroup { path, gid } => Ok(file::open_to_group(path, *gid)?),
        Action::Give { path, uid, gid } => Ok(file::give(path, *uid, *gid)?),
        Action::CreateFor {
            path,
            mode,
            uid,
            gid,
        } => Ok(file::create_for(path, *mode, *uid, *gid)?),
        Action::Link { path, target } => Ok(file::link(path, target)?),
        Action::MakeWritable { path } => Ok(mount::make_writable(path)?),
        Action::RemountWritable { path, options } => Ok(cgroup::remount(path, options)?),
        Action::OomScore { value } => Ok(limit::oom_score(*value)?),
        Action::RaiseLimit { resource, limit } => Ok(limit::resource(*resource, *limit)?),
        Action::NodeSetting { name, value } => Ok(limit::node_setting(name, *value)?),
        Action::LinkTools { dir, links } => Ok(file::link_all(dir, links)?),
        Action::LoadModules { names } => Ok(module::request(names)?),
        Action::WriteSetting { path, value } => Ok(module::write_setting(path, value)?),
        Action::LockDataRoot { path, owner } => Ok(lock::hold(path, owner)?),
        Action::RecordStorage { path, marker } => Ok(lock::record(path, marker)?),
        Action::Certificates(step) => Ok(certificate::carry_out(step)?),
    }
}
