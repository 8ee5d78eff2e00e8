//! What the kernel watches for us, by number.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use super::link::Side;
use super::slab::Key;
use crate::sys::time::timespec;

/// Events that one call fetches at most.
const EVENTS: usize = 256;

/// Where an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Somebody connects to the API.
    Api,
    /// The bind service answers, or is gone.
    Bind,
    /// A UDP client's socket in the child namespaces.
    Client(Key),
    /// A client of the API.
    Conn(Key),
    /// One side of a connection.
    Link(Key, Side),
    /// The outer socket of a port.
    Port(Key),
}

impl Source {
    /// Kind, generation and index: 4, 28 and 32 bits.
    fn number(self) -> u64 {
        let (kind, key) = match self {
            Self::Api => (0, None),
            Self::Bind => (1, None),
            Self::Client(key) => (2, Some(key)),
            Self::Conn(key) => (3, Some(key)),
            Self::Link(key, Side::Client) => (4, Some(key)),
            Self::Link(key, Side::Server) => (5, Some(key)),
            Self::Port(key) => (6, Some(key)),
        };
        let (index, generation) = key.map_or((0, 0), |key| (key.index, key.generation));
        kind << 60 | u64::from(generation) << 32 | u64::from(index)
    }

    fn of(number: u64) -> Option<Self> {
        let key = Key {
            index: u32::try_from(number & 0xffff_ffff).ok()?,
            generation: u32::try_from(number >> 32 & 0xfff_ffff).ok()?,
        };
        Some(match number >> 60 {
            0 => Self::Api,
            1 => Self::Bind,
            2 => Self::Client(key),
            3 => Self::Conn(key),
            4 => Self::Link(key, Side::Client),
            5 => Self::Link(key, Side::Server),
            6 => Self::Port(key),
            _ => return None,
        })
    }
}

/// When the kernel tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    /// Each time that something changes, for reading and for writing.
    Edge,
    /// As long as there is something to read.
    Level,
}

/// The epoll instance.
pub(super) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poll {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS),
        })
    }

    /// Watches a descriptor until it is closed: ours are never duplicated.
    pub(super) fn watch(&self, fd: impl AsFd, source: Source, trigger: Trigger) -> io::Result<()> {
        let flags = match trigger {
            Trigger::Edge => EventFlags::ET | EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP,
            Trigger::Level => EventFlags::IN,
        };
        let data = EventData::new_u64(source.number());
        Ok(epoll::add(&self.epoll, fd, data, flags)?)
    }

    /// Waits until something happens, or until a deadline. With none it waits for ever.
    pub(super) fn wait(&mut self, until: Option<Instant>) -> io::Result<Vec<(Source, EventFlags)>> {
        let timeout = until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            // The kernel's clock for this is in milliseconds: not one too early.
            let left = match left.is_zero() {
                true => left,
                false => left + Duration::from_millis(1),
            };
            timespec(left)
        });
        self.events.clear();
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let known = |event: &Event| {
            let (data, flags) = (event.data, event.flags);
            Some((Source::of(data.u64())?, flags))
        };
        Ok(self.events.iter().filter_map(known).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_survives_its_number() {
        let key = Key {
            index: u32::MAX,
            generation: 0xfff_ffff,
        };
        for source in [
            Source::Api,
            Source::Bind,
            Source::Client(key),
            Source::Conn(key),
            Source::Link(key, Side::Client),
            Source::Link(key, Side::Server),
            Source::Port(key),
        ] {
            assert_eq!(Source::of(source.number()), Some(source));
        }
        assert_eq!(Source::of(u64::MAX), None);
    }
}
