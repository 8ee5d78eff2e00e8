//! Rules that are in our own network namespace already, and of which backend. Nothing is loaded
//! into the kernel by looking: the legacy tables have names files, and nf_tables is only asked
//! when it is there.

use std::io;

use rustix::net::netlink::NETFILTER;
use rustix::net::{RecvFlags, SendFlags};
use serde::{Deserialize, Serialize};

use crate::files::kernel;
use crate::sys::netlink;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Existing {
    /// Non-empty lists of legacy tables (`/proc/net/*_tables_names`).
    pub legacy_tables: Vec<String>,
    /// Rules in them; counted only where both backends are in use.
    pub legacy_rules: Option<usize>,
    /// Rules of nf_tables; nothing where it was not asked.
    pub nft_rules: Option<usize>,
}

impl Existing {
    /// Reads the names files.
    #[must_use]
    pub fn read() -> Self {
        let tables = ["ip", "ip6", "arp"].map(|family| format!("{family}_tables_names"));
        let used = |name: &String| {
            let text = kernel::text(format!("/proc/net/{name}"));
            !text.unwrap_or_default().trim().is_empty()
        };
        Self {
            legacy_tables: tables.into_iter().filter(used).collect(),
            ..Self::default()
        }
    }
}

/// Whether asking nf_tables cannot load it: it is there, or nothing can be loaded.
#[must_use]
pub fn may_ask_nft() -> bool {
    kernel::exists("/sys/module/nf_tables") || !modules_exist()
}

/// Whether this kernel can load modules.
#[must_use]
pub fn modules_exist() -> bool {
    kernel::exists("/proc/modules")
}

/// `NFNL_SUBSYS_NFTABLES` and `NFT_MSG_GETRULE`.
const GET_RULE: u16 = 10 << 8 | 7;

/// Counts the rules of nf_tables in this network namespace (`nfnetlink(7)`-style dump).
///
/// # Errors
/// What the kernel says: `EPERM` without CAP_NET_ADMIN, `EINVAL` without nf_tables.
pub fn nft_rules() -> io::Result<usize> {
    let socket = netlink::open(Some(NETFILTER))?;
    // nfgenmsg: family, version, resource
    let request = netlink::request(GET_RULE, netlink::DUMP, 0, &[0; 4]);
    rustix::net::send(&socket, &request, SendFlags::empty())?;
    let mut count = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (length, _) = rustix::net::recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        let answer = read_answer(buffer.get(..length).unwrap_or_default());
        count += answer.rules;
        match answer.end {
            None if length > 0 => {}
            None | Some(0) => return Ok(count),
            Some(errno) => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    rules: usize,
    /// The last message was among these, with its errno.
    end: Option<i32>,
}

fn read_answer(mut bytes: &[u8]) -> Answer {
    let mut answer = Answer::default();
    while let Some(message) = netlink::next(&mut bytes) {
        match message.kind {
            netlink::DONE => answer.end = Some(0),
            netlink::ERROR => answer.end = Some(message.errno()),
            _ => answer.rules += 1,
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = netlink::request(kind, 0, 0, body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn rules_are_counted_up_to_the_end_or_an_error() {
        let rule = message(0x0a06, &[1, 2, 3, 4, 5]);
        let done = message(netlink::DONE, &[0; 4]);
        let answer = read_answer(&[rule.clone(), rule.clone(), done].concat());
        assert_eq!(
            answer,
            Answer {
                rules: 2,
                end: Some(0)
            }
        );
        let error = message(netlink::ERROR, &(-libc::EPERM).to_ne_bytes());
        assert_eq!(read_answer(&error).end, Some(libc::EPERM));
        assert_eq!(
            read_answer(&rule),
            Answer {
                rules: 1,
                end: None
            }
        );
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_answer(&bytes);
        }
    }
}
