//! `rootlesskit-docker-proxy`: what a dockerd before 28 starts in place of docker-proxy, once for
//! each published port. It publishes the port outside, and starts docker-proxy on the address
//! that the port is mapped to (rootlesskit, `cmd/rootlesskit-docker-proxy`). Later versions of
//! dockerd speak to the API themselves.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use rustix::process::{Pid, WaitStatus};

use super::error::LaunchError;
use super::follow::{self, Beside};
use super::ports::api::client::{Api, Offer};
use super::ports::spec::{Address, PortSpec};
use crate::daemon::Caller;
use crate::explain::{self, Failure, exit};
use crate::program;
use crate::supervise::machine::Outcome;
use crate::sys::helper::{self, Helper, Privileges};
use crate::sys::{self, signal};

const REAL: &str = "docker-proxy";

/// Where dockerd waits for `0\n`, or for `1\n` and an error.
const STATUS: u32 = 3;

/// What dockerd wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Wish {
    proto: String,
    host_ip: String,
    host_port: String,
    container_ip: String,
    container_port: String,
}

impl Wish {
    /// Reads docker-proxy's flags: `-name value` or `-name=value`, with one dash or two.
    fn parse(words: &[OsString]) -> Result<Self, String> {
        let mut wish = Self {
            proto: "tcp".into(),
            ..Self::default()
        };
        let mut words = words.iter().map(|word| word.to_string_lossy());
        while let Some(word) = words.next() {
            let flag = word
                .strip_prefix("--")
                .or_else(|| word.strip_prefix('-'))
                .ok_or_else(|| format!("{word} is no flag"))?;
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, words.next().map(String::from)),
            };
            let place = match name {
                "proto" => &mut wish.proto,
                "host-ip" => &mut wish.host_ip,
                "host-port" => &mut wish.host_port,
                "container-ip" => &mut wish.container_ip,
                "container-port" => &mut wish.container_port,
                _ => return Err(format!("unknown flag -{name}")),
            };
            *place = value.ok_or_else(|| format!("-{name} needs a value"))?;
        }
        Ok(wish)
    }
}

/// What is to be done about a wish.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    /// No port is published by the API: docker-proxy as it was called.
    PassOn,
    /// Nobody serves the protocol: SCTP, or IPv6, which dockerd asks for beside IPv4. As with
    /// rootlesskit, and as a later dockerd does by itself, the container starts without the port.
    Leave(String),
    /// Publish this, and start docker-proxy with these words.
    Publish(PortSpec, Vec<OsString>),
}

/// Decides; the error is for dockerd.
fn decide(wish: &Wish, offer: &Offer) -> Result<Decision, String> {
    let driver = match &offer.port_driver {
        Some(driver) if !["none", "implicit"].contains(&&*driver.driver) => driver,
        _ => return Ok(Decision::PassOn),
    };
    let host = Address::parse(&wish.host_ip)
        .ok_or_else(|| format!("-host-ip {:?} is no address", wish.host_ip))?;
    let v6 = host.ip().is_ipv6();
    let proto = match wish.proto.ends_with(['4', '6']) {
        true => wish.proto.clone(),
        false => format!("{}{}", wish.proto, if v6 { 6 } else { 4 }),
    };
    if !driver.protos.contains(&proto) && v6 && !host.ip().is_unspecified() {
        // Beside IPv4 dockerd asks for `::`; another address is a wish.
        return Err(format!(
            "{} port {} cannot be published: ports are mapped to the tap device's IPv4 address \
             here; DIND_ROOTLESS_PORTS=loopback publishes on IPv6 by itself",
            wish.host_ip, wish.host_port
        ));
    }
    if !driver.protos.contains(&proto) {
        return Ok(Decision::Leave(format!(
            "protocol {proto:?} is not served by the port driver {:?}: {} port {} is not published",
            driver.driver, wish.host_ip, wish.host_port
        )));
    }
    let child = match (driver.disallow_loopback_child_ip, v6) {
        (true, _) => offer
            .network_driver
            .as_ref()
            .and_then(|network| network.child_ip)
            .ok_or("the network driver names no address for published ports")?,
        (false, true) => IpAddr::from(Ipv6Addr::LOCALHOST),
        (false, false) => Ipv4Addr::LOCALHOST.into(),
    };
    let port: NonZeroU16 = wish
        .host_port
        .parse()
        .map_err(|_| format!("-host-port {:?} is no port", wish.host_port))?;
    let spec = PortSpec {
        proto: proto.parse().map_err(|error| format!("{error}"))?,
        parent_ip: Some(host),
        parent_port: port,
        child_ip: Address::parse(&child.to_string()),
        child_port: port,
    };
    let words = [
        REAL,
        "-container-ip",
        &wish.container_ip,
        "-container-port",
        &wish.container_port,
        "-host-ip",
        &child.to_string(),
        "-host-port",
        &wish.host_port,
        "-proto",
        &wish.proto,
    ];
    Ok(Decision::Publish(spec, words.map(OsString::from).to_vec()))
}

/// Serves one published port until we are asked to end or docker-proxy does.
///
/// # Errors
/// Words that are none of docker-proxy's, an API that does not grant the port, or a docker-proxy
/// that cannot be started. dockerd is told before.
pub fn run(words: &[OsString], caller: &Caller) -> Result<u8, Failure> {
    let status = sys::net::adopt(STATUS).map_err(|error| {
        LaunchError::new("dockerd does not wait for us on descriptor 3", &error)
            .because(
                "a dockerd before 28 starts this program for each published port",
                "do not start it by hand",
            )
            .with_code(exit::USAGE)
    })?;
    serve(words, caller, &status).inspect_err(|failure| {
        tell(
            &status,
            // dockerd shows it behind a text of its own.
            &format!("1\n{}", explain::chain(failure.as_ref())),
        );
    })
}

fn serve(words: &[OsString], caller: &Caller, status: &OwnedFd) -> Result<u8, Failure> {
    let wish =
        Wish::parse(words).map_err(|text| LaunchError::plain(text).with_code(exit::USAGE))?;
    let state = caller
        .env
        .non_empty("ROOTLESSKIT_STATE_DIR")
        .ok_or_else(|| {
            LaunchError::plain("ROOTLESSKIT_STATE_DIR is not set").because(
            "it names the directory of the port driver's API, and dockerd's own environment has it",
            "leave it in dockerd's environment",
        )
        })?;
    let api = Api {
        socket: Path::new(state).join("api.sock"),
    };
    let asked = |error| LaunchError::new("could not ask the port driver", &error);
    let offer = api.offer().map_err(asked)?;
    let (spec, argv) = match decide(&wish, &offer).map_err(LaunchError::plain)? {
        Decision::PassOn => {
            let argv: Vec<_> = [OsString::from(REAL)]
                .into_iter()
                .chain(words.to_vec())
                .collect();
            return Err(program::replace(&argv, &caller.env, caller.mask).into());
        }
        Decision::Leave(why) => {
            tracing::warn!("{why}");
            tell(status, "0\n");
            return Ok(0);
        }
        Decision::Publish(spec, argv) => (spec, argv),
    };
    let published = api
        .add(&spec)
        .map_err(|error| LaunchError::new("error while calling PortManager.AddPort()", &error))?;
    let ended = proxy(&argv, caller, status.as_fd());
    if let Err(error) = api.remove(published) {
        let error = LaunchError::new("could not take back a port", &error);
        tracing::warn!("{}", explain::one_line(&error));
    }
    Ok(ended?.exit_code())
}

/// docker-proxy tells dockerd itself that it listens, or why not.
fn proxy(argv: &[OsString], caller: &Caller, status: BorrowedFd<'_>) -> Result<Outcome, Failure> {
    let program = program::find(OsStr::new(REAL), &caller.env)?;
    let signals = signal::signal_fd()
        .map_err(|error| LaunchError::new("could not make a signalfd", &error))?;
    let pid = helper::start(&Helper {
        program: &program,
        argv,
        env: &caller.env.words(),
        descriptors: &[status],
        output: Some(rustix::stdio::stderr()),
        privileges: Privileges::NoNew,
    })
    .map_err(|error| LaunchError::new("could not start docker-proxy", &error))?;
    let ended = follow::follow(pid, &signals, &mut Alone);
    if let Outcome::Signal(number) = ended
        && ![libc::SIGINT, libc::SIGTERM].contains(&number)
    {
        // Killed by somebody else, not for want of an address: dockerd's rules may lead to the
        // container without it, and dockerd counts the port as published until it says so.
        tracing::warn!("docker-proxy was killed by signal {number}");
        follow::stand_by(&signals, &mut Alone);
    }
    Ok(ended)
}

fn tell(status: &OwnedFd, text: &str) {
    // dockerd may be gone, and then nobody waits.
    let _ = rustix::io::write(status, text.as_bytes());
}

/// Nothing is looked after but the one process.
struct Alone;

impl Beside for Alone {
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }
    fn deadline(&self) -> Option<Instant> {
        None
    }
    fn work(&mut self) {}
    fn reaped(&mut self, _: Pid, _: WaitStatus) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootless::ports::api::client::{NetworkOffer, PortOffer};

    fn wish(words: &str) -> Result<Wish, String> {
        let words: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
        Wish::parse(&words)
    }

    fn offer(driver: &str, tap: bool) -> Offer {
        let protos: &[&str] = if tap {
            &["tcp4", "udp4"]
        } else {
            &["tcp4", "tcp6", "udp4"]
        };
        Offer {
            network_driver: Some(NetworkOffer {
                child_ip: Some([10, 0, 2, 100].into()),
            }),
            port_driver: Some(PortOffer {
                driver: driver.into(),
                protos: protos.iter().map(|&name| name.to_owned()).collect(),
                disallow_loopback_child_ip: tap,
            }),
        }
    }

    const WORDS: &str = "-proto udp -host-ip 0.0.0.0 -host-port 53 -container-ip 172.17.0.2 \
                         --container-port=5353";

    #[test]
    fn dockerds_words_are_read() {
        let read = wish(WORDS).unwrap();
        assert_eq!(
            (&*read.proto, &*read.host_ip, &*read.host_port),
            ("udp", "0.0.0.0", "53")
        );
        assert_eq!(
            (&*read.container_ip, &*read.container_port),
            ("172.17.0.2", "5353")
        );
        assert_eq!(wish("-host-ip ::1").unwrap().proto, "tcp");
        for (words, text) in [
            ("-host-ip", "-host-ip needs a value"),
            ("-no x", "unknown flag -no"),
            ("host-ip", "host-ip is no flag"),
        ] {
            assert_eq!(wish(words).unwrap_err(), text);
        }
    }

    #[test]
    fn a_port_is_published_and_docker_proxy_listens_where_it_is_mapped_to() {
        for (words, tap, outside, inside) in [
            (WORDS, true, "udp4 0.0.0.0:53", "10.0.2.100"),
            (WORDS, false, "udp4 0.0.0.0:53", "127.0.0.1"),
            ("-host-ip :: -host-port 80", false, "tcp6 :::80", "::1"),
            (
                "-proto tcp4 -host-ip 127.0.0.2 -host-port 80",
                true,
                "tcp4 127.0.0.2:80",
                "10.0.2.100",
            ),
        ] {
            let decision = decide(&wish(words).unwrap(), &offer("builtin", tap)).unwrap();
            let Decision::Publish(spec, argv) = decision else {
                panic!("{words}: {decision:?}");
            };
            let parent = spec.parent_ip.as_ref().unwrap().ip();
            assert_eq!(
                format!("{} {parent}:{}", spec.proto, spec.parent_port),
                outside
            );
            assert_eq!(spec.child_ip.unwrap().ip().to_string(), inside);
            assert_eq!(spec.child_port, spec.parent_port);
            let at = argv.iter().position(|word| word == "-host-ip").unwrap();
            assert_eq!(argv[at + 1], inside);
        }
    }

    #[test]
    fn what_nobody_serves_is_left_and_without_a_driver_docker_proxy_is_alone() {
        let six = wish("-host-ip :: -host-port 80").unwrap();
        let left = decide(&six, &offer("builtin", true)).unwrap();
        assert!(matches!(left, Decision::Leave(why) if why.contains("\"tcp6\"")));
        let one = wish("-host-ip ::1 -host-port 80").unwrap();
        let refused = decide(&one, &offer("builtin", true)).unwrap_err();
        assert!(
            refused.contains("DIND_ROOTLESS_PORTS=loopback"),
            "{refused}"
        );
        assert!(decide(&one, &offer("builtin", false)).is_ok());
        for none in [
            offer("none", false),
            offer("implicit", false),
            Offer::default(),
        ] {
            assert_eq!(decide(&six, &none), Ok(Decision::PassOn));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for words in [
            "-host-ip x -host-port 80",
            "-host-ip 0.0.0.0 -host-port 0",
            "-host-ip 0.0.0.0",
        ] {
            assert!(
                decide(&wish(words).unwrap(), &offer("builtin", true)).is_err(),
                "{words}"
            );
        }
    }
}
