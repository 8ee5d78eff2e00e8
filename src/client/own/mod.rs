//! Our own daemon: the one way to find it and to ask it, for every command.
//!
//! The answer is PID 1's own, given by the loop that supervises dockerd: a loop that hangs or was
//! stopped gives none, and an accepted connection proves nothing. Who listens on the socket is
//! asked from the kernel (`SO_PEERCRED`), since anybody may have bound one at that path.

mod error;
mod host;
mod place;

use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

pub use error::{NoAnswer, Waiting};
pub use host::host;
pub use place::Place;

use crate::files::{self, kernel};
use crate::host::activity::Activity;
use crate::net::connect;
use crate::net::deadline::{Deadline, Halt, Wire};
use crate::supervise::status::{STATUS_FILE, STATUS_SOCKET, Status};
use crate::sys::net::{self, Peer};
use crate::sys::watchdog::Stall;

/// No status is longer; whoever sends more is not ours.
const LONGEST: u64 = 1 << 20;

/// An answer of PID 1.
#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
enum Answer {
    /// Its watchdog's: the loop does not turn.
    Stalled { stalled: Stall },
    /// Its loop's.
    Fine(Box<Status>),
}

/// What is known about our own daemon.
#[derive(Debug)]
pub struct Known {
    /// Its status: from PID 1, or else as it was last written.
    pub status: Option<Status>,
    /// Where it was found.
    pub place: Option<Place>,
    /// Why PID 1 itself did not answer, if it did not.
    pub silence: Option<NoAnswer>,
}

/// Asks PID 1 for its status.
///
/// # Errors
/// [`NoAnswer`], the most telling one of all places.
pub fn ask(places: &[Place], deadline: &mut Deadline<'_>) -> Result<(Place, Status), NoAnswer> {
    let mut failure = NoAnswer::NotStarted {
        looked_in: places.iter().map(|place| place.dir.clone()).collect(),
    };
    for place in places {
        match ask_at(place, deadline) {
            Ok(status) => return Ok((place.clone(), status)),
            Err(error) if failure.tells_less_than(&error) => failure = error,
            Err(_) => {}
        }
    }
    Err(failure)
}

/// What PID 1 says, or else what it wrote last; for commands that only tell.
#[must_use]
pub fn look(places: &[Place], limit: Duration) -> Known {
    match ask(places, &mut Deadline::new(limit)) {
        Ok((place, status)) => Known {
            status: Some(status),
            place: Some(place),
            silence: None,
        },
        Err(error) => {
            let written = places.iter().find_map(|place| {
                let status = place.open(|| written(place)).ok()?;
                Some((place.clone(), status))
            });
            let (place, status) = written.unzip();
            Known {
                status,
                place,
                silence: Some(error),
            }
        }
    }
}

fn ask_at(place: &Place, deadline: &mut Deadline<'_>) -> Result<Status, NoAnswer> {
    let path = place.dir.join(STATUS_SOCKET);
    let limit = deadline.limit();
    let silent = |pid: u32, waiting| NoAnswer::Silent {
        pid,
        limit,
        waiting,
        activity: Activity::read(pid),
    };
    let socket = place
        .open(|| connect::unix(&path, deadline))
        .map_err(|error| match (Halt::of(&error), error.kind()) {
            (Some(Halt::Deadline), _) | (None, io::ErrorKind::WouldBlock) => {
                silent(suspect(place), Waiting::Connect)
            }
            _ => NoAnswer::of_connect(&path, error),
        })?;
    let failed = |error| NoAnswer::of_connect(&path, error);
    let peer = net::peer(&socket).map_err(failed)?;
    let pid = place.believe(peer).map_err(|reason| NoAnswer::Impostor {
        path: path.clone(),
        reason,
    })?;
    let bytes = read(&socket, deadline).map_err(|error| match Halt::of(&error) {
        Some(Halt::Deadline) => silent(pid, Waiting::Answer),
        _ => failed(error),
    })?;
    let unreadable = || NoAnswer::Unreadable { path: path.clone() };
    match serde_json::from_slice(&bytes).map_err(|_| unreadable())? {
        Answer::Stalled { stalled } => Err(NoAnswer::Stalled {
            pid,
            stalled,
            activity: Activity::read(pid),
        }),
        Answer::Fine(status) if pid == 1 || status.pid == pid => Ok(*status),
        Answer::Fine(status) => Err(NoAnswer::Impostor {
            path,
            reason: format!("process {pid} answers for process {}", status.pid),
        }),
    }
}

fn read(socket: &OwnedFd, deadline: &mut Deadline<'_>) -> io::Result<Vec<u8>> {
    let fd = socket.as_fd();
    let mut bytes = Vec::new();
    Wire { fd, deadline }
        .take(LONGEST + 1)
        .read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LONGEST) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// The status as it was last written, by somebody who may have written it.
fn written(place: &Place) -> io::Result<Status> {
    let path = place.dir.join(STATUS_FILE);
    let file = files::open(&path)?;
    if !place.trusts(rustix::fs::fstat(&file)?.st_uid) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let bytes = files::read_at_most(file, &path, LONGEST)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Who should have answered, where nobody could be connected to.
fn suspect(place: &Place) -> u32 {
    place.open(|| written(place)).map_or(1, |status| status.pid)
}

impl Place {
    /// Whether it is our daemon that listens there: PID 1 of our pid namespace, which nobody else
    /// can be, or a process beside us of somebody who may do so; its pid.
    fn believe(&self, peer: Peer) -> Result<u32, String> {
        match peer.pid {
            Some(1) => Ok(1),
            None => Err("its owner is a process of another container".into()),
            Some(pid) if !self.trusts(peer.uid) => {
                Err(format!("its owner is process {pid} of uid {}", peer.uid))
            }
            Some(pid) if !is_beside_us(pid) => {
                Err(format!("its owner is process {pid} of a nested container"))
            }
            Some(pid) => Ok(pid),
        }
    }
}

/// Whether a process is in our own pid namespace, and not in one below it: as many ids as we have.
fn is_beside_us(pid: u32) -> bool {
    let depth = |pid: &str| {
        let text = kernel::text(format!("/proc/{pid}/status")).ok()?;
        let ids = text.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        Some(ids.split_whitespace().count())
    };
    let (other, own) = (depth(&pid.to_string()), depth("self"));
    other.is_some() && other == own
}
