//! Who could reach the API without a client certificate, whoever binds the address: dind-init,
//! dockerd by a flag, dockerd by its file, or somebody who passed a socket to us.

use std::fmt;
use std::net::SocketAddr;

use super::listen_refusal::ListenRefusal;
use super::tls_mode::TcpSecurity;
use crate::config::TcpPolicy;
use crate::config::address::{Address, TcpHost};

/// Who binds an address, and with it whether it can still be narrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binder {
    /// dind-init: a wildcard can become loopback.
    Us,
    /// dockerd, by arguments or a file of the user's, or whoever passed the socket: it is served
    /// as it is, or not at all.
    Others,
}

/// Judges TCP addresses, and remembers those that everybody may use who reaches them.
#[derive(Debug)]
pub(super) struct Gate {
    policy: TcpPolicy,
    security: TcpSecurity,
    /// What is served without client certificates beyond loopback.
    pub(super) exposed: Vec<String>,
    /// What the user should know.
    pub(super) notes: Vec<String>,
}

impl Gate {
    pub(super) fn new(policy: TcpPolicy, security: TcpSecurity) -> Self {
        Self {
            policy,
            security,
            exposed: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The host on which a port may be served.
    ///
    /// # Errors
    /// [`ListenRefusal::PlainTcp`] where `DIND_TCP` forbids it.
    pub(super) fn admit(
        &mut self,
        host: TcpHost,
        port: u16,
        binder: Binder,
    ) -> Result<TcpHost, ListenRefusal> {
        if !self.is_open(&host) {
            return Ok(host);
        }
        match (self.policy, binder) {
            (TcpPolicy::Any, _) => Ok(host),
            (TcpPolicy::Loopback, Binder::Us) if host == TcpHost::Wildcard => {
                self.notes.push(format!(
                    "DIND_TCP=loopback: port {port} is served on loopback only"
                ));
                Ok(TcpHost::Name("localhost".into()))
            }
            (TcpPolicy::Loopback | TcpPolicy::Refuse, _) => Err(ListenRefusal::PlainTcp {
                address: Address::Tcp { host, port },
                ours: binder == Binder::Us,
            }),
        }
    }

    fn is_open(&self, host: &TcpHost) -> bool {
        self.security != TcpSecurity::Verified && !host.is_loopback()
    }

    /// Remembers that a port of this host is served at an address.
    pub(super) fn serves(&mut self, host: &TcpHost, address: impl fmt::Display) {
        if self.is_open(host) {
            self.exposed.push(format!("tcp://{address}"));
        }
    }

    /// Judges where a socket that was passed to us listens.
    ///
    /// # Errors
    /// As [`Gate::admit`].
    pub(super) fn admit_socket(&mut self, address: SocketAddr) -> Result<(), ListenRefusal> {
        let host = self.admit(TcpHost::of(address.ip()), address.port(), Binder::Others)?;
        self.serves(&host, address);
        Ok(())
    }

    /// Judges an address that somebody else binds; what is no TCP address is nobody's to reach.
    ///
    /// # Errors
    /// As [`Gate::admit`].
    pub(super) fn admit_others(&mut self, address: &Address) -> Result<(), ListenRefusal> {
        match address {
            Address::Tcp { host, port } => {
                let host = self.admit(host.clone(), *port, Binder::Others)?;
                let text = address.to_string();
                self.serves(&host, text.trim_start_matches("tcp://"));
                Ok(())
            }
            Address::Unix(_) | Address::Activated(_) => Ok(()),
        }
    }
}
