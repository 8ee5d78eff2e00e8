//! Names of ours that only the network around us knows: the service name of a compose file, an
//! alias, the container's name. `DOCKER_HOST=tcp://dind:2376` is what the usual guides write.
//!
//! Docker's own resolver (127.0.0.11, the containers of user-defined networks have it) tells the
//! container's name of an address, and no alias. So names are guessed (from that name, from the
//! `DOCKER_HOST` that clients and we are given alike, from the guides), and each is asked for: it
//! is ours where the answer is an address of ours. Nobody else is asked, and but for a name that
//! the user wrote, only names without a dot count: no answer puts somebody's domain into a
//! certificate.
//!
//! Questions go out before the probes and are read after them. An answer about our own network
//! comes within a millisecond; who gives none holds up nothing for longer than `TIMEOUT`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::uplink;
use crate::base::environment::Environment;
use crate::endpoint::Address;
use crate::files;
use crate::net::resolve::dns::{self, Family, Reply};
use crate::sys::time;

/// Docker's resolver for user-defined networks; the address is the same in every container.
const DOCKERS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));
/// For all questions together, from the first one on.
const TIMEOUT: Duration = Duration::from_millis(100);
/// Names of our own network are answered at once, so that after the first answer only those are
/// missing that docker asks others for.
const GRACE: Duration = Duration::from_millis(10);
/// Names that guides give the service, beside `docker`.
const USUAL: [&str; 4] = ["dind", "docker-dind", "dockerd", "docker-daemon"];
/// So many of our addresses are asked about, and so many names.
const MOST: usize = 16;

/// A question, with what an answer must repeat.
struct Question {
    id: u16,
    what: What,
}

enum What {
    Address(String, Family),
    Name(IpAddr),
}

/// Questions on their way.
pub struct Asking {
    socket: UdpSocket,
    begin: Instant,
    /// Addresses under which others reach us.
    ours: Vec<IpAddr>,
    open: Vec<Question>,
    asked: BTreeSet<String>,
    confirmed: BTreeSet<String>,
}

impl Asking {
    /// Asks docker's resolver, where that is the one of this container.
    #[must_use]
    pub fn start(env: &Environment, ours: &[IpAddr]) -> Option<Self> {
        let text = files::text(Path::new("/etc/resolv.conf")).unwrap_or_default();
        if uplink::resolvers(&text).first() != Some(&DOCKERS) {
            return None;
        }
        Self::ask(SocketAddr::new(DOCKERS, 53), env, ours).ok()
    }

    fn ask(server: SocketAddr, env: &Environment, ours: &[IpAddr]) -> std::io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        // Connected: nobody else is heard.
        socket.connect(server)?;
        let ours: Vec<IpAddr> = ours
            .iter()
            .copied()
            .filter(|ip| !ip.is_loopback())
            .collect();
        let mut asking = Self {
            socket,
            begin: Instant::now(),
            ours: ours.into_iter().take(MOST).collect(),
            open: Vec::new(),
            asked: BTreeSet::new(),
            confirmed: BTreeSet::new(),
        };
        for address in asking.ours.clone() {
            asking.send(What::Name(address));
        }
        for name in written(env).into_iter().chain(USUAL.map(str::to_owned)) {
            asking.about(name);
        }
        Ok(asking)
    }

    /// The names that are ours.
    #[must_use]
    pub fn finish(mut self) -> Vec<String> {
        let mut until = self.begin + TIMEOUT;
        let mut buffer = [0; 1500];
        while !self.open.is_empty() && self.is_readable(until) {
            let Ok(length) = self.socket.recv(&mut buffer) else {
                break; // refused: nobody is there
            };
            if self.take(buffer.get(..length).unwrap_or_default()) {
                until = until.min(Instant::now() + GRACE);
            }
        }
        self.confirmed.into_iter().collect()
    }

    fn is_readable(&self, until: Instant) -> bool {
        loop {
            let socket = self.socket.as_fd();
            let mut fds = [PollFd::new(&socket, PollFlags::IN)];
            match rustix::event::poll(&mut fds, Some(&time::until(until))) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(count) => return count > 0,
                Err(_) => return false,
            }
        }
    }

    /// Whether it was an answer to one of our questions.
    fn take(&mut self, message: &[u8]) -> bool {
        let found = self
            .open
            .iter()
            .position(|question| question.answered_by(message));
        let Some(question) = found.map(|place| self.open.swap_remove(place)) else {
            return false;
        };
        match question.what {
            What::Address(name, family) => {
                let reply = dns::reply(message, question.id, &name, family);
                if let Ok(Reply::Addresses(addresses)) = reply
                    && addresses.iter().any(|address| self.ours.contains(address))
                {
                    self.confirmed.insert(name);
                }
            }
            What::Name(address) => {
                let names = dns::names(message, question.id, address).unwrap_or_default();
                for name in names.iter().flat_map(|name| guesses(name)) {
                    self.about(name);
                }
            }
        }
        true
    }

    fn about(&mut self, name: String) {
        if self.asked.len() < MOST && self.asked.insert(name.clone()) {
            for family in [Family::V4, Family::V6] {
                let has = |ip: &IpAddr| ip.is_ipv6() == (family == Family::V6);
                if self.ours.iter().any(has) {
                    self.send(What::Address(name.clone(), family));
                }
            }
        }
    }

    /// What cannot be sent is not known, and that is all.
    fn send(&mut self, what: What) {
        let Ok(number) = crate::files::unforeseen() else {
            return;
        };
        let [high, low, ..] = number.to_be_bytes();
        let id = u16::from_be_bytes([high, low]);
        let query = match &what {
            What::Address(name, family) => dns::query(id, name, *family),
            What::Name(address) => Some(dns::reverse_query(id, *address)),
        };
        if query.is_some_and(|query| self.socket.send(&query).is_ok()) {
            self.open.push(Question { id, what });
        }
    }
}

impl Question {
    fn answered_by(&self, message: &[u8]) -> bool {
        match &self.what {
            What::Address(name, family) => dns::reply(message, self.id, name, *family).is_ok(),
            What::Name(address) => dns::names(message, self.id, *address).is_ok(),
        }
    }
}

/// The host of a `DOCKER_HOST`: clients elsewhere are given the same, and it may be us. It is the
/// user's own word, so it may have dots.
fn written(env: &Environment) -> Option<String> {
    match Address::parse(env.non_empty("DOCKER_HOST")?) {
        Ok(Address::Tcp { host, .. }) if host.parse::<IpAddr>().is_err() => {
            let host = host.to_ascii_lowercase();
            (!["docker", "localhost"].contains(&host.as_str())).then_some(host)
        }
        _ => None,
    }
}

/// What the container's name, as docker tells it (`NAME.NETWORK`), makes likely: itself, and the
/// service of compose's `PROJECT-SERVICE-1`.
fn guesses(told: &str) -> Vec<String> {
    let name = told
        .split('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let sound = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let mut names = vec![name.clone()];
    // compose version 1 has underscores.
    if let Some((rest, number)) = name.rsplit_once(['-', '_'])
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        let mut rest = rest;
        while let Some((_, service)) = rest.split_once(['-', '_']) {
            names.push(service.to_owned());
            rest = service;
        }
    }
    names.retain(|name| sound(name));
    names
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a resolver in a thread of the test"
)]
mod tests {
    use super::*;
    use crate::base::changes::from_text;

    const US: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn the_services_name_is_guessed_from_the_containers() {
        for (told, want) in [
            ("dind.net", &["dind"][..]),
            ("proj-dind-1.proj_default", &["proj-dind-1", "dind"]),
            (
                "my-proj-docker-dind-1.n",
                &[
                    "my-proj-docker-dind-1",
                    "proj-docker-dind",
                    "docker-dind",
                    "dind",
                ],
            ),
            ("proj_dind_1", &["proj_dind_1", "dind"]),
            ("registry.example.com", &["registry"]),
            ("a b.n", &[]),
            ("", &[]),
        ] {
            assert_eq!(guesses(told), want, "{told}");
        }
    }

    #[test]
    fn a_docker_host_of_clients_may_name_us() {
        for (value, want) in [
            ("tcp://dind:2376", Some("dind")),
            ("tcp://Dind.example:2376", Some("dind.example")),
            ("tcp://docker:2376", None),
            ("tcp://10.0.0.2:2376", None),
            ("unix:///s", None),
        ] {
            let env = from_text(&format!("DOCKER_HOST={value}"));
            assert_eq!(written(&env).as_deref(), want, "{value}");
        }
        assert_eq!(written(&from_text("A=1")), None);
    }

    /// A resolver that answers: names of addresses from one table, addresses of names from the
    /// other; to anything else it says nothing.
    fn resolver(
        names: &'static [&'static str],
        addresses: &'static [(&'static str, [u8; 4])],
    ) -> SocketAddr {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                let mut message = buffer[..length].to_vec();
                let labels = labels(&message);
                let records: Vec<Vec<u8>> = if labels.ends_with(".arpa") {
                    names
                        .iter()
                        .map(|name| record(12, &encoded(name)))
                        .collect()
                } else {
                    let known = addresses.iter().filter(|(name, _)| *name == labels);
                    known.map(|(_, address)| record(1, address)).collect()
                };
                if records.is_empty() {
                    continue;
                }
                message[2..4].copy_from_slice(&[0x81, 0x80]);
                message[7] = u8::try_from(records.len()).unwrap();
                message.extend(records.concat());
                let _ = socket.send_to(&message, client);
            }
        });
        address
    }

    fn labels(message: &[u8]) -> String {
        let (mut name, mut at) = (Vec::new(), 12);
        while message[at] != 0 {
            let end = at + 1 + usize::from(message[at]);
            name.push(String::from_utf8_lossy(&message[at + 1..end]).into_owned());
            at = end;
        }
        name.join(".")
    }

    fn encoded(name: &str) -> Vec<u8> {
        let query = dns::query(0, name, Family::V4).unwrap();
        query[12..query.len() - 4].to_vec()
    }

    fn record(kind: u8, data: &[u8]) -> Vec<u8> {
        let length = u8::try_from(data.len()).unwrap();
        let head = [0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, length];
        [&head[..], data].concat()
    }

    fn found(server: SocketAddr, env: &str) -> Vec<String> {
        Asking::ask(server, &from_text(env), &[US])
            .unwrap()
            .finish()
    }

    #[test]
    fn a_name_is_ours_when_its_address_is() {
        let server = resolver(
            &["proj-dind-1.proj_default", "registry.example.com"],
            &[
                ("proj-dind-1", [10, 0, 0, 2]),
                ("dind", [10, 0, 0, 2]),
                ("docker-dind", [10, 0, 0, 3]),
                ("registry", [10, 0, 0, 9]),
                ("builder.example", [10, 0, 0, 2]),
            ],
        );
        assert_eq!(found(server, ""), ["dind", "proj-dind-1"]);
        let written = found(server, "DOCKER_HOST=tcp://builder.example:2376");
        assert_eq!(written, ["builder.example", "dind", "proj-dind-1"]);
    }

    /// The resolver says that we are somebody's domain, and gives that one our address.
    #[test]
    fn a_hostile_resolver_gets_no_domain_into_a_certificate() {
        let server = resolver(
            &["docker.io", "*.example.com", "registry-1.docker.io"],
            &[
                ("docker.io", [10, 0, 0, 2]),
                ("example.com", [10, 0, 0, 2]),
                ("registry-1.docker.io", [10, 0, 0, 2]),
            ],
        );
        assert_eq!(found(server, ""), Vec::<String>::new());
    }

    #[test]
    fn a_resolver_that_is_not_there_or_says_nothing_gives_no_names() {
        let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(found(silent.local_addr().unwrap(), "").is_empty());
        let address = silent.local_addr().unwrap();
        drop(silent);
        assert!(found(address, "").is_empty());
    }
}
