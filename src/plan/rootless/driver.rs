//! The command lines of the network drivers. Pure.

use std::path::PathBuf;

use super::net::{NetPlan, Tap};
use crate::config::rootless::{Layer, NetDriver, Options};

/// What a driver is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverCommand {
    /// Its words, with its name.
    pub argv: Vec<String>,
    /// How it says that it is ready.
    pub ready: Ready,
    /// Whether security layers of slirp4netns are on that may be left out.
    pub hardened: bool,
}

/// How a driver says that it is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// It writes to [`READY_FD`], and stays.
    Byte,
    /// The process that was started ends; another one goes on, whose id is in this file.
    Daemon(PathBuf),
}

/// The descriptor on which slirp4netns says that it is ready.
pub const READY_FD: i32 = 3;
/// The descriptor by whose end slirp4netns sees that we are gone.
pub const EXIT_FD: i32 = 4;

/// Whether slirp4netns gets its security layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hardening {
    /// `auto` means on.
    Requested,
    /// `auto` means off.
    Fallback,
}

/// The command for a namespace; nothing when there is no driver to run.
#[must_use]
pub fn command(
    options: &Options,
    net: &NetPlan,
    child: u32,
    pid_file: PathBuf,
    hardening: Hardening,
) -> Option<DriverCommand> {
    let tap = net.tap.as_ref()?;
    match net.driver {
        NetDriver::Slirp4netns => Some(slirp4netns(options, tap, child, hardening)),
        NetDriver::Pasta => Some(pasta(options, net, tap, child, pid_file)),
        NetDriver::Host | NetDriver::None => None,
    }
}

fn slirp4netns(options: &Options, tap: &Tap, child: u32, hardening: Hardening) -> DriverCommand {
    let mut argv = vec![
        options.slirp4netns.clone(),
        format!("--mtu={}", tap.mtu),
        format!("--ready-fd={READY_FD}"),
        format!("--exit-fd={EXIT_FD}"),
        format!("--cidr={}", tap.network),
    ];
    if !options.host_loopback {
        argv.push("--disable-host-loopback".into());
    }
    if tap.ipv6 {
        argv.push("--enable-ipv6".into());
    }
    let mut hardened = false;
    for (layer, flag) in [
        (options.sandbox, "--enable-sandbox"),
        (options.seccomp, "--enable-seccomp"),
    ] {
        match (layer, hardening) {
            (Layer::On, _) => argv.push(flag.into()),
            (Layer::Auto, Hardening::Requested) => {
                argv.push(flag.into());
                hardened = true;
            }
            (Layer::Auto, Hardening::Fallback) | (Layer::Off, _) => {}
        }
    }
    argv.push(child.to_string());
    argv.push(tap.name.clone());
    DriverCommand {
        argv,
        ready: Ready::Byte,
        hardened,
    }
}

/// pasta finds the device made and configured by us: like that it outlives pasta. `-T none` and
/// `-U none` close the way from loopback inside to loopback outside, which `--no-map-gw` alone
/// leaves open.
fn pasta(
    options: &Options,
    net: &NetPlan,
    tap: &Tap,
    child: u32,
    pid_file: PathBuf,
) -> DriverCommand {
    let implicit = net.port_driver == crate::config::rootless::PortDriver::Implicit;
    let forward = if implicit { "auto" } else { "none" };
    let mut argv = vec![
        options.pasta.clone(),
        "--quiet".into(),
        format!("--ns-ifname={}", tap.name),
        format!("--mtu={}", tap.mtu),
        format!("--address={}", tap.address()),
        format!("--netmask={}", tap.network.length()),
        format!("--gateway={}", tap.gateway()),
        format!("--dns-forward={}", tap.resolver()),
        format!("--tcp-ports={forward}"),
        format!("--udp-ports={forward}"),
        "--tcp-ns=none".into(),
        "--udp-ns=none".into(),
        format!("--pid={}", pid_file.display()),
    ];
    if !options.host_loopback {
        argv.push("--no-map-gw".into());
    }
    if !tap.ipv6 {
        argv.push("--ipv4-only".into());
    }
    argv.push(child.to_string());
    DriverCommand {
        argv,
        ready: Ready::Daemon(pid_file),
        hardened: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::environment::Environment;
    use crate::host::uplink::UplinkFacts;
    use crate::plan::network::addresses::Inner;
    use crate::plan::rootless::net;

    fn line(flags: &str, hardening: Hardening) -> (String, bool) {
        let env: Environment = [("DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS", flags)]
            .into_iter()
            .collect();
        let options = Options::for_dockerd(&env).unwrap();
        let net = net::plan(&options, &UplinkFacts::default(), &Inner::default(), |_| {
            true
        })
        .unwrap();
        let command = command(&options, &net, 7, "/s/pid".into(), hardening).unwrap();
        (command.argv.join(" "), command.hardened)
    }

    #[test]
    fn slirp4netns_is_hardened_and_falls_back() {
        let base = "slirp4netns --mtu=65520 --ready-fd=3 --exit-fd=4 --cidr=10.0.2.0/24 \
                    --disable-host-loopback";
        let (words, hardened) = line("", Hardening::Requested);
        assert_eq!(
            words,
            format!("{base} --enable-sandbox --enable-seccomp 7 tap0")
        );
        assert!(hardened);
        assert_eq!(
            line("", Hardening::Fallback),
            (format!("{base} 7 tap0"), false)
        );
        let flags = "--slirp4netns-sandbox=true --slirp4netns-seccomp=false";
        assert_eq!(
            line(flags, Hardening::Fallback),
            (format!("{base} --enable-sandbox 7 tap0"), false)
        );
    }

    #[test]
    fn pasta_opens_no_way_back_to_loopback_outside() {
        let (words, _) = line("--net=pasta --cidr=10.9.0.0/16", Hardening::Requested);
        assert_eq!(
            words,
            "pasta --quiet --ns-ifname=tap0 --mtu=65520 --address=10.9.0.100 --netmask=16 \
             --gateway=10.9.0.2 --dns-forward=10.9.0.3 --tcp-ports=none --udp-ports=none \
             --tcp-ns=none --udp-ns=none --pid=/s/pid --no-map-gw --ipv4-only 7"
        );
        let (words, _) = line(
            "--net=pasta --port-driver=implicit --ipv6",
            Hardening::Requested,
        );
        assert!(words.contains("--tcp-ports=auto") && !words.contains("--ipv4-only"));
    }
}
