//! What a neighbour can put at a path.

use std::fs;
use std::io;
use std::os::unix::fs::{self as unix, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::fs::{CWD, FileType, Mode, RenameFlags, mknodat, renameat_with};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::world::NEIGHBOUR;

/// A kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    LinkToSecret,
    LinkToTerminal,
    LinkToZero,
    LinkToDirectory,
    Pipe,
    FullSocket,
    Directory,
    Huge,
    SecondName,
    Changing,
}

impl Kind {
    pub(super) const ALL: [Self; 10] = [
        Self::LinkToSecret,
        Self::LinkToTerminal,
        Self::LinkToZero,
        Self::LinkToDirectory,
        Self::Pipe,
        Self::FullSocket,
        Self::Directory,
        Self::Huge,
        Self::SecondName,
        Self::Changing,
    ];

    /// Whether a reader of the path comes to the secret with no way to tell but the number of its
    /// names: then it must not be shown, and not be changed.
    pub(super) fn may_be_read(self) -> bool {
        self == Self::SecondName
    }
}

/// What keeps it there; it goes on until this is dropped.
#[derive(Default)]
pub(super) struct Planted {
    held: Vec<std::os::fd::OwnedFd>,
    changes: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Drop for Planted {
    fn drop(&mut self) {
        if let Some((over, thread)) = self.changes.take() {
            over.store(true, Ordering::Relaxed);
            let _ = thread.join();
        }
    }
}

/// Where everything is.
pub(super) struct Where<'a> {
    /// The shared directory, as the neighbour has it.
    pub(super) shared: &'a Path,
    /// The path below it, as the neighbour has it.
    pub(super) path: PathBuf,
    /// What the neighbour has no part in.
    pub(super) outside: PathBuf,
    /// A terminal that somebody watches.
    pub(super) terminal: &'a Path,
}

/// Plants it, with the rights of the neighbour; what it may not do is an error. What is in the way
/// goes: the neighbour moves the first directory below the shared one aside and makes its own in
/// its place, with the same content but for this.
pub(super) fn plant(kind: Kind, at: &Where<'_>) -> io::Result<Planted> {
    as_neighbour(NEIGHBOUR);
    let planted = make_way(at).and_then(|()| put(kind, at));
    as_neighbour(0);
    let planted = planted?;
    if kind == Kind::SecondName {
        // A kernel whose fs.protected_hardlinks is set forbids it: another one may not.
        fs::hard_link(at.outside.join("secret"), &at.path)?;
    }
    Ok(planted)
}

/// The rights that count for files, of this thread alone.
#[expect(
    unsafe_code,
    reason = "there is no safe way to be somebody else for a thread"
)]
fn as_neighbour(id: u32) {
    // SAFETY: these calls take a number and change nothing but how this thread is seen by file
    // systems.
    unsafe { libc::setfsgid(id) };
    // SAFETY: as above.
    unsafe { libc::setfsuid(id) };
}

fn put(kind: Kind, at: &Where<'_>) -> io::Result<Planted> {
    let path = at.path.as_path();
    let mut planted = Planted::default();
    match kind {
        Kind::LinkToSecret => unix::symlink("/outside/secret", path)?,
        Kind::LinkToTerminal => unix::symlink(at.terminal, path)?,
        Kind::LinkToZero => unix::symlink("/dev/zero", path)?,
        Kind::LinkToDirectory => unix::symlink("/outside/tree", path)?,
        Kind::Pipe => {
            let mode = Mode::from_raw_mode(0o666);
            mknodat(CWD, path, FileType::Fifo, mode, 0)?;
        }
        Kind::FullSocket => planted.held = full(path)?,
        Kind::Directory => {
            fs::create_dir_all(path.join("mine"))?;
            fs::write(path.join("mine/file"), "mine")?;
        }
        Kind::Huge => fs::File::create(path)?.set_len(1 << 30)?,
        Kind::SecondName => {}
        Kind::Changing => planted.changes = Some(changing(path)?),
    }
    Ok(planted)
}

/// Directories of the neighbour's up to the path, and nothing at it.
fn make_way(at: &Where<'_>) -> io::Result<()> {
    let below = at.path.strip_prefix(at.shared).unwrap_or(&at.path);
    let mut parts = below.components();
    if let (Some(top), Some(_)) = (parts.next(), parts.next()) {
        let top = at.shared.join(top);
        // A directory of root's cannot be written by the neighbour, but be renamed.
        if top.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            let aside = at.shared.join("moved-aside");
            if fs::rename(&top, &aside).is_ok() {
                copy(&aside, &top)?;
            }
        }
        let parent = at.path.parent().unwrap_or(at.shared);
        for place in parent.ancestors().take_while(|place| *place != at.shared) {
            if place.symlink_metadata().is_ok_and(|meta| !meta.is_dir()) {
                fs::remove_file(place)?;
            }
        }
        fs::create_dir_all(parent)?;
        for place in parent.ancestors().take_while(|place| *place != at.shared) {
            // Those that are not the neighbour's stay as they are.
            let _ = fs::set_permissions(place, fs::Permissions::from_mode(0o777));
        }
    }
    match at.path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => {
            // It may not be empty, or not be the neighbour's: aside it can always go.
            let aside = at.path.with_file_name("aside");
            fs::remove_dir_all(&at.path).or_else(|_| fs::rename(&at.path, aside))
        }
        Ok(_) => fs::remove_file(&at.path),
        Err(_) => Ok(()),
    }
}

/// What the neighbour can make again: directories, and the files that it may read.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let Ok(meta) = from.symlink_metadata() else {
            continue;
        };
        if meta.is_dir() {
            copy(&from, &to)?;
        } else if meta.is_symlink() {
            let _ = fs::read_link(&from).and_then(|target| unix::symlink(target, &to));
        } else if meta.is_file() {
            let _ = fs::copy(&from, &to);
        }
    }
    Ok(())
}

/// A listener on which a connect waits for ever.
fn full(path: &Path) -> io::Result<Vec<std::os::fd::OwnedFd>> {
    // The name of a socket has 107 bytes, and there may be more above it.
    let parent = fs::File::open(path.parent().unwrap_or(path))?;
    use std::os::fd::AsRawFd as _;
    let name = path.file_name().unwrap_or_default();
    let short = Path::new("/proc/self/fd")
        .join(parent.as_raw_fd().to_string())
        .join(name);
    let listener = UnixListener::bind(&short)?;
    rustix::net::listen(&listener, 0)?;
    let address = SocketAddrUnix::new(&short)?;
    let mut held = vec![listener.into()];
    for _ in 0..4 {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let kind = SocketType::STREAM;
        let client = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None);
        let client = client?;
        if rustix::net::connect(&client, &address).is_err() {
            break;
        }
        held.push(client);
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
    Ok(held)
}

/// A file that is a link to the secret whenever nobody looks.
fn changing(path: &Path) -> io::Result<(Arc<AtomicBool>, JoinHandle<()>)> {
    let mut other = path.file_name().unwrap_or_default().to_owned();
    other.push(".other");
    let other = path.with_file_name(other);
    fs::write(path, "{}")?;
    let _ = fs::remove_file(&other);
    unix::symlink("/outside/secret", &other)?;
    let over = Arc::new(AtomicBool::new(false));
    let (path, seen) = (path.to_owned(), Arc::clone(&over));
    let thread = std::thread::spawn(move || {
        while !seen.load(Ordering::Relaxed) {
            let _ = renameat_with(CWD, &path, CWD, &other, RenameFlags::EXCHANGE);
        }
    });
    Ok((over, thread))
}
