//! Giving rights up, for the child processes that talk to strangers.

use std::io;

use caps::CapSet;
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
