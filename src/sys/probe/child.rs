//! The throw-away process of one probe: its life, and its end.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::mount::MountPropagationFlags;
use rustix::process::{Pid, Signal, WaitOptions};
use rustix::thread::UnshareFlags;
use serde::Serialize;

use crate::sys::signal::OriginalMask;
use crate::sys::{fork, process, userns};

#[derive(Debug)]
pub(super) struct Child(Pid);

impl Child {
    pub(super) fn kill(&self) {
        // One that is gone already is not missed.
        let _ = process::Child(self.0).signal(libc::SIGKILL);
    }

    /// Reaps it, if it is dead already. It is not waited for: the end of its namespaces takes the
    /// kernel longer than the whole probe, and PID 1 reaps all of its children anyway.
    pub(super) fn reap(&self) {
        while let Err(rustix::io::Errno::INTR) =
            rustix::process::waitpid(Some(self.0), WaitOptions::NOHANG)
        {}
    }
}

/// The one descriptor that a probe has besides its standard streams.
const REPORT: RawFd = 3;

pub(super) fn fork<T: Serialize>(
    namespaces: UnshareFlags,
    probe: impl FnOnce() -> T,
) -> io::Result<(Child, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    let parent = rustix::process::getpid();
    let child = fork::child(|| {
        report(parent, writer, namespaces, probe);
        0
    })?;
    Ok((Child(child), reader))
}

fn report<T: Serialize>(
    parent: Pid,
    writer: OwnedFd,
    namespaces: UnshareFlags,
    probe: impl FnOnce() -> T,
) {
    // The unwind must not reach the parent's frames, which this process has a copy of.
    let _ = catch_unwind(AssertUnwindSafe(move || {
        let mut report = prepare_streams(&writer);
        std::mem::forget(writer); // closed by prepare_streams, or moved to REPORT
        let answer = prepare(parent, namespaces).and_then(|()| {
            catch_unwind(AssertUnwindSafe(probe)).map_err(|_| "it panicked".to_owned())
        });
        let bytes = serde_json::to_vec(&answer).unwrap_or_default();
        let _ = io::Write::write_all(&mut report, &bytes);
    }));
}

/// Leaves `/dev/null` on the standard streams, the pipe on [`REPORT`], and nothing else open.
fn prepare_streams(writer: &OwnedFd) -> std::fs::File {
    let raw = writer.as_raw_fd();
    if raw != REPORT {
        // SAFETY: both are numbers; whatever of the parent's copy had REPORT is not used any more.
        unsafe { libc::dup3(raw, REPORT, libc::O_CLOEXEC) };
    }
    // SAFETY: closes descriptors of this process only. Their owners are values copied from the
    // parent, none of which is dropped: the closure owns none, and the process ends by _exit.
    if unsafe { libc::syscall(libc::SYS_close_range, REPORT + 1, RawFd::MAX, 0) } != 0 {
        for fd in REPORT + 1..1024 {
            // SAFETY: as above; before Linux 5.9.
            unsafe { libc::close(fd) };
        }
    }
    let flags = rustix::fs::OFlags::RDWR;
    #[expect(clippy::disallowed_methods, reason = "a device of the kernel")]
    let null = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty());
    if let Ok(null) = null {
        for stream in 0..=2 {
            // SAFETY: `null` is open; the standard streams are nobody's OwnedFd.
            unsafe { libc::dup2(null.as_raw_fd(), stream) };
        }
    }
    // SAFETY: REPORT is open since the dup3 above, or was the writer itself, whose owner is
    // forgotten by the caller.
    unsafe { std::fs::File::from_raw_fd(REPORT) }
}

fn prepare(parent: Pid, namespaces: UnshareFlags) -> Result<(), String> {
    let failed = |call: &str, error: rustix::io::Errno| format!("{call}: {error}");
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|e| failed("prctl(PDEATHSIG)", e))?;
    if rustix::process::getppid() != Some(parent) {
        return Err("the parent is gone".into());
    }
    // Out of the terminal's foreground group: its Ctrl-C is meant for the parent.
    let _ = rustix::process::setpgid(None, None);
    let _ = OriginalMask::empty().restore();
    if namespaces.is_empty() {
        return Ok(());
    }
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    // SAFETY: this process has one thread and shares no descriptor table, so nothing of another
    // thread's is unshared from under it.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }.map_err(|e| failed("unshare", e))?;
    if namespaces.contains(UnshareFlags::NEWUSER) {
        userns::become_root_alone(uid.as_raw(), gid.as_raw())
            .map_err(|e| format!("map ids: {e}"))?;
    }
    if namespaces.contains(UnshareFlags::NEWNS) {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).map_err(|e| failed("make / private", e))?;
    }
    Ok(())
}
