//! Who may ask: the interface that a query came over, and how often its sender asked.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use crate::sys::filter;
use crate::sys::netdev::{self, Interface};

/// What one query costs of a client's allowance: two thousand a second are far more than a busy
/// build asks for.
const COST: Duration = Duration::from_micros(500);

/// A connection costs as much as so many queries: it is made, kept and ended, and whoever makes
/// one anew for each that had to give its place up would keep us busy.
pub(super) const CONNECTION: u32 = 8;

/// What a client may have asked ahead of that.
const BURST: Duration = Duration::from_millis(500);

/// Bytes of a connection that cost as much as a query.
const BYTES: usize = 512;

/// Allowances that are kept. Clients with the same hash share one; it is seeded, so that nobody
/// can choose with whom.
const ALLOWANCES: usize = 1024;

/// Interfaces that are remembered. A number is not given twice, so that what was found stays true.
const INTERFACES: usize = 1024;

/// Whoever asks for more than is allowed is not heard for so long. The kernel refuses it then: the
/// sockets' queues are everybody's, and a flood would fill them faster than a process that has to
/// share its CPU can empty them.
const PENALTY: Duration = Duration::from_millis(250);

/// Lets clients in.
#[derive(Debug)]
pub(super) struct Gate {
    outside: Vec<String>,
    interfaces: HashMap<u32, bool>,
    seed: RandomState,
    /// When each allowance is whole again.
    whole: Vec<Option<Instant>>,
    /// Who is not heard, and until when.
    penalties: Vec<(Ipv4Addr, Instant)>,
    /// Whether what is refused has changed since somebody asked.
    changed: bool,
}

impl Gate {
    /// `outside` names the interfaces of the way out.
    pub(super) fn new(outside: Vec<String>) -> Self {
        Self {
            outside,
            interfaces: HashMap::new(),
            seed: RandomState::new(),
            whole: vec![None; ALLOWANCES],
            penalties: Vec::new(),
            // The sockets may have the filter of a process that died.
            changed: true,
        }
    }

    /// Whether what came over an interface is answered; says once for each that is not.
    pub(super) fn admits(&mut self, interface: u32, client: IpAddr) -> bool {
        if let Some(known) = self.interfaces.get(&interface) {
            return *known;
        }
        let found = netdev::interface(interface);
        let admitted = found
            .as_ref()
            .is_ok_and(|found| may_ask(found, &self.outside));
        match found {
            Ok(Interface { name, .. }) if !admitted => tracing::warn!(
                "{client} asks for names over {name}, which is no network of nested containers: \
                 it gets no answer, nor does anybody else there"
            ),
            Ok(_) => {}
            Err(error) => tracing::warn!(
                "{client} asks for names over interface {interface}, of which nothing is known \
                 ({error}): it gets no answer"
            ),
        }
        if self.interfaces.len() >= INTERFACES {
            self.interfaces.clear();
        }
        self.interfaces.insert(interface, admitted);
        self.changed |= !admitted;
        admitted
    }

    fn place(&mut self, client: IpAddr) -> Option<&mut Option<Instant>> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash do")]
        let hash = self.seed.hash_one(client) as usize;
        self.whole.get_mut(hash % ALLOWANCES)
    }

    /// From when on a client may ask again; nothing when it may now.
    pub(super) fn next(&mut self, client: IpAddr, now: Instant) -> Option<Instant> {
        let whole = (*self.place(client)?)?;
        let next = whole.checked_sub(BURST)?;
        (next > now).then_some(next)
    }

    /// Takes the price of some queries from a client's allowance, if it may ask.
    pub(super) fn pay(&mut self, client: IpAddr, queries: u32, now: Instant) -> bool {
        let may = self.next(client, now).is_none();
        if may {
            self.charge(client, COST.saturating_mul(queries), now);
        } else {
            self.penalize(client, now);
        }
        may
    }

    fn penalize(&mut self, client: IpAddr, now: Instant) {
        let IpAddr::V4(client) = client else { return };
        let known = self.penalties.iter().any(|(other, _)| *other == client);
        if !known && self.penalties.len() < filter::MOST {
            self.penalties.push((client, now + PENALTY));
            self.changed = true;
        }
    }

    /// Lifts the penalties that are over.
    pub(super) fn expire(&mut self, now: Instant) {
        let before = self.penalties.len();
        self.penalties.retain(|(_, until)| *until > now);
        self.changed |= self.penalties.len() < before;
    }

    /// When the next penalty is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.penalties.iter().map(|(_, until)| *until).min()
    }

    /// Whom and which interfaces the kernel should refuse, if that has changed.
    pub(super) fn refused(&mut self) -> Option<(Vec<Ipv4Addr>, Vec<u32>)> {
        std::mem::take(&mut self.changed).then(|| {
            let clients = self.penalties.iter().map(|(client, _)| *client);
            let interfaces = self.interfaces.iter().filter(|(_, admitted)| !**admitted);
            (
                clients.collect(),
                interfaces.map(|(index, _)| *index).collect(),
            )
        })
    }

    /// Takes the price of bytes that were read from a client.
    pub(super) fn pay_bytes(&mut self, client: IpAddr, bytes: usize, now: Instant) {
        let queries = u32::try_from(bytes.div_ceil(BYTES)).unwrap_or(u32::MAX);
        self.charge(client, COST.saturating_mul(queries), now);
    }

    fn charge(&mut self, client: IpAddr, price: Duration, now: Instant) {
        if let Some(whole) = self.place(client) {
            let from = whole.filter(|whole| *whole > now).unwrap_or(now);
            *whole = from.checked_add(price);
        }
    }
}

/// Nested containers are behind bridges that dockerd made, and ask on loopback where they have our
/// network. Our address is also reached over every other interface (Linux takes what is sent to
/// any address of the machine), whatever is plugged in later; and a bridge may be the way out,
/// where our network is the host's.
fn may_ask(interface: &Interface, outside: &[String]) -> bool {
    interface.loopback || interface.bridge && !outside.contains(&interface.name)
}

/// The client that has to give a place up in a full table, when one more wants in: the one that
/// has the most. Of several the first in the table, but the newcomer before them all.
pub(super) fn loser(
    clients: impl Iterator<Item = IpAddr> + Clone,
    newcomer: IpAddr,
) -> Option<IpAddr> {
    let mut counts: HashMap<IpAddr, usize> = HashMap::new();
    for client in clients.clone() {
        *counts.entry(client).or_default() += 1;
    }
    let most = counts.values().copied().max()?;
    match counts.get(&newcomer) {
        Some(own) if own + 1 >= most => Some(newcomer),
        _ => clients
            .into_iter()
            .find(|client| counts.get(client) == Some(&most)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u8) -> IpAddr {
        IpAddr::from([172, 17, 0, number])
    }

    #[test]
    fn only_bridges_of_dockerd_and_loopback_may_ask() {
        let interface = |name: &str, bridge, loopback| Interface {
            name: name.into(),
            bridge,
            loopback,
        };
        let outside = ["br0".to_owned(), "eth0".to_owned()];
        let asks = |name, bridge, loopback| may_ask(&interface(name, bridge, loopback), &outside);
        assert!(asks("docker0", true, false) && asks("br-0123456789ab", true, false));
        assert!(asks("lo", false, true));
        assert!(!asks("eth0", false, false));
        assert!(!asks("eth1", false, false), "plugged in later");
        assert!(!asks("br0", true, false), "the host's way out");
    }

    #[test]
    fn an_unknown_interface_may_not_ask() {
        let mut gate = Gate::new(Vec::new());
        assert!(!gate.admits(0, client(1)));
        assert!(!gate.admits(u32::MAX, client(1)));
        assert_eq!(gate.interfaces.len(), 2, "said once");
    }

    #[test]
    fn an_allowance_is_used_up_and_comes_back() {
        let (mut gate, now) = (Gate::new(Vec::new()), Instant::now());
        let paid = (0..10_000).filter(|_| gate.pay(client(1), 1, now)).count();
        assert_eq!(paid, 1001);
        assert!(!gate.pay(client(1), 1, now));
        let next = gate.next(client(1), now).unwrap();
        assert_eq!(next, now + COST);
        assert!(gate.pay(client(1), 1, next));
        gate.pay_bytes(client(1), 513, next);
        assert_eq!(gate.next(client(1), next), Some(next + 3 * COST));
        // Whoever waits long gets no more than a burst.
        let late = now + Duration::from_secs(3600);
        let paid = (0..10_000).filter(|_| gate.pay(client(1), 1, late)).count();
        assert_eq!(paid, 1001);
    }

    #[test]
    fn who_asks_too_often_is_refused_for_a_while() {
        let (mut gate, now) = (Gate::new(Vec::new()), Instant::now());
        assert_eq!(gate.refused(), Some((vec![], vec![])), "of a new process");
        while gate.pay(client(1), 1, now) {}
        assert!(!gate.pay(client(1), 1, now) && gate.pay(client(2), 1, now));
        let refused = vec![Ipv4Addr::new(172, 17, 0, 1)];
        assert_eq!(gate.refused(), Some((refused, vec![])));
        assert_eq!(gate.refused(), None);
        let over = gate.deadline().unwrap();
        assert_eq!(over, now + PENALTY);
        gate.expire(over);
        assert_eq!(gate.refused(), Some((vec![], vec![])));
        assert!(gate.pay(client(1), 1, over));
        // A crowd is refused by us, as far as the kernel's filter does not go.
        for number in 0..=255 {
            while gate.pay(client(number), 1, now) {}
        }
        assert_eq!(gate.refused().unwrap().0.len(), filter::MOST);
    }

    #[test]
    fn who_has_the_most_loses() {
        let table = [1, 2, 2, 3, 3, 3].map(client);
        let loses = |newcomer| loser(table.into_iter(), client(newcomer));
        assert_eq!(loses(4), Some(client(3)));
        assert_eq!(loses(1), Some(client(3)));
        assert_eq!(loses(3), Some(client(3)));
        assert_eq!(loses(2), Some(client(2)), "it would have as many");
        let single = [1, 2, 3].map(client);
        assert_eq!(loser(single.into_iter(), client(4)), Some(client(1)));
        assert_eq!(loser(std::iter::empty(), client(4)), None);
    }
}
