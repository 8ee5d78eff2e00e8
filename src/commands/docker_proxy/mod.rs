//! `rootlesskit-docker-proxy`: what dockerd starts in place of docker-proxy, once for each published
//! port. It tells the port driver which container is behind the port, so that connections need not
//! go by docker-proxy, which loses their addresses.
//!
//! A dockerd before 28 starts it by itself, and it publishes the port outside, and starts
//! docker-proxy on the address that the port is mapped to (rootlesskit,
//! `cmd/rootlesskit-docker-proxy`). Later versions of dockerd speak to the API themselves; we have
//! them start it (`plan::rootless::proxy`), and it becomes docker-proxy when it has told.

mod words;

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use self::words::{Request, passes_socket};
use crate::base::explain::{self, Failure, exit};
use crate::commands::Caller;
use crate::config::rootless::port::{Address, PortSpec};
use crate::host::rootless::docker_proxy::{self, REAL};
use crate::ports::api::client::{Api, Offer};
use crate::process::Outcome;
use crate::process::follow;
use crate::process::program;
use crate::sys::helper::{self, Helper, Privileges};
use crate::sys::{self, signal};
use crate::userns::error::LaunchError;

/// Where dockerd waits for `0\n`, or for `1\n` and an error.
const STATUS: u32 = 3;

/// What is to be done about a request.
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
fn decide(request: &Request, offer: &Offer) -> Result<Decision, String> {
    let driver = match &offer.port_driver {
        Some(driver) if !["none", "implicit"].contains(&&*driver.driver) => driver,
        _ => return Ok(Decision::PassOn),
    };
    let host = Address::parse(&request.host_ip)
        .ok_or_else(|| format!("-host-ip {:?} is no address", request.host_ip))?;
    let v6 = host.ip().is_ipv6();
    let proto = match request.proto.ends_with(['4', '6']) {
        true => request.proto.clone(),
        false => format!("{}{}", request.proto, if v6 { 6 } else { 4 }),
    };
    if !driver.protos.contains(&proto) && v6 && !host.ip().is_unspecified() {
        // Beside IPv4 dockerd asks for `::`; another address is a request.
        return Err(format!(
            "{} port {} cannot be published: ports are mapped to the tap device's IPv4 address \
             here; DIND_ROOTLESS_PORTS=loopback publishes on IPv6 by itself",
            request.host_ip, request.host_port
        ));
    }
    if !driver.protos.contains(&proto) {
        return Ok(Decision::Leave(format!(
            "protocol {proto:?} is not served by the port driver {:?}: {} port {} is not published",
            driver.driver, request.host_ip, request.host_port
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
    let port: NonZeroU16 = request
        .host_port
        .parse()
        .map_err(|_| format!("-host-port {:?} is no port", request.host_port))?;
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
        &request.container_ip,
        "-container-port",
        &request.container_port,
        "-host-ip",
        &child.to_string(),
        "-host-port",
        &request.host_port,
        "-proto",
        &request.proto,
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
        LaunchError::new("dockerd does not wait on descriptor 3", &error)
            .with_help(
                "dockerd starts this program for each published port",
                "do not start it by hand",
            )
            .with_code(exit::USAGE)
    })?;
    let served = match passes_socket(words) {
        true => Err(tell_and_become(words, caller)),
        false => serve(words, caller, &status),
    };
    served.inspect_err(|failure| {
        tell(
            &status,
            // dockerd shows it behind a text of its own.
            &format!("1\n{}", explain::chain(failure.as_ref())),
        );
    })
}

/// Whatever stands in the way of telling, docker-proxy serves the port: with its own address.
/// Returns only when that failed.
fn tell_and_become(words: &[OsString], caller: &Caller) -> Failure {
    let told = Request::parse(words)
        .and_then(|request| request.backend_of_host())
        .and_then(|backend| {
            let api = api(caller).map_err(|error| error.to_string())?;
            api.behind(backend).map_err(|error| error.to_string())
        });
    if let Err(error) = told {
        tracing::debug!("the port driver does not learn of the container: {error}");
    }
    // Descriptors 3 and 4 are docker-proxy's, and everything of ours is closed on exec.
    become_real(words, caller)
}

/// Becomes docker-proxy as it was called; returns only when that failed.
fn become_real(words: &[OsString], caller: &Caller) -> Failure {
    let real = docker_proxy::find(&caller.env).unwrap_or_else(|| PathBuf::from(REAL));
    let argv: Vec<_> = [real.into_os_string()]
        .into_iter()
        .chain(words.to_vec())
        .collect();
    program::replace(&argv, &caller.env, caller.mask).into()
}

fn api(caller: &Caller) -> Result<Api, LaunchError> {
    let state = caller.env.non_empty("ROOTLESSKIT_STATE_DIR");
    let state = state.ok_or_else(|| {
        LaunchError::plain("ROOTLESSKIT_STATE_DIR is not set").with_help(
            "it names the directory of the port driver's API, and dockerd's own environment has it",
            "leave it in dockerd's environment",
        )
    })?;
    Ok(Api {
        socket: Path::new(state).join("api.sock"),
    })
}

fn serve(words: &[OsString], caller: &Caller, status: &OwnedFd) -> Result<u8, Failure> {
    let request =
        Request::parse(words).map_err(|text| LaunchError::plain(text).with_code(exit::USAGE))?;
    let api = api(caller)?;
    let asked = |error| LaunchError::new("could not ask the port driver", &error);
    let offer = api.offer().map_err(asked)?;
    let (spec, argv) = match decide(&request, &offer).map_err(LaunchError::plain)? {
        Decision::PassOn => return Err(become_real(words, caller)),
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
    // docker-proxy serves the port without it, with its own address.
    let front = crate::ports::address::target(&spec);
    match request.backend(front).map(|backend| api.behind(backend)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("{error}"),
        Err(text) => tracing::debug!("{text}"),
    }
    let ended = proxy(&argv, caller, status.as_fd());
    if let Err(error) = api.remove(published) {
        let error = LaunchError::new("could not take back a port", &error);
        tracing::warn!("{}", explain::one_line(&error));
    }
    Ok(ended?.exit_code())
}

/// docker-proxy tells dockerd itself that it listens, or why not.
fn proxy(argv: &[OsString], caller: &Caller, status: BorrowedFd<'_>) -> Result<Outcome, Failure> {
    let program = match docker_proxy::find(&caller.env) {
        Some(program) => program,
        None => program::find(OsStr::new(REAL), &caller.env)?,
    };
    let signals = signal::signal_fd()
        .map_err(|error| LaunchError::new("could not make a signalfd", &error))?;
    let pid = helper::start(&Helper {
        program: &program,
        argv,
        env: &caller.env.words(),
        descriptors: &[status],
        input: None,
        output: Some(rustix::stdio::stderr()),
        privileges: Privileges::NoNew,
    })
    .map_err(|error| LaunchError::new("could not start docker-proxy", &error))?;
    let ended = follow::follow(pid, &signals, &mut ());
    if let Outcome::Signal(number) = ended
        && ![libc::SIGINT, libc::SIGTERM].contains(&number)
    {
        // Killed by somebody else, not for want of an address: dockerd's rules may lead to the
        // container without it, and dockerd counts the port as published until it says so.
        tracing::warn!("docker-proxy was killed by signal {number}");
        follow::stand_by(&signals, &mut ());
    }
    Ok(ended)
}

fn tell(status: &OwnedFd, text: &str) {
    // dockerd may be gone, and then nobody waits.
    let _ = rustix::io::write(status, text.as_bytes());
}

#[cfg(test)]
mod tests;
