//! The published ports with their ids. Pure.

use std::collections::BTreeMap;

use crate::config::rootless::port::PortSpec;

/// Identifies a port in the API.
pub type Id = u32;

/// Every port, with what its owner keeps for it.
#[derive(Debug)]
pub struct Table<T> {
    last: Id,
    ports: BTreeMap<Id, (PortSpec, T)>,
}

/// The outer side is published already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("conflict with ID {0}")]
pub struct Conflict(pub Id);

/// A relay gives out so many ids at most before its successor's begin.
const IDS: Id = 1_000_000;

impl<T> Table<T> {
    /// The table of the first relay, or of one of its successors: whoever still has an id of an
    /// earlier one must not remove another's port with it.
    #[must_use]
    pub fn of_relay(number: u32) -> Self {
        Self {
            last: number.wrapping_mul(IDS),
            ports: BTreeMap::new(),
        }
    }

    /// Whether a port may be added: no other has the same protocol, outer address and outer port,
    /// by their texts. What overlaps otherwise is for the kernel to refuse.
    ///
    /// # Errors
    /// [`Conflict`] with the id of the other.
    pub fn accept(&self, spec: &PortSpec) -> Result<(), Conflict> {
        let same = |other: &PortSpec| {
            (other.proto, &other.parent_ip, other.parent_port)
                == (spec.proto, &spec.parent_ip, spec.parent_port)
        };
        match self.ports.iter().find(|(_, (other, _))| same(other)) {
            Some((id, _)) => Err(Conflict(*id)),
            None => Ok(()),
        }
    }

    /// Adds a port. The first relay's ids begin with 1; none is given twice.
    pub fn add(&mut self, spec: PortSpec, value: T) -> Id {
        self.last = self.last.wrapping_add(1);
        self.ports.insert(self.last, (spec, value));
        self.last
    }

    /// Takes a port out.
    pub fn remove(&mut self, id: i64) -> Option<T> {
        let id = Id::try_from(id).ok()?;
        self.ports.remove(&id).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Id, &PortSpec)> {
        self.ports.iter().map(|(id, (spec, _))| (*id, spec))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> PortSpec {
        text.parse().unwrap()
    }

    #[test]
    fn ids_begin_with_1_and_are_never_given_twice() {
        let mut table = Table::of_relay(0);
        assert_eq!(table.add(spec(":80:80/tcp"), ()), 1);
        assert_eq!(table.add(spec(":81:80/tcp"), ()), 2);
        assert_eq!(table.remove(2), Some(()));
        assert_eq!(table.add(spec(":81:80/tcp"), ()), 3);
        let ids: Vec<Id> = table.iter().map(|(id, _)| id).collect();
        assert_eq!(ids, [1, 3]);
        let mut next = Table::of_relay(1);
        assert_eq!(next.add(spec(":80:80/tcp"), ()), 1_000_001);
        assert_eq!(next.remove(1), None, "the first relay's");
    }

    #[test]
    fn conflict_means_the_same_protocol_address_and_port() {
        let mut table = Table::of_relay(0);
        table.add(spec("0.0.0.0:80:80/tcp4"), ());
        assert_eq!(
            table.accept(&spec("0.0.0.0:80:8080/tcp4")),
            Err(Conflict(1))
        );
        for other in [
            "0.0.0.0:80:80/tcp",
            "0.0.0.0:80:80/udp4",
            "0.0.0.0:81:80/tcp4",
            "127.0.0.1:80:80/tcp4",
            ":80:80/tcp4",
        ] {
            assert_eq!(table.accept(&spec(other)), Ok(()), "{other}");
        }
    }

    #[test]
    fn an_unknown_id_removes_nothing() {
        let mut table = Table::of_relay(0);
        table.add(spec(":80:80/tcp"), ());
        for id in [0, -1, 2, i64::MAX] {
            assert_eq!(table.remove(id), None);
        }
        assert_eq!(table.iter().count(), 1);
    }
}
