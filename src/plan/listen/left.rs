//! What dockerd binds itself: everything, where it cannot be handed sockets.

use std::path::Path;

use super::{ListenPlan, PlannedSocket};
use crate::config::address::{Address, DEFAULT_UNIX, wildcard};
use crate::host::daemon_json::DaemonFile;
use crate::host::listen::ListenFacts;
use crate::plan::exposure::Gate;
use crate::plan::listen_refusal::ListenRefusal;

/// Sockets are handed to a pid (`LISTEN_PID`), and what a script starts has another one: dockerd
/// would say "no sockets found via socket activation". It binds the same addresses itself.
pub(super) fn to_script(mut plan: ListenPlan, script: &Path) -> ListenPlan {
    let host = |socket: &PlannedSocket| match socket {
        PlannedSocket::Unix { path, .. } => Some(format!("unix://{}", path.display())),
        PlannedSocket::Tcp {
            dual_stack: true,
            address,
            ..
        } => Some(wildcard(address.port()).to_string()),
        // The second address of `localhost`, which dockerd does not bind.
        PlannedSocket::Tcp { optional: true, .. } => None,
        PlannedSocket::Tcp { address, .. } => Some(format!("tcp://{address}")),
        PlannedSocket::Inherited { fd, .. } => Some(format!("fd://{fd}")),
    };
    let hosts: Vec<String> = plan.sockets.iter().filter_map(host).collect();
    plan.notes.push(format!(
        "{} is a script that starts dockerd and waits for it, so sockets cannot be handed over: \
         dockerd binds them when it is ready, with a group and mode of its choice, and until then \
         clients are refused; let the script end with: exec dockerd \"$@\"",
        script.display()
    ));
    plan.sockets.clear();
    plan.left_to_dockerd.splice(0..0, hosts);
    plan.by_script = true;
    plan
}

/// The addresses in dockerd's file.
pub(super) fn hosts_of(file: &DaemonFile) -> Vec<String> {
    let hosts = file.get("hosts").and_then(serde_json::Value::as_array);
    let hosts = hosts.into_iter().flatten();
    hosts
        .filter_map(|host| Some(host.as_str()?.to_owned()))
        .collect()
}

impl ListenPlan {
    /// Leaves addresses to dockerd, if they may be served.
    pub(super) fn leave(
        &mut self,
        hosts: Vec<String>,
        gate: &mut Gate,
        facts: &ListenFacts,
    ) -> Result<(), ListenRefusal> {
        for host in &hosts {
            // What cannot be read is refused by dockerd with its own words.
            let Ok(address) = Address::parse(host, &Address::Unix(DEFAULT_UNIX.into())) else {
                continue;
            };
            if let Address::Activated(wanted) = address {
                let ours = |fd| wanted.is_none_or(|wanted| wanted == fd);
                for socket in facts.activation.iter().filter(|socket| ours(socket.fd)) {
                    socket
                        .address
                        .map_or(Ok(()), |address| gate.admit_socket(address))?;
                }
            }
            gate.admit_others(&address)?;
        }
        self.left_to_dockerd = hosts;
        Ok(())
    }
}
