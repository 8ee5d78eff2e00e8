//! Giving rights up, for the child processes that talk to strangers.

use std::io;

use caps::{CapSet, Capability, CapsHashSet};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

/// `nobody`, on every distribution.
const NOBODY: u32 = 65_534;

/// Makes this process one of `nobody`, without capabilities and without a way to get any back
/// (`no_new_privs`, empty bounding set); it dies with its parent.
///
/// # Errors
/// What the kernel says; the process must not go on then.
pub fn give_up_rights() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    let cleared = |set| caps::clear(None, set).map_err(io::Error::other);
    cleared(CapSet::Bounding)?;
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    let changed = setgroups(&[])
        .and_then(|()| setresgid(gid, gid, gid))
        .and_then(|()| setresuid(uid, uid, uid));
    match changed {
        // A user namespace that does not map the id; without capabilities the old one is as good.
        Ok(()) | Err(nix::errno::Errno::EINVAL) => {}
        Err(error) => return Err(error.into()),
    }
    for set in [
        CapSet::Ambient,
        CapSet::Effective,
        CapSet::Permitted,
        CapSet::Inheritable,
    ] {
        cleared(set)?;
    }
    // Last: a change of ids clears it (prctl(2)).
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}

/// Makes this process one of `nobody` as [`give_up_rights`] does, but for one capability, which
/// no program that it might execute would get.
///
/// # Errors
/// What the kernel says; the process must not go on then.
pub fn give_up_rights_but(kept: Capability) -> io::Result<()> {
    let set = |set, value: &CapsHashSet| caps::set(None, set, value).map_err(io::Error::other);
    rustix::thread::set_no_new_privs(true)?;
    caps::clear(None, CapSet::Bounding).map_err(io::Error::other)?;
    let held = caps::has_cap(None, CapSet::Permitted, kept).map_err(io::Error::other)?;
    let kept: CapsHashSet = held.then_some(kept).into_iter().collect();
    rustix::thread::set_keep_capabilities(true)?;
    match setgroups(&[]) {
        // A user namespace with a single mapping may not have groups changed; they are its owner's.
        Ok(()) | Err(nix::errno::Errno::EPERM) => {}
        Err(error) => return Err(error.into()),
    }
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    match setresgid(gid, gid, gid).and_then(|()| setresuid(uid, uid, uid)) {
        // As in `give_up_rights`.
        Ok(()) | Err(nix::errno::Errno::EINVAL) => {}
        Err(error) => return Err(error.into()),
    }
    for whole in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective] {
        caps::clear(None, whole).map_err(io::Error::other)?;
    }
    set(CapSet::Permitted, &kept)?;
    set(CapSet::Effective, &kept)?;
    rustix::thread::set_keep_capabilities(false)?;
    // Last: a change of ids clears it (prctl(2)).
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}
