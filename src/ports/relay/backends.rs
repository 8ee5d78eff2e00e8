//! What docker-proxy tells about the ports that are published.

use super::slab::Key;
use super::{Port, Relay};
use crate::config::rootless::port::Transport;
use crate::ports::api::answer::Answer;
use crate::ports::backend::{Backend, Goal};

impl Port {
    fn goal(&mut self) -> (Transport, &mut Goal) {
        match self {
            Self::Tcp(port) => (Transport::Tcp, &mut port.goal),
            Self::Udp(port) => (Transport::Udp, &mut port.goal),
        }
    }
}

impl Relay {
    /// From now on, what leads to a docker-proxy leads to its container. This ends with the port,
    /// which dockerd takes back before it stops docker-proxy, and outlives a docker-proxy that was
    /// killed: so do dockerd's own rules for a rootful daemon.
    pub(super) fn lead_on(&mut self, backend: &Backend) -> Answer {
        let keys: Vec<Key> = self.ports.iter().map(|(key, _)| key).collect();
        let mut known = false;
        for key in keys {
            let Some(port) = self.ports.get_mut(key) else {
                continue;
            };
            let (transport, goal) = port.goal();
            let before = goal.address();
            if transport != backend.transport || !goal.learn(backend) {
                continue;
            }
            known = true;
            if goal.address() != before {
                self.forget_clients(key);
            }
        }
        match known {
            true => Answer::done(),
            false => Answer::refusal(format_args!("no published port leads to {}", backend.front)),
        }
    }

    /// Clients of UDP have sockets that lead to where the port led before.
    fn forget_clients(&mut self, port: Key) {
        let Some(Port::Udp(port)) = self.ports.get(port) else {
            return;
        };
        for client in port.clients.values().copied().collect::<Vec<Key>>() {
            self.forget(client);
        }
    }
}
