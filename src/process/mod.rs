//! Other processes: who they are, and how they end.
//!
//! Every byte that /proc tells of a process may be a stranger's: a name is whatever the process
//! called itself, and a cgroup's path whatever its maker did. So they are read as bytes, compared
//! as bytes, and escaped where they are shown. What cannot be read is told as that, and is neither
//! there nor gone.
//!
//! Who is not our own child gets its signals from here only: [`Watch`] holds a process by its
//! pidfd, compares its start time, and says in the end who is gone and who is not.

pub mod ask;
pub mod companion;
pub mod follow;
mod outcome;
pub mod program;
mod record;
pub mod rounds;
pub mod service;
mod watch;

pub use self::outcome::Outcome;
pub use self::record::{Listing, Name, Process, Unread, ids, leader, list, name, parse_id};
pub use self::watch::{Watch, hold};
